#!/usr/bin/env bash
# bench.sh [NAME]: benchmarks on the fixtures. NAME is a group: analyze. Without one, all groups.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$checkout/target}
export RETRACE_PLUGIN_DIR=${RETRACE_PLUGIN_DIR:-$target/wasm32-wasip2/plugin} RETRACE_KEYS_DIR=${RETRACE_KEYS_DIR:-$checkout/gpg}

case ${1:-} in
'' | analyze)
    "$here/debian-crash.sh" "$target/fixtures"
    "$here/odd-cores.sh" "$target/fixtures"
    python3 "$here/bench_analyze.py" "$target/debug/retrace" "$target/fixtures"
    ;;
*)
    printf 'bench: there is no group %s; there is analyze\n' "$1" >&2
    exit 2
    ;;
esac
