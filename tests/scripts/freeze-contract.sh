#!/usr/bin/env bash
# Keeps the contract's text and plugins that were built for it below tests/fixtures/contract/VERSION, for the tests of all
# later versions. VERSION is what wit/distro.wit says; a version that was frozen once is never written again.
# Needs what `make build plugins` builds.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$checkout/target}
version=$(sed -n 's/^package retrace:distro@\(.*\);$/\1/p' "$checkout/wit/distro.wit")
frozen=$checkout/tests/fixtures/contract/$version
if [[ -e $frozen ]]; then
    printf 'freeze-contract: %s is frozen already; raise the version in wit/distro.wit\n' "$version" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RETRACE_SDK_PATH=$checkout/plugin-sdk CARGO_TARGET_DIR=$target/authors
retrace() { "$target/debug/retrace" --config /dev/null "$@"; }

keep() { # keep NAME COMPONENT FIXTURES
    mkdir -p "$work/new/$1"
    cp "$2" "$work/new/$1/plugin.wasm"
    cp -r "$3" "$work/new/$1/fixtures"
}

start() { retrace plugin new acme --template "$1" --dir "$work/$1"; }
# One after the other: cargo takes packages of one name in a shared target folder for one, and asks only for newer files.
finish() {
    retrace plugin build "$work/$1"
    keep "$1" "$work/$1/build/plugin.wasm" "$work/$1/fixtures"
}

# By hand in Rust and in C; one that comes with Retrace; as data, with both optional interfaces.
for template in rust c; do
    start "$template"
    finish "$template"
done
keep fedora "$target/wasm32-wasip2/plugin/retrace_plugin_fedora.wasm" "$checkout/plugins/fedora/fixtures"
start declarative
cat >>"$work/declarative/distribution.toml" <<'END'

[[kernel]]
uname = "*.acme*"
packages = ["kernel-debuginfo", "kernel-debuginfo-common-$ARCH"]
vmlinux = "/usr/lib/debug/lib/modules/$UNAME/vmlinux"

[[environment_advice]]
wanted = ["python3*"]
packages = ["python3-debug"]
END
cat >"$work/declarative/fixtures/optional.toml" <<'END'
[[case]]
name = "the kernel's debug information"
function = "kernel-for"
input = { version = "6.8.5-301.acme2.x86_64", arch = "x86_64" }

[case.expect.ok]
vmlinux = "/usr/lib/debug/lib/modules/6.8.5-301.acme2.x86_64/vmlinux"

[[case.expect.ok.debug-packages]]
name = "kernel-debuginfo"
version = "6.8.5"
release = "301.acme2"
arch = "x86_64"
kind = "debug-info"

[[case.expect.ok.debug-packages]]
name = "kernel-debuginfo-common-x86_64"
version = "6.8.5"
release = "301.acme2"
arch = "x86_64"
kind = "debug-info"

[[case]]
name = "no kernel of the distribution"
function = "kernel-for"
input = { version = "6.8.5-301.fc40.x86_64", arch = "x86_64" }
expect = { ok = "none" }

[[case]]
name = "what Python needs beside it"
function = "extra-packages"
input = { release = { distro = "acme", version = "2", rolling = false }, arch = "x86_64", wanted = ["python3-libs"] }
expect = { ok = ["python3-debug"] }
END
finish declarative
for plugin in "$work"/new/*; do
    retrace plugin test "$plugin/plugin.wasm" --fixtures "$plugin/fixtures"
done
cp "$checkout/wit/distro.wit" "$work/new/distro.wit"
mv "$work/new" "$frozen"
printf 'frozen: %s\n' "$frozen"
