#!/usr/bin/env python3
"""bench_analyze.py RETRACE FIXTURES: what `retrace analyze` costs beyond gdb, and how much memory a large core takes.

Prints one line per figure; a goal that is missed is said, and is no failure.

analyze-warm-vs-gdb       time of an analysis whose files are unpacked, over that of gdb alone on the same sysroot
analyze-cold-vs-gdb       the same with the packages mirrored and nothing unpacked
analyze-memory-large-core most memory of our own for a core of 4 GiB, in MiB (the debugger is a process of its own)
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 7
MACHINE = os.uname().machine


class Bench:
    def __init__(self, retrace: str, folder: str):
        self.retrace = retrace
        self.state, self.cache = f"{folder}/state", f"{folder}/cache"
        self.env = {**os.environ, "RETRACE_STATE_DIR": self.state, "RETRACE_CACHE_DIR": self.cache}

    def run(self, *arguments: str) -> float:
        """Seconds that `retrace ARGUMENTS` took. 3 is a backtrace with gaps."""
        started = time.perf_counter()
        done = subprocess.run([self.retrace, *arguments], env=self.env, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        if done.returncode not in (0, 3):
            sys.exit(f"bench: {' '.join(done.args)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return seconds

    def analyze(self, crash: str, *more: str) -> list[str]:
        """The arguments for a crash of a fixture."""
        with open(f"{crash}/executable", encoding="utf-8") as executable, open(f"{crash}/package", encoding="utf-8") as package:
            hints = ["--package", package.read().strip(), "--executable", executable.read().strip()]
        return ["analyze", f"{crash}/core", "--os-release", f"{crash}/os-release", *hints, *more]

    def forget_unpacked(self) -> None:
        for name in ("files", "work"):
            shutil.rmtree(f"{self.cache}/{name}", ignore_errors=True)


def gdb_alone(sysroot: str, executable: str, core: str) -> float:
    """Seconds that gdb takes for the text that old clients get, on a sysroot that is there already."""
    commands = ["set debuginfod enabled off", "set auto-load off", "set pagination off", f"set sysroot {sysroot}/root",
                f"set debug-file-directory {sysroot}/debug", f"file {sysroot}/root{executable}", f"core-file {core}",
                "thread apply all backtrace full"]
    arguments = [part for command in commands for part in ("-iex", command)]
    started = time.perf_counter()
    done = subprocess.run(["gdb", "-nx", "-batch", *arguments], capture_output=True, text=True)
    if "#0" not in done.stdout:
        sys.exit(f"bench: gdb made no backtrace:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started


def peak_memory_mib(bench: Bench, arguments: list[str]) -> float:
    """Largest resident memory of the process itself, its children aside (VmHWM of proc(5))."""
    process = subprocess.Popen([bench.retrace, *arguments], env=bench.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status", encoding="ascii", errors="replace") as status:
                peak = max([peak, *(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))])
        except OSError:
            pass
        time.sleep(0.005)
    if process.returncode not in (0, 3):
        sys.exit(f"bench: {' '.join(arguments)}: {process.returncode}")
    return peak / 1024


def main() -> None:
    retrace, fixtures = sys.argv[1:]

    def report(name: str, value: float, limit: float, unit: str, detail: str) -> None:
        print(detail)
        print(f"bench {name}: {value:.2f} {unit}, goal <= {limit:g} {unit}: {'met' if value <= limit else 'missed'}", flush=True)

    debian = f"{fixtures}/debian"
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(retrace, folder)
        with open(f"{debian}/os-release", encoding="utf-8") as text:
            version = next(line.split("=")[1].strip().strip('"') for line in text if line.startswith("VERSION_ID="))
        bench.run("mirror", "sync", "debian", version, MACHINE, "--mirror", f"{debian}/repo", "--key", f"{debian}/key.asc")
        sysroot = f"{folder}/sysroot"
        bench.run(*bench.analyze(debian, "--keep-sysroot", sysroot))  # mirrors the packages
        arguments = bench.analyze(debian)
        gdb, warm, cold = [], [], []
        for _ in range(ROUNDS):  # in turns, so that a busy moment hits all three
            gdb.append(gdb_alone(sysroot, "/usr/bin/gm", f"{debian}/core"))
            warm.append(bench.run(*arguments))
            saved = f"{folder}/saved"
            os.rename(f"{bench.cache}/files", saved)  # the sysroot's links lead there
            cold.append(bench.run(*arguments))
            bench.forget_unpacked()
            os.rename(saved, f"{bench.cache}/files")
        base = statistics.median(gdb)
        for name, times, limit in (("analyze-warm-vs-gdb", warm, 1.5), ("analyze-cold-vs-gdb", cold, 3.0)):
            own = statistics.median(times)
            report(name, own / base, limit, "x", f"{own * 1000:.0f} ms over {base * 1000:.0f} ms, medians of {ROUNDS}")

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(retrace, folder)
        mirrors = [part for name, path in (("releases", "rpm/base"), ("releases-debuginfo", "rpm/debuginfo"),
                                           ("updates", "odd/base"), ("updates-debuginfo", "odd/debuginfo"))
                   for part in ("--mirror", f"{name}={fixtures}/{path}")]
        keys = ["--key", f"{fixtures}/rpm/key.asc", "--key", f"{fixtures}/odd/key.asc"]
        bench.run("mirror", "sync", "fedora", "40", MACHINE, *mirrors, *keys)
        big = f"{fixtures}/odd/cores/big"
        size = os.path.getsize(f"{big}/core") / 2**30
        report("analyze-memory-large-core", peak_memory_mib(bench, bench.analyze(big)), 200, "MiB", f"core of {size:.1f} GiB")


if __name__ == "__main__":
    main()
