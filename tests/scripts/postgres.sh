#!/usr/bin/env bash
# Runs a PostgreSQL server for tests until its standard input ends, so that it never outlives who started it:
# `postgres.sh DIR`. DIR is made, must not be there and is removed in the end. The server listens on a free port of
# 127.0.0.1, user `retrace` without password; its address appears in DIR/url when it is ready.
set -euo pipefail
dir=$1
# Debian keeps the programs of each version apart.
bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
[[ -x $bin/initdb ]] || { echo "postgres.sh: no PostgreSQL below /usr/lib/postgresql; apt-get install postgresql" >&2; exit 127; }

mkdir -p "$dir"
as=()
if [[ $(id -u) -eq 0 ]]; then
    # The server refuses to run as root.
    chown postgres "$dir"
    as=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
fi
cd "$dir"
"${as[@]}" "$bin/initdb" --pgdata="$dir/data" --username=retrace --auth=trust --encoding=UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1 ||
    { cat "$dir/initdb.log" >&2; exit 1; }

start() {
    "${as[@]}" "$bin/postgres" -D "$dir/data" -p "$port" -k "$dir/data" -c listen_addresses=127.0.0.1 -c fsync=off \
        -c max_connections=400 -c shared_buffers=256MB -c max_wal_size=4GB ${RETRACE_POSTGRES_OPTIONS:-} \
        >>"$dir/server.log" 2>&1 3<&- &
    server=$!
}
# is_ready: waits until the server answers; false if it ended.
is_ready() {
    for _ in $(seq 600); do
        if "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -U retrace -d postgres; then
            printf '%s' "$server" >"$dir/ready.new"
            mv "$dir/ready.new" "$dir/ready"
            return 0
        fi
        kill -0 $server 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}
stop() {
    kill -INT $server 2>/dev/null || true
    wait $server 2>/dev/null || true
}

exec 3<&0
trap 'stop; cd /; rm -rf "$dir"' EXIT
trap 'exit 0' INT TERM
server=0
# Between finding a free port and taking it another may take it.
for _ in 1 2 3 4 5; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    start
    if is_ready; then
        printf 'postgres://retrace@127.0.0.1:%s/postgres' "$port" >"$dir/url.new"
        mv "$dir/url.new" "$dir/url"
        cat <&3 >/dev/null &
        input=$!
        while wait -n $input $server || true; kill -0 $input 2>/dev/null; do
            # A test killed it, and gets it back: on the same port and folder, once the last process of the killed one has
            # let go of its memory. DIR/ready names the process that serves.
            until start && is_ready; do
                kill -0 $input 2>/dev/null || exit 0
                sleep 0.1
            done
        done
        exit
    fi
    stop
done
cat "$dir/server.log" >&2
exit 1
