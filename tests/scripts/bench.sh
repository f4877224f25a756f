#!/usr/bin/env bash
# bench.sh [NAME]: benchmarks. NAME is a group: analyze or plugin. Without one, all groups.
# Each figure is a line `bench <name>: <value> <unit>, goal <op> <limit>: met|missed`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$checkout/target}
export RETRACE_PLUGIN_DIR=${RETRACE_PLUGIN_DIR:-$target/wasm32-wasip2/plugin} RETRACE_KEYS_DIR=${RETRACE_KEYS_DIR:-$checkout/gpg}

analyze() {
    "$here/debian-crash.sh" "$target/fixtures"
    "$here/odd-cores.sh" "$target/fixtures"
    python3 "$here/bench_analyze.py" "$target/debug/retrace" "$target/fixtures"
}

plugin() {
    local folder
    folder=$(mktemp -d)
    "$target/debug/examples/bench" "$RETRACE_PLUGIN_DIR" "$folder" "$target/debug/retrace"
    rm -rf "$folder"
}

case ${1:-all} in
all)
    analyze
    plugin
    ;;
analyze | plugin) "$1" ;;
*)
    printf 'bench: there is no group %s; there are analyze and plugin\n' "$1" >&2
    exit 2
    ;;
esac
