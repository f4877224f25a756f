#!/usr/bin/env bash
# Installs what the build, the tests and the demo need and the machine lacks: Debian packages (by sudo when you are
# not root), the Rust targets of plugins, cargo-deny, and below target/tools what builds plugins in JavaScript and Python,
# and an S3 server.
# Does nothing, quickly, when all is there.
set -euo pipefail

# package and what needs it
packages() {
    sed -e 's/ *#.*//' -e '/^ *$/d' <<'END'
build-essential     # C compiler and make: some crates bring C code; the crash programs of the fixtures
pkg-config          # build scripts of crates
ca-certificates     # downloads of crates
curl                # the demo of the HTTP service
jq                  # the commands of the API's page
git                 # cargo deny, versions
gdb                 # makes the backtraces
libc6-dbg           # debug information of the C library: backtraces through it are compared with gdb's
gfortran            # programs that crash, for the same
golang-go           # the same
llvm                # llvm-dwp: split DWARF, for the same
bubblewrap          # the sandbox of gdb; roots of the fixtures
util-linux          # flock, prlimit
gnupg               # throw-away keys of the fixture repositories
dpkg-dev            # dpkg-architecture, dpkg-deb: .deb fixtures
apt-utils           # apt-ftparchive: the Debian repository of the fixtures
rpm                 # rpmbuild, rpmsign: .rpm fixtures
rpm2cpio            # unpacks .rpm without installing it
cpio                # the same
createrepo-c        # repositories of .rpm
dnf                 # installs from the tree of `retrace mirror publish`
gpgv                # verifies the metadata of that tree
debugedit           # find-debuginfo: debuginfo packages
dwz                 # compressed debug information, a fixture
elfutils            # eu-readelf, eu-unstrip: tests compare with them
binutils            # objcopy, strip, readelf
xz-utils            # compressed cores and packages
zstd                # the same
lz4                 # the same
bzip2               # the same
gzip                # the same
python3             # fixture generators
python3-venv        # target/tools/python
clang               # plugins in C
lld                 # the same
wasi-libc           # the same
libclang-rt-dev-wasm32  # the same
debuginfod          # the benchmark of mirrors compares with it
libarchive-tools    # bsdtar, with which debuginfod reads .deb
rsync               # mirrors by rsync, and a server of them for the tests
openssh-client      # mirrors by rsync over ssh
openssh-server      # a server of them for the tests, started by the client
openssl             # certificates of the servers of the tests
python3-pyftpdlib   # an ftp server for the tests
python3-openssl     # the same with TLS
wget                # fetching is compared with it
postgresql          # a server of the tests' own, started by tests/scripts/postgres.sh
procps              # ps, for tests of process groups
END
}

mapfile -t wanted < <(packages)
installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 2>/dev/null | sed -n 's/^ii //p')
missing=()
for package in "${wanted[@]}"; do
    package=${package%% *}
    grep -qxF "$package" <<<"$installed" || missing+=("$package")
done

