#!/usr/bin/env python3
"""budgets.py: what the shipped plugins cost, into the table of plugin-sdk/docs/budgets.md.

Runs the whole conformance suite on each of them, beside all others, and keeps the most expensive call of each function.
Needs `make build plugins`; fails, and writes nothing, if a plugin does not pass.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or CHECKOUT / "target")
PLUGINS = pathlib.Path(os.environ.get("RETRACE_PLUGIN_DIR") or TARGET / "wasm32-wasip2/plugin")
PAGE = CHECKOUT / "plugin-sdk/docs/budgets.md"
BEGIN, END = "<!-- begin of what tests/scripts/budgets.py writes -->\n", "<!-- end -->\n"


def report(name, all_names, scratch):
    """The suite's report on one plugin beside all others."""
    component = lambda name: str(PLUGINS / f"retrace_plugin_{name}.wasm")
    command = [TARGET / "debug/retrace", "plugin", "test", component(name), "--format", "json"]
    command += ["--fixtures", CHECKOUT / "plugins" / name / "fixtures", "--gpg", CHECKOUT / "gpg"]
    command += ["--counter-examples", f"{scratch}/counter-examples"]
    for other in all_names:
        command += ["--with", component(other)] if other != name else []
    env = os.environ | {"RETRACE_STATE_DIR": f"{scratch}/state", "RETRACE_CACHE_DIR": f"{scratch}/cache"}
    run = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=False)
    if run.returncode:
        sys.exit(f"budgets.py: {name} does not pass (exit code {run.returncode}): `retrace plugin test` says why")
    return json.loads(run.stdout)


def table(reports):
    """Rows of Markdown: for each function the most expensive plugin."""
    most = {}
    for name, found in reports.items():
        for cost in found["costs"]:
            row = most.setdefault(cost["function"], {"fuel": 0, "peak_memory": 0})
            if cost["fuel"] > row["fuel"]:
                row |= {"fuel": cost["fuel"], "plugin": name, "budget": cost["fuel_budget"]}
            row["peak_memory"] = max(row["peak_memory"], cost["peak_memory"])
    yield "| function | most fuel | of the budget | which plugin | most memory, KiB |"
    yield "| --- | ---: | ---: | --- | ---: |"
    for function, row in most.items():
        share = 100 * row["fuel"] / row["budget"]
        yield f"| `{function}` | {row['fuel']:,} | {share:.0f} % | {row['plugin']} | {row['peak_memory'] // 1024:,} |"
    name, size = max(((name, found["plugin"]["size"]) for name, found in reports.items()), key=lambda pair: pair[1])
    host = next(iter(reports.values()))["host"]
    yield ""
    yield f"The largest of the {len(reports)} components is {name}'s, {size:,} bytes. Measured with wasmtime {host['wasmtime']}."


def main():
    names = sorted(path.name for path in (CHECKOUT / "plugins").iterdir() if path.is_dir())
    with tempfile.TemporaryDirectory() as scratch:
        reports = {name: report(name, names, scratch) for name in names}
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    text = "\n".join(table(reports)) + "\n"
    PAGE.write_text(before + BEGIN + "\n" + text + "\n" + END + after)
    print(text, end="")


main()
