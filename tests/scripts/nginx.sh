#!/usr/bin/env bash
# Prints the path of an nginx for benchmarks: Debian's, unpacked into the folder of tools and not installed, so that no
# service starts on the machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${CARGO_TARGET_DIR:-$PWD/target}/tools/nginx
if [[ ! -x $folder/usr/sbin/nginx ]]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    options=()
    [[ $(id -u) != 0 ]] || options=(-o APT::Sandbox::User=root)
    (cd "$work" && apt-get -qq "${options[@]}" download nginx) >&2
    dpkg-deb -x "$work"/nginx_*.deb "$work/root"
    mkdir -p "$(dirname "$folder")"
    rm -rf "$folder"
    mv "$work/root" "$folder"
fi
printf '%s\n' "$folder/usr/sbin/nginx"
