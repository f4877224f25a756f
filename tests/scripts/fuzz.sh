#!/usr/bin/env bash
# fuzz.sh [SECONDS]: runs each fuzz target of each crate for SECONDS (30).
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-30}

cargo +nightly fuzz --version >/dev/null 2>&1 || {
    printf 'fuzz: needs cargo-fuzz and a nightly toolchain\n  fix: rustup toolchain install nightly && cargo install --locked cargo-fuzz\n' >&2
    exit 1
}
for folder in host/*/fuzz; do
    targets=$(cargo +nightly fuzz list --fuzz-dir "$folder")
    for target in $targets; do
        printf 'fuzz: %s %s, %s s\n' "$(basename "$(dirname "$folder")")" "$target" "$seconds"
        # Input is refused beyond a limit; memory beyond this one means that a limit is missing.
        cargo +nightly fuzz run --fuzz-dir "$folder" "$target" -- -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10
    done
done
