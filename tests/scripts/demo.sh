#!/usr/bin/env bash
# demo.sh [FIXTURES]: the main job, twice, on real input: a crash of a Debian program, and one in an RPM distribution
# that is built on the spot. What was mirrored and unpacked is kept beside FIXTURES, so a second run answers from there.
set -euo pipefail

checkout=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$checkout/target}
fixtures=${1:-$target/fixtures}
retrace=$target/debug/retrace
export RETRACE_PLUGIN_DIR=${RETRACE_PLUGIN_DIR:-$target/wasm32-wasip2/plugin} RETRACE_KEYS_DIR=${RETRACE_KEYS_DIR:-$checkout/gpg}

if [[ ! -x $retrace || ! -d $RETRACE_PLUGIN_DIR ]]; then
    printf 'demo: %s or %s is not built\n  fix: make demo\n' "$retrace" "$RETRACE_PLUGIN_DIR" >&2
    exit 1
fi

if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
milliseconds() { printf '%s' $(($(date +%s%N) / 1000000)); }

# run COMMAND...: shows it, runs it, says how long it took. A backtrace with gaps (3) is a result too.
run() {
    local started status=0
    printf '%s$ retrace %s%s\n' "$bold" "${*//$target\//}" "$plain"
    started=$(milliseconds)
    "$retrace" "$@" || status=$?
    printf '(%s ms, exit code %s)\n' $(($(milliseconds) - started)) "$status"
    [[ $status -eq 0 || $status -eq 3 ]]
}

# use_state FIXTURE: state of its own for each making of a fixture, kept for the next run.
use_state() {
    local folder
    folder=$target/demo/$1-$(sha256sum "$fixtures/$1/key.asc" | cut -c1-12)
    mkdir -p "$folder"
    export RETRACE_STATE_DIR=$folder/state RETRACE_CACHE_DIR=$folder/cache
}

# mirrored: the packages in the store, each fetched once and verified, and what was unpacked of them.
mirrored() {
    local packages=$RETRACE_STATE_DIR/artifacts/packages files=$RETRACE_CACHE_DIR/files
    printf '%s packages, %s; %s files unpacked, %s\n' "$(find "$packages" -type f | wc -l)" "$(du -sh "$packages" | cut -f1)" \
        "$(find "$files" -mindepth 3 -type f | wc -l)" "$(du -sh "$files" | cut -f1)"
}

# analyze FOLDER: the crash there, told what a crash reporter tells; then again, for the time it takes.
analyze() {
    local crash=$1 arguments
    arguments=(analyze "$crash/core" --os-release "$crash/os-release" --package "$(<"$crash/package")" --executable "$(<"$crash/executable")")
    run "${arguments[@]}"
    title 'What was mirrored for it'
    mirrored
    title 'Once more: everything is unpacked'
    local started status=0
    started=$(milliseconds)
    "$retrace" "${arguments[@]}" >/dev/null 2>&1 || status=$?
    printf 'the same backtrace in %s ms, exit code %s\n' $(($(milliseconds) - started)) "$status"
}

title 'A crash of a Debian program'
"$checkout/tests/scripts/debian-crash.sh" "$fixtures"
use_state debian
version=$(sed -n 's/^VERSION_ID="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$fixtures/debian/os-release")
title "Mirror the repository of its packages"
run mirror sync debian "$version" "$(uname -m)" --mirror "$fixtures/debian/repo" --key "$fixtures/debian/key.asc"
title 'Retrace it'
analyze "$fixtures/debian"

title 'An RPM distribution, and a crash of a C++ program in it'
"$checkout/tests/scripts/rpm-distro.sh" "$fixtures"
use_state rpm
title 'Mirror its repositories'
run mirror sync fedora 40 "$(uname -m)" --mirror "releases=$fixtures/rpm/base" \
    --mirror "releases-debuginfo=$fixtures/rpm/debuginfo" --key "$fixtures/rpm/key.asc"
title 'Retrace it'
analyze "$fixtures/rpm/cores/crashd-null"
