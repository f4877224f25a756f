#!/usr/bin/env python3
"""make_cases.py TABLE OUT [NAME...]: builds the programs of the table (cases.toml), lets them crash, asks gdb.

Makes OUT/BUILD/ for each build: the program, CRASH.core and CRASH.gdb.json for each crash, `debug/` (a debug file
directory, where the build has one). OUT/own.json lists the cases: what the comparison and the benchmarks read.
A build is made again when its row, a source, a compiler or this file changed; else it is left as it is.
With names, only the builds whose name begins with one of them are made, and own.json lists only those.
"""
import concurrent.futures
import hashlib
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
COMPILERS = {".c": "gcc", ".cpp": "g++", ".rs": "rustc", ".go": "go", ".f90": "gfortran", ".S": "gcc"}
FRAME_LIMIT = 2000  # a stack that overflowed has hundreds of thousands
RUN_SECONDS = 120  # a program that has not crashed by then never will
TOOL_SECONDS = 300
GDB_SECONDS = 1800
SYSTEM_DEBUG = "/usr/lib/debug"


class Failed(Exception):
    """A step did not do what it is for; the text says which and why."""


def run(*command, cwd, env=None, check=True, seconds=TOOL_SECONDS):
    """Runs a command to its end, `seconds` at most; its output is shown only if it fails."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, check=False, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
    )
    if check and done.returncode != 0:
        tail = done.stdout.decode(errors="replace")[-2000:]
        raise Failed(f"{shlex.join(str(word) for word in command)}: status {done.returncode}\n{tail}")
    return done.stdout.decode(errors="replace")


# -- Building ------------------------------------------------------------------------------------------------------------


def compiler_of(build, source):
    return build.get("compiler") or COMPILERS[Path(source).suffix]


def compile_one(build, folder, source, output, extra=()):
    compiler = compiler_of(build, source)
    flags = shlex.split(build.get("flags", ""))
    sources = [PROGRAMS / source, *(PROGRAMS / name for name in build.get("more", []))]
    environment = {**os.environ, "GOCACHE": str(folder.parent / ".go-cache"), "GO111MODULE": "off"}
    if compiler == "rustc":
        command = ["rustc", "--edition", "2024", "-A", "warnings", *flags, "-o", output, *sources]
    elif compiler == "go":
        command = ["go", "build", *flags, "-o", output, *sources]
    else:
        warnings = ["-w"] if compiler != "gfortran" else ["-w", "-J", folder]
        libraries = ["-pthread"] if compiler != "gfortran" else []
        command = [compiler, *warnings, *flags, *extra, "-o", output, *sources, *libraries]
    run(*command, cwd=folder, env=environment)


def compile_all(build, folder):
    """The program, and its library."""
    if "library" in build:
        compile_one({**build, "more": []}, folder, build["library"], "liblibrary.so", ["-shared", "-fPIC"])
    compile_one(build, folder, build["source"], "program")


def build_id(file):
    notes = run("readelf", "--wide", "--notes", file, cwd="/")
    for line in notes.splitlines():
        if "Build ID:" in line:
            return line.split("Build ID:")[1].strip()
    raise Failed(f"{file} has no build-id")


def files_of(folder):
    return [folder / name for name in ("program", "liblibrary.so") if (folder / name).exists()]


def debug_path(folder, file):
    """Where debuggers look for the debug file of `file`."""
    name = build_id(file)
    path = folder / "debug" / ".build-id" / name[:2] / f"{name[2:]}.debug"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def debug_files(folder):
    separate = sorted((folder / "debug").rglob("*.debug"))
    return separate or files_of(folder)


def strip(build, folder):
    for file in files_of(folder):
        run("strip", "--strip-all", file, cwd=folder)


def symbols_only(build, folder):
    for file in files_of(folder):
        run("strip", "--strip-debug", file, cwd=folder)


def split(build, folder):
    for file in files_of(folder):
        run("objcopy", "--only-keep-debug", file, debug_path(folder, file), cwd=folder)
        run("strip", "--strip-all", file, cwd=folder)


def debuglink(build, folder):
    (folder / ".debug").mkdir()
    for file in files_of(folder):
        separate = folder / ".debug" / f"{file.name}.debug"
        run("objcopy", "--only-keep-debug", file, separate, cwd=folder)
        run("strip", "--strip-all", file, cwd=folder)
        run("objcopy", f"--add-gnu-debuglink={separate}", file, cwd=folder)


def dwz(build, folder):
    """What the program has in common with a twin goes to a supplementary file."""
    compile_one(build, folder, build["source"], "twin", ["-DTWIN"])
    common = folder / "common.debug"
    run("dwz", "-m", common, "-M", common, "program", "twin", cwd=folder)
    if not common.exists():
        raise Failed("dwz found nothing in common")


def dwz_one(build, folder):
    run("dwz", "program", cwd=folder)


def mini(build, folder):
    """MiniDebugInfo, as rpm's find-debuginfo makes it: function symbols that are not dynamic, xz, .gnu_debugdata."""
    for file in files_of(folder):
        dynamic = {line.split()[0] for line in run("nm", "-D", file, "--format=posix", "--defined-only", cwd=folder).splitlines()}
        keep = []
        for line in run("nm", file, "--format=posix", "--defined-only", cwd=folder).splitlines():
            name, kind = line.split()[:2]
            if kind in "TtDd" and name not in dynamic:
                keep.append(name)
        (folder / "keep").write_text("\n".join(keep) + "\n", encoding="utf-8")
        small = folder / "mini"
        run("objcopy", "--only-keep-debug", file, small, cwd=folder)
        run("objcopy", "-S", "--remove-section=.comment", "--keep-symbols=keep", small, small, cwd=folder)
        run("strip", "--strip-all", "-R", ".comment", file, cwd=folder)
        run("xz", "--force", small, cwd=folder)
        run("objcopy", "--add-section", f".gnu_debugdata={small}.xz", file, cwd=folder)
        (folder / "keep").unlink()
        (folder / "mini.xz").unlink()


