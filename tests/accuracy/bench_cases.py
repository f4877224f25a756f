#!/usr/bin/env python3
"""bench_cases.py BACKTRACE LIST...: the native engine's time and memory against gdb's and eu-stack's, on cases of the suite.

All threads with inlined functions and locals; wall clock, medians of five. The lists are those of make_cases.py and
debian.py. One line for each figure, as tests/scripts/bench.sh promises.
"""
import os
import sys

from run_cases import eu_stack_command, gdb_bt_full, measure, native_command, wanted_cases

# Case and how many times as fast as gdb it has to be. Those of ceph have more than a gigabyte of debug information.
CASES = {
    "c-gcc-O2-segv": 3.5,
    "c-gcc-O0-overflow": 3.5,
    "c-static-handler": 3.5,
    "blocked-gcc-O2": 3.5,
    "cpp-gcc-O2-threads": 3.5,
    "cpp-dwz-threads": 3.5,
    "rust-release-threads": 3.5,
    "go-segv": 3.5,
    "fortran-O2-abort": 3.5,
    "bookworm-gm-median": 3.5,
    "bookworm-python-threads": 3.5,
    "trixie-python-callbacks": 3.5,
    "ceph-mon": 30,
}
SMALL_MEMORY = 64  # MiB, where debug information is not large
LARGE = {"ceph-mon"}


def line(name, value, unit, relation, limit):
    met = value >= limit if relation == ">=" else value <= limit
    print(f"bench {name}: {value:.2f} {unit}, goal {relation} {limit} {unit}: {'met' if met else 'missed'}", flush=True)


def main(backtrace, lists):
    cases = {case["name"]: case for case in wanted_cases(lists)}
    for name in CASES.keys() - cases.keys():
        print(f"skipped: {name}: it is not in the lists")
    for name, faster in CASES.items():
        if name not in cases:
            continue
        case = cases[name]
        native = measure(native_command(backtrace, case))
        gdb = measure(gdb_bt_full(case))
        eu_stack = measure(eu_stack_command(case))
        line(f"native-vs-gdb-{name}", gdb["wall"] / native["wall"], "x", ">=", faster)
        line(f"native-vs-eu-stack-{name}", eu_stack["wall"] / native["wall"], "x", ">=", 1)
        limit = gdb["memory"] / 4 if name in LARGE else max(gdb["memory"] / 4, SMALL_MEMORY)
        line(f"native-memory-{name}", native["memory"], "MiB", "<=", round(limit))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    os.environ.pop("ONLY", None)
    main(sys.argv[1], sys.argv[2:])
