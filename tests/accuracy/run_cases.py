#!/usr/bin/env python3
"""run_cases.py native BACKTRACE OUT LIST... or run_cases.py time BACKTRACE LIST...: runs the native engine on the cores of the
lists that make_cases.py wrote. ONLY names the beginnings of the cases wanted; all of them without it.

native  writes OUT/CASE.json
time    prints medians of five runs for each case, in seconds of processor time, and the peak of memory in MiB: the engine
        with locals, `gdb thread apply all bt full` and `eu-stack -i -s`; as JSON lines for the benchmarks

BACKTRACE is the example of that name of retrace-unwind.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from make_cases import gdb_command

RUN_SECONDS = 300
MEMORY = 8 << 30  # bytes of address space: debug files are mapped
RUNS = 5


def native_command(backtrace, case):
    command = [backtrace, case["core"], "--locals", "--json"]
    for folder in case["debug"]:
        command += ["--debug-dir", folder]
    for folder in case["roots"]:
        command += ["--root", folder]
    return command


def eu_stack_command(case):
    # -n 0: without it, it stops at 256 frames.
    return [
        "eu-stack", "-i", "-s", "-n", "0", f"--debuginfo-path={':'.join(case['gdb_debug'])}", "--executable",
        case["gdb_program"], "--core", case["core"],
    ]


def gdb_bt_full(case):
    return [*gdb_command(case), "-ex", "thread apply all bt full"]


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def run_native(backtrace, case, out):
    """The backtrace of a case; an error says why there is none."""
    output = Path(out) / f"{case['name']}.json"
    with open(output, "wb") as file:
        done = subprocess.run(
            native_command(backtrace, case), check=False, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE,
            timeout=RUN_SECONDS, preexec_fn=limit_memory,
        )
    if done.returncode != 0:
        output.unlink()
        return f"{case['name']}: status {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}"
    return None


def measure(command):
    """Wall clock, processor time, peak of memory in MiB: medians of RUNS runs."""
    wall, cpu, memory = [], [], []
    for _ in range(RUNS):
        start = time.monotonic()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        _, _, usage = os.wait4(child.pid, 0)
        wall.append(time.monotonic() - start)
        cpu.append(usage.ru_utime + usage.ru_stime)
        memory.append(usage.ru_maxrss / 1024)
    return {"wall": statistics.median(wall), "cpu": statistics.median(cpu), "memory": statistics.median(memory)}


def wanted_cases(lists):
    beginnings = tuple(os.environ.get("ONLY", "").split()) or ("",)
    cases = [case for path in lists for case in json.loads(Path(path).read_text(encoding="utf-8"))]
    return [case for case in cases if case["name"].startswith(beginnings)]


def run_all(backtrace, out, lists):
    Path(out).mkdir(parents=True, exist_ok=True)
    failures = [failure for case in wanted_cases(lists) if (failure := run_native(backtrace, case, out))]
    if failures:
        sys.exit("\n".join(["accuracy: the engine failed:", *failures]))


def time_all(backtrace, lists):
    for case in wanted_cases(lists):
        if case["gdb_reads"]:
            commands = {
                "native": native_command(backtrace, case),
                "gdb": gdb_bt_full(case),
                "eu-stack": eu_stack_command(case),
            }
            times = {name: measure(command) for name, command in commands.items()}
            print(json.dumps({"case": case["name"], "class": case["class"], **times}), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["native", backtrace, out, *lists] if lists:
            run_all(backtrace, out, lists)
        case ["time", backtrace, *lists] if lists:
            time_all(backtrace, lists)
        case _:
            sys.exit(__doc__)