def compressed(how):
    def step(build, folder):
        for file in debug_files(folder):
            run("objcopy", f"--compress-debug-sections={how}", file, cwd=folder)

    return step


def dwp(build, folder):
    parts = sorted(folder.glob("*.dwo"))
    if not parts:
        raise Failed("the compiler wrote no .dwo file")
    # Not `dwp` of binutils: that of 2.40 crashes on DWARF 5. This one never ends on gcc's, but takes clang's.
    run("llvm-dwp", "-e", "program", "-o", "program.dwp", cwd=folder)
    for part in parts:
        part.unlink()


def gdb_index(build, folder):
    run("gdb-add-index", "program", cwd=folder)


def debug_names(build, folder):
    run("gdb-add-index", "-dwarf-5", "program", cwd=folder)


def replace(build, folder):
    """Another build takes the program's place, as after an upgrade."""
    compile_one(build, folder, build["source"], "program", ["-falign-functions=64"])


STEPS = {
    "strip": strip,
    "symbols-only": symbols_only,
    "split": split,
    "debuglink": debuglink,
    "dwz": dwz,
    "dwz-one": dwz_one,
    "mini": mini,
    "zlib": compressed("zlib"),
    "zlib-gnu": compressed("zlib-gnu"),
    "zstd": compressed("zstd"),
    "dwp": dwp,
    "gdb-index": gdb_index,
    "debug-names": debug_names,
    "replace": replace,
}


# -- Crashing ------------------------------------------------------------------------------------------------------------


def before_run(kept=None):
    """In the child: cores without limit, with the mappings that the mask `kept` says; a stack whose overflow is quick."""
    if kept:
        Path("/proc/self/coredump_filter").write_text(kept, encoding="ascii")
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, hard))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def kernel_writes_cores():
    pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8").strip()
    return os.environ.get("FIXTURES_CORE") != "gdb" and not pattern.startswith("|") and "/" not in pattern


def crash(folder, how, by_gdb, kept):
    """Runs the program until it is dead, or stops in gdb; its core goes to its place."""
    place = folder / f"{how or 'crash'}.core"
    work = folder / f".run-{how}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    command = [str(folder / "program"), *([how] if how else [])]
    if (folder / "liblibrary.so").exists():
        (work / "liblibrary.so").symlink_to(folder / "liblibrary.so")
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "GOTRACEBACK": "crash", "HOME": "/nonexistent"}
    if kernel_writes_cores() and not by_gdb:
        done = subprocess.run(
            command, cwd=work, env=environment, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=RUN_SECONDS, preexec_fn=lambda: before_run(kept),
        )
        if done.returncode >= 0:
            raise Failed(f"{shlex.join(command)} ended with status {done.returncode} instead of a signal")
    else:
        run(
            "gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-ex", "run", "-ex", "generate-core-file core",
            "--args", *command, cwd=work, env=environment,
        )
    cores = sorted(work.glob("core*"))
    if not cores:
        raise Failed(f"{shlex.join(command)} left no core")
    cores[0].rename(place)
    run("fallocate", "--dig-holes", place, cwd=folder)  # gdb writes all zeros of a reserved heap
    shutil.rmtree(work)


# -- The referee ---------------------------------------------------------------------------------------------------------


def gdb_command(case):
    """gdb up to the commands: with this core loaded, as the referee sees it."""
    command = ["gdb", "-nx", "-batch"]
    for setting in (
        "debuginfod enabled off", "auto-load off", "pagination off", "print entry-values no",
        "print frame-arguments all", "backtrace past-main on", "backtrace past-entry on",
        f"debug-file-directory {':'.join(case['gdb_debug'])}", *case.get("gdb_settings", []),
    ):
        command += ["-iex", f"set {setting}"]
    # gdb 13 fails an assertion on Rust's newer enums: then that value is unknown, and gdb goes on.
    for setting in ("quit no", "corefile no", "backtrace off"):
        command += ["-iex", f"maintenance set internal-error {setting}"]
    return [*command, case["gdb_program"], case["core"]]


