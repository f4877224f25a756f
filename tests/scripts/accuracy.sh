#!/usr/bin/env bash
# accuracy.sh [own|debian|all]: compares the native engine with gdb over many cores, and fails where agreement fell.
#   own     our own programs (tests/accuracy/cases.toml): minutes the first time, seconds then
#   debian  programs of Debian with their debug packages (tests/accuracy/debian.py): needs apt, and gigabytes
#   all     both; what `make accuracy` runs
# UPDATE=1 raises the floors and writes the table. ONLY="<beginnings of names>" prints what differs in some cases.
# RETRACE_BUILT=1: the programs of this workspace are built already.
# Cores, and gdb's view of them, are kept in target/accuracy until what they are made of changes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$checkout/target}
suite=$checkout/tests/accuracy
out=$target/accuracy
tiers=${1:-all}

cd "$checkout"
if [[ -z ${RETRACE_BUILT:-} ]]; then
    cargo build --locked --quiet --package retrace-accuracy
    cargo build --locked --quiet --package retrace-unwind --example backtrace
fi

mkdir -p "$out"
exec 9>"$out/.lock"
flock 9

lists=() only=()
for beginning in ${ONLY:-}; do only+=(--only "$beginning"); done
if [[ $tiers == own || $tiers == all ]]; then
    python3 "$suite/make_cases.py" "$suite/cases.toml" "$out/own"
    lists+=("$out/own/own.json")
fi
if [[ $tiers == debian || $tiers == all ]]; then
    python3 "$suite/debian.py" "$suite/debian.toml" "$out/debian" "$out/roots"
    lists+=("$out/debian/debian.json")
fi
[[ ${#lists[@]} -gt 0 ]] || {
    printf 'accuracy: there is no tier %s; there are own, debian and all\n' "$tiers" >&2
    exit 2
}
python3 "$suite/run_cases.py" native "$target/debug/examples/backtrace" "$out/native" "${lists[@]}"
exec "$target/debug/retrace-accuracy" "${lists[@]}" --native "$out/native" --explained "$suite/explained.toml" --floors "$suite/floors.toml" \
    --document "$checkout/host/retrace-unwind/docs/accuracy.md" --list "$out/disagreements.txt" \
    ${UPDATE:+--update} "${only[@]}"
