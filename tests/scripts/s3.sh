#!/usr/bin/env bash
# Runs an S3 server for tests (moto, in memory) until its standard input ends, so that it never outlives who started it:
# `s3.sh DIR`. DIR is made, must not be there and is removed in the end. The server listens on a free port of 127.0.0.1 and
# takes any keys; its address appears in DIR/url when it is ready.
set -euo pipefail
dir=$1
cd "$(dirname "$0")/../.."
moto=${CARGO_TARGET_DIR:-$PWD/target}/tools/s3/bin/moto_server
[[ -x $moto ]] || { echo "s3.sh: there is no $moto; run tests/scripts/setup.sh" >&2; exit 127; }

mkdir -p "$dir"
# Between finding a free port and taking it another may take it.
for _ in 1 2 3 4 5; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    MOTO_S3_DEFAULT_KEY_BUFFER_SIZE=268435456 "$moto" -H 127.0.0.1 -p "$port" >"$dir/server.log" 2>&1 &
    server=$!
    trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true; cd /; rm -rf "$dir"' EXIT
    trap 'exit 0' INT TERM
    for _ in $(seq 600); do
        if curl -fsS -o /dev/null "http://127.0.0.1:$port/moto-api/data.json" 2>/dev/null; then
            printf 'http://127.0.0.1:%s' "$port" >"$dir/url.new"
            mv "$dir/url.new" "$dir/url"
            cat >/dev/null
            exit
        fi
        kill -0 $server 2>/dev/null || break
        sleep 0.05
    done
    kill $server 2>/dev/null || true
    wait $server 2>/dev/null || true
done
cat "$dir/server.log" >&2
exit 1