as_root=()
if [[ ${#missing[@]} -gt 0 ]]; then
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo >/dev/null || {
            printf 'setup: not root and no sudo; as root run:\n  apt-get install -y --no-install-recommends %s\n' "${missing[*]}" >&2
            exit 1
        }
        as_root=(sudo)
    fi
    printf 'setup: installing %s\n' "${missing[*]}"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1; }
    install=(install -y --no-install-recommends "${missing[@]}")
    # The lists may be missing or stale: read them only then.
    apt "${install[@]}" || { apt update && apt "${install[@]}"; } || {
        cat "$log" >&2
        printf 'setup: apt-get failed; the lines above say why. As root, try:\n  apt-get update && apt-get install %s\n' "${missing[*]}" >&2
        exit 1
    }
else
    printf 'setup: Debian packages: all %d there\n' "${#wanted[@]}"
fi

cd "$(dirname "$0")/../.."
rust_target() { # rust_target TARGET
    if [[ -d $(rustc --print sysroot)/lib/rustlib/$1 ]]; then
        printf 'setup: Rust target %s: there\n' "$1"
    else
        printf 'setup: installing the Rust target %s\n' "$1"
        rustup target add "$1"
    fi
}

if ! command -v rustc >/dev/null; then
    printf 'setup: no Rust; install it as https://rustup.rs says, then run this again\n' >&2
    exit 1
fi
rust_target wasm32-wasip2          # the plugins
rust_target wasm32-unknown-unknown # plugins that need std

# Checks licences and sources of the dependencies. A debugging build: it is built in a third of the time.
cargo_deny=0.20.2
if cargo deny --version 2>/dev/null | grep -qxF "cargo-deny $cargo_deny"; then
    printf 'setup: cargo-deny %s: there\n' "$cargo_deny"
else
    printf 'setup: building cargo-deny %s\n' "$cargo_deny"
    build=$(mktemp -d)
    cargo install --quiet --locked --debug --force --version "$cargo_deny" --target-dir "$build" cargo-deny
    rm -rf "$build"
fi

# The tools that authors of plugins in other languages use, in the versions of the templates.
tools=${CARGO_TARGET_DIR:-$PWD/target}/tools
templates=host/retrace-plugin-kit/templates

# tool_is_stale NAME FILE...: true if target/tools/NAME has to be made anew from FILEs, which lie in the template NAME.
tool_is_stale() {
    local name=$1 file digest
    shift
    digest=$(for file in "$@"; do cat "$templates/$name/$file"; done | sha256sum | cut -d' ' -f1)
    if [[ -f $tools/$name/.made-from && $(<"$tools/$name/.made-from") == "$digest" ]]; then
        printf 'setup: tools of plugins in %s: there\n' "$name"
        return 1
    fi
    printf 'setup: installing the tools of plugins in %s\n' "$name"
    rm -rf "${tools:?}/$name"
    mkdir -p "$tools/$name"
    for file in "$@"; do cp "$templates/$name/$file" "$tools/$name/"; done
    made_from=$digest
}

node_is_there() { command -v npm >/dev/null && [[ $(node --version 2>/dev/null) =~ ^v([0-9]+) && ${BASH_REMATCH[1]} -ge 20 ]]; }
if tool_is_stale javascript package.json; then
    node_is_there || "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends nodejs npm || true
    node_is_there || {
        printf 'setup: plugins in JavaScript need Node.js 20 or newer with npm; install it, then run this again\n' >&2
        exit 1
    }
    (cd "$tools/javascript" && npm install --ignore-scripts --no-audit --no-fund --no-package-lock --silent)
    printf '%s\n' "$made_from" >"$tools/javascript/.made-from"
fi
# A mail server for the tests of notifications.
smtp=(aiosmtpd==1.4.6 atpublic==9.0.0 attrs==26.1.0)
if [[ -f $tools/smtp/.made-from && $(<"$tools/smtp/.made-from") == "${smtp[*]}" ]]; then
    printf 'setup: the mail server of the tests: there\n'
else
    printf 'setup: installing the mail server of the tests\n'
    rm -rf "${tools:?}/smtp"
    python3 -m venv "$tools/smtp"
    "$tools/smtp/bin/pip" install --quiet --disable-pip-version-check "${smtp[@]}"
    printf '%s\n' "${smtp[*]}" >"$tools/smtp/.made-from"
fi
if tool_is_stale python requirements.txt; then
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check -r "$tools/python/requirements.txt"
    printf '%s\n' "$made_from" >"$tools/python/.made-from"
fi

# The S3 server of the tests.
requirements=tests/scripts/s3-requirements.txt
if cmp -s "$requirements" "$tools/s3/.made-from"; then
    printf 'setup: S3 server for the tests: there\n'
else
    printf 'setup: installing an S3 server for the tests\n'
    rm -rf "${tools:?}/s3"
    python3 -m venv "$tools/s3"
    "$tools/s3/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$tools/s3/.made-from"
fi
