#!/usr/bin/env bash
# bench.sh [NAME]: benchmarks. NAME is a group: analyze, plugin, mirror, service or unwind. Without one, all groups.
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
    template "$folder"
    rm -rf "$folder"
}

# From `retrace plugin new` to the green report, dependencies compiled on the way; downloads are not counted.
template() { # template FOLDER
    local start seconds
    (
        export PATH=$target/debug:$PATH RETRACE_SDK_PATH=$checkout/plugin-sdk CARGO_TARGET_DIR=$1/target
        cd "$1" && retrace plugin new acme && cd acme && cargo fetch --quiet
    ) >/dev/null
    start=$EPOCHREALTIME
    (
        export PATH=$target/debug:$PATH RETRACE_SDK_PATH=$checkout/plugin-sdk CARGO_TARGET_DIR=$1/target
        cd "$1" && retrace plugin new fresh && cd fresh && make --silent test
    ) >"$1/log" 2>&1 || {
        cat "$1/log" >&2
        return 1
    }
    seconds=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $start }")
    printf 'bench plugin-template-to-green-report: %s s, goal <= 60 s: %s\n' "$seconds" \
        "$(awk "BEGIN { print $seconds <= 60 ? \"met\" : \"missed\" }")"
}

mirror() {
    "$target/debug/examples/fetch_bench" "$checkout/host/retrace-mirror/src/tests/daemons.py"
    python3 "$here/bench_folder.py" "$target/debug/examples/folder" "$target/fixtures/folder"
    index
}

# The index of a whole release, from generated metadata that is kept between runs.
index() {
    local metadata=$target/fixtures/index-1 state
    if [[ ! -f $metadata/done ]]; then
        "$target/debug/examples/index" generate "$metadata" 1000000
        touch "$metadata/done"
    fi
    state=$(mktemp -d)
    "$target/debug/examples/index" load "$metadata" "$state"
    rm -rf "$state"
    state=$(mktemp -d)
    chmod 755 "$state"
    coproc SERVER { tests/scripts/postgres.sh "$state/postgres"; }
    until [[ -f $state/postgres/url ]]; do sleep 0.1; done
    "$target/debug/examples/index" load "$metadata" "$state/retrace" "$(<"$state/postgres/url")"
    exec {SERVER[1]}>&-
    wait "$SERVER_PID"
    rm -rf "$state"
}

service() {
    "$here/rpm-distro.sh" "$target/fixtures"
    "$target/debug/examples/debuginfod_bench"
    python3 "$here/bench_uploads.py" "$target/debug/retrace" "$("$here/nginx.sh")"
}

# On cores of the accuracy suite.
unwind() {
    local suite=$checkout/tests/accuracy out=$target/accuracy
    python3 "$suite/make_cases.py" "$suite/cases.toml" "$out/own"
    python3 "$suite/debian.py" "$suite/debian.toml" "$out/debian" "$out/roots"
    python3 "$suite/bench_cases.py" "$target/debug/examples/backtrace" "$out/own/own.json" "$out/debian/debian.json"
}

case ${1:-all} in
all)
    analyze
    plugin
    mirror
    service
    unwind
    ;;
analyze | plugin | mirror | service | unwind) "$1" ;;
*)
    printf 'bench: there is no group %s; there are analyze, plugin, mirror, service and unwind\n' "$1" >&2
    exit 2
    ;;
esac
