#!/usr/bin/env python3
"""debian.py TABLE OUT FIXTURES: cores of programs of Debian, as the table (debian.toml) says, and gdb's view of them.

The roots come from tests/scripts/accuracy-root.sh. OUT/debian.json lists the cases. A core is made again when its row, its root
or this file changed. RELEASES names the releases wanted; a release whose archive cannot be reached is left out with
a printed reason, unless RETRACE_REQUIRE_TOOLS is set.
"""
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from make_cases import FRAME_LIMIT, Failed, ask_gdb, before_run, kernel_writes_cores

HERE = Path(__file__).resolve().parent
ROOT_SCRIPT = HERE.parent / "scripts" / "accuracy-root.sh"
WAIT_SECONDS = 120
BUSY_SECONDS = 0.3  # processor time of a thread before it counts as busy
IDLE_ROUNDS = 40  # so often in a row all threads wait
ROUND_SECONDS = 0.025
ROOT_SECONDS = 3600


def folder_of(release):
    return release.get("folder") or release["codename"]


def unpack(release, fixtures):
    """The folder with `root` and `debug` of a release."""
    home = Path(fixtures) / folder_of(release)
    home.mkdir(parents=True, exist_ok=True)
    command = [ROOT_SCRIPT, release["codename"], home, " ".join(release["packages"]), " ".join(release["debug"])]
    if subprocess.run(command, check=False, timeout=ROOT_SECONDS).returncode != 0:
        raise Failed(f"there is no root of {folder_of(release)}")
    return home / f"accuracy-{release['codename']}"


def sandbox(root, folder, environment):
    command = ["bwrap", "--ro-bind", root, "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--bind", folder,
               "/var/crash", "--chdir", "/var/crash", "--unshare-net", "--die-with-parent", "--clearenv"]
    variables = {"PATH": "/usr/sbin:/usr/bin", "HOME": "/tmp", "LC_ALL": "C.UTF-8", **environment}
    for name, value in variables.items():
        command += ["--setenv", name, value]
    return [str(word) for word in command]


def tasks(pid):
    """State and processor time in seconds of each thread."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        found.append((fields[0], int(fields[11]) / os.sysconf("SC_CLK_TCK")))
    return found


def wait_until(row, pid, child):
    """Waits until the process is as the row wants it."""
    rounds, deadline = 0, time.monotonic() + WAIT_SECONDS
    while True:
        if child.poll() is not None:
            raise Failed(f"it ended too early, with status {child.returncode}")
        if time.monotonic() > deadline:
            raise Failed(f"it never was {row['when']}")
        threads = tasks(pid)
        if row["when"] == "busy" and sum(used >= BUSY_SECONDS for _, used in threads) >= row["threads"]:
            return
        waiting = row["when"] == "idle" and all(state == "S" for state, _ in threads)
        rounds = rounds + 1 if waiting else 0
        if rounds >= IDLE_ROUNDS:
            return
        time.sleep(ROUND_SECONDS)


def crash(row, root, folder):
    """Lets the program crash in `folder`; returns the core."""
    for name, text in row.get("files", {}).items():
        (folder / name).write_text(text, encoding="utf-8")
    inside = sandbox(root, folder, row.get("environment", {}))
    with open(folder / "log", "wb") as log:
        for command in row.get("before", []):
            if subprocess.run([*inside, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode:
                raise Failed(f"{command[0]} failed, see {folder}/log")
        reading, writing = os.pipe()
        child = subprocess.Popen(
            [*inside, "--info-fd", str(writing), *row["command"]], pass_fds=[writing], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, preexec_fn=before_run,
        )
        os.close(writing)
        with os.fdopen(reading, encoding="ascii") as info:
            pid = json.load(info)["child-pid"]
        try:
            if row["when"] != "self":
                wait_until(row, pid, child)
                os.kill(pid, getattr(signal, "SIG" + row.get("signal", "SEGV")))
            child.wait(timeout=WAIT_SECONDS)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise Failed(f"it ended too early, see {folder}/log") from error
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    cores = sorted(folder.glob("core*"))
    if not cores:
        raise Failed(f"it left no core, see {folder}/log")
    return cores[0]


def program_of(root, command):
    """The file of a command: a shell's `exec PROGRAM` means PROGRAM."""
    name = command[0]
    if name == "sh" and "exec " in command[-1]:
        name = command[-1].split("exec ")[1].split()[0]
    for folder in ("usr/bin", "usr/sbin"):
        if (root / folder / name).exists():
            return str(root / folder / name)
    raise Failed(f"there is no {name} in {root}")


def make(row, release, home, out, common):
    """A case; its core and gdb's view are made unless they are there."""
    name = f"{folder_of(release)}-{row['name']}"
    folder, root = out / name, home / "root"
    debug = str(home / "debug" / "usr" / "lib" / "debug")
    program = program_of(root, row["command"])
    case = {
        "name": name,
        "class": "ceph" if release.get("folder") == "ceph" else release["codename"],
        "tier": "debian",
        "core": str(folder / "the.core"),
        "program": program,
        "debug": [debug],
        "roots": [str(root)],
        "gdb_program": program,
        "gdb_debug": [debug],
        "gdb_settings": [f"sysroot {root}"],
        "gdb_reads": True,
        "gdb": str(folder / "the.gdb.json"),
        "limit": FRAME_LIMIT,
    }
    text = json.dumps([row, case], sort_keys=True).encode() + (home / ".key").read_bytes() + common
    mark, key = folder / ".key", hashlib.sha256(text).hexdigest()
    if mark.exists() and mark.read_text(encoding="utf-8") == key:
        return case
    if folder.exists():
        subprocess.run(["rm", "-rf", folder], check=True)
    work = folder / "work"
    work.mkdir(parents=True)
    try:
        crash(row, root, work).rename(case["core"])
        ask_gdb(case)
    except (Failed, subprocess.SubprocessError) as error:
        raise Failed(f"{name}: {error}") from error
    mark.write_text(key, encoding="utf-8")
    print(f"accuracy: made {name}", flush=True)
    return case


def main(table, out, fixtures):
    if not kernel_writes_cores():
        raise Failed("the kernel does not write cores\nfix: sysctl -w kernel.core_pattern=core (as root)")
    out = Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    wanted = os.environ.get("RELEASES", "").split()
    common = b"".join(file.read_bytes() for file in (Path(__file__), HERE / "gdb_export.py"))
    cases, failures = [], []
    for release in tomllib.loads(Path(table).read_text(encoding="utf-8"))["release"]:
        if wanted and folder_of(release) not in wanted:
            continue
        try:
            home = unpack(release, Path(fixtures).resolve())
        except Failed as failure:
            if os.environ.get("RETRACE_REQUIRE_TOOLS"):
                raise
            print(f"skipped: the programs of {folder_of(release)}: {failure}")
            continue
        for row in release["crash"]:
            try:
                cases.append(make(row, release, home, out, common))
            except Failed as failure:
                failures.append(str(failure))
    if failures:
        raise Failed("\n".join(failures))
    (out / "debian.json").write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")
    print(f"accuracy: {len(cases)} cores of Debian's programs: {out}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except Failed as failure:
        sys.exit(f"accuracy: {failure}")