def ask_gdb(case):
    output = Path(case["gdb"])
    output.unlink(missing_ok=True)
    export = f"python OUTPUT = {str(output)!r}; LIMIT = {case['limit']}"
    text = run(*gdb_command(case), "-ex", export, "-x", HERE / "gdb_export.py", cwd="/", check=False, seconds=GDB_SECONDS)
    if not output.exists():
        raise Failed(f"gdb wrote nothing for {case['core']}: {text[-2000:]}")


# -- Cases ---------------------------------------------------------------------------------------------------------------


def cases_of(build, folder):
    for how in build["crashes"]:
        stem = how or "crash"
        yield {
            "name": f"{build['name']}-{how}".rstrip("-"),
            "class": build["class"],
            "tier": "own",
            "core": str(folder / f"{stem}.core"),
            "program": str(folder / "program"),
            # What the engine is given: folders with .build-id below, roots that mapped paths lie in.
            "debug": [str(folder / "debug"), SYSTEM_DEBUG],
            "roots": [],
            "gdb_program": str(folder / "program"),
            "gdb_debug": [str(folder / "debug"), SYSTEM_DEBUG],
            # It looks for libraries where the link map says, not where the kernel says that they are mapped from.
            "gdb_settings": [f"solib-search-path {folder}"],
            # False if gdb cannot read the files as they are now: it saw them earlier.
            "gdb_reads": not build.get("gdb_first", False),
            "gdb": str(folder / f"{stem}.gdb.json"),
            "limit": FRAME_LIMIT,
        }


def versions():
    """What decides about the bytes besides the table: the tools and the C library."""
    tools = ("gcc", "clang", "gfortran", "rustc", "go", "dwz", "objcopy", "gdb")
    texts = []
    for tool in tools:
        if shutil.which(tool) is None:
            raise Failed(f"missing: {tool}\nfix: tests/scripts/setup.sh (or: make setup)")
        texts.append(run(tool, "version" if tool == "go" else "--version", cwd="/"))
    if not list(Path(SYSTEM_DEBUG).glob(".build-id/*/*.debug")):
        raise Failed("missing: debug information of the C library (libc6-dbg)\nfix: tests/scripts/setup.sh")
    return "".join(texts) + run("ldd", "--version", cwd="/")


def key_of(build, common):
    sources = [build["source"], *build.get("more", []), *([build["library"]] if "library" in build else [])]
    parts = [json.dumps(build, sort_keys=True).encode(), common, *((PROGRAMS / name).read_bytes() for name in sources)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def make(build, out, common):
    """Makes one build with its cores and gdb's view of them. Returns its cases and whether anything was done."""
    folder = out / build["name"]
    cases = list(cases_of(build, folder))
    mark, key = folder / ".key", key_of(build, common)
    if mark.exists() and mark.read_text(encoding="utf-8") == key:
        return cases, False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        compile_all(build, folder)
        steps = [STEPS[step] for step in build.get("after", [])]
        before, after = ([], steps) if build.get("gdb_first") else (steps, [])
        for step in before:
            step(build, folder)
        for how, case in zip(build["crashes"], cases):
            crash(folder, how, build.get("core") == "gdb", build.get("kept"))
            ask_gdb(case)
        for step in after:
            step(build, folder)
    except (Failed, subprocess.SubprocessError, OSError) as error:
        raise Failed(f"{build['name']}: {error}") from error
    mark.write_text(key, encoding="utf-8")
    return cases, True


def main(table, out, wanted):
    out = Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    builds = tomllib.loads(Path(table).read_text(encoding="utf-8"))["build"]
    names = [build["name"] for build in builds]
    if len(names) != len(set(names)):
        raise Failed("two builds have the same name")
    if wanted:
        builds = [build for build in builds if build["name"].startswith(tuple(wanted))]
    tools = (Path(__file__), HERE / "gdb_export.py")
    common = b"\0".join([versions().encode(), *(file.read_bytes() for file in tools)])
    cases, made, failures = [], 0, []
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        tasks = [pool.submit(make, build, out, common) for build in builds]
        for task in tasks:
            try:
                found, fresh = task.result()
                cases += found
                made += fresh
            except Failed as failure:
                failures.append(str(failure))
    if failures:
        raise Failed("\n".join(failures))
    (out / "own.json").write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")
    print(f"accuracy: {len(cases)} cores of {len(builds)} builds, {made} made anew: {out}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3:])
    except Failed as failure:
        sys.exit(f"accuracy: {failure}")
