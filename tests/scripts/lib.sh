# shellcheck shell=bash
# What the fixture scripts share. Sourced, never run.
#
# A fixture is a folder below the fixtures folder. It is made in a scratch folder and renamed as the last step, so a
# killed run leaves nothing that looks finished. The file `.key` in it is a digest of everything that it was made
# from; while that is the same, a second run does nothing.

set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC
umask 022

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CHECKOUT=$(cd "$SCRIPTS/../.." && pwd)
# shellcheck disable=SC2034 # used by the scripts that source this file
SOURCES=$CHECKOUT/tests/fixtures
ARCH=$(dpkg --print-architecture)

# Seconds since 1970 of everything that carries a date: two runs make the same bytes.
export SOURCE_DATE_EPOCH=1704067200

say() { printf '%s: %s\n' "$FIXTURE" "$*"; }

fail() {
    printf '%s: %s\n' "$FIXTURE" "$1" >&2
    shift
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

# need PROGRAM...: all of them are there, else the error names the fix.
need() {
    local program missing=()
    for program in "$@"; do command -v "$program" >/dev/null || missing+=("$program"); done
    [[ ${#missing[@]} -eq 0 ]] || fail "missing: ${missing[*]}" "fix: tests/scripts/setup.sh (or: make setup)"
}

# quietly LOG COMMAND...: its output goes to LOG and is shown only when it fails.
quietly() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 && return
    printf '%s: failed: %s\n' "$FIXTURE" "$*" >&2
    tail -n 40 "$log" | sed 's/^/  /' >&2
    return 1
}

# begin NAME FOLDER FILE...: sets FIXTURE, OUT (the fixtures folder), DONE (this fixture), WORK (scratch) and takes the
# lock. Ends the script when the fixture is there already, made from the same FILEs on the same release.
begin() {
    FIXTURE=$1
    OUT=${2:-${CARGO_TARGET_DIR:-$CHECKOUT/target}/fixtures}
    shift 2
    mkdir -p "$OUT"
    OUT=$(cd "$OUT" && pwd)
    DONE=$OUT/$FIXTURE
    WORK=$OUT/.work-$FIXTURE
    exec 9>"$OUT/.lock-$FIXTURE"
    flock 9
    KEY=$({ cat "$SCRIPTS/lib.sh" "$@"; printf '%s' "$ARCH"; cat /etc/os-release; } | sha256sum | cut -d' ' -f1)
    if [[ -f $DONE/.key && $(<"$DONE/.key") == "$KEY" ]]; then
        say "unchanged: $DONE"
        exit 0
    fi
    rm -rf "$WORK"
    mkdir -p "$WORK/done"
}

# finish: puts what was made in WORK/done in its place.
finish() {
    printf '%s\n' "$KEY" >"$WORK/done/.key"
    rm -rf "$DONE"
    mv "$WORK/done" "$DONE"
    rm -rf "$WORK"
    say "made: $DONE"
}

# The code name of this Debian release.
codename() {
    local id name
    # shellcheck source=/dev/null
    id=$(. /etc/os-release && printf '%s' "${ID:-}")
    # shellcheck source=/dev/null
    name=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    [[ $id == debian && -n $name ]] || fail "this machine runs '$id', the fixtures are made of Debian's packages" \
        "fix: run on Debian 12 or newer, or in a container of it"
    printf '%s' "$name"
}

# apt_root: an apt of its own below OUT/apt: the machine's Debian sources, keys and transport settings, but no
# installed package, no hook, and nothing written outside. Sets APT_CONFIG.
apt_root() {
    local root=$OUT/apt
    exec 8>"$OUT/.lock-apt"
    flock 8
    mkdir -p "$root/state/lists/partial" "$root/cache/archives/partial" "$root/parts" "$root/debs"
    : >"$root/status"
    {
        env -u APT_CONFIG apt-config dump | grep '^Acquire::' || true
        cat <<END
Dir::Etc::main "/dev/null";
Dir::Etc::parts "$root/parts";
Dir::State "$root/state";
Dir::State::status "$root/status";
Dir::Cache "$root/cache";
Dir::Log "$root";
APT::Sandbox::User "$(id -un)";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "2";
END
    } >"$root/apt.conf"
    export APT_CONFIG=$root/apt.conf
    # One update a day: a mirror forgets a package version when the next one arrives.
    if [[ -z $(find "$root/updated" -mmin -1440 2>/dev/null) ]]; then
        quietly "$root/update.log" apt-get -q update || fail "apt cannot read the machine's package sources" \
            "fix: make 'apt-get update' work on this machine"
        touch "$root/updated"
    fi
}

# closure PACKAGE...: these packages and all that they depend on.
closure() { apt-get -s install "$@" | awk '/^Inst /{print $2}'; }

# download PACKAGE...: their .deb files into OUT/apt/debs; prints the paths.
download() {
    local root=$OUT/apt list=$WORK/debs.list package version
    # name_version_arch.deb, with %3a for the colon of an epoch, is how apt names them.
    apt-cache show --no-all-versions "$@" |
        awk '/^Package: /{p=$2} /^Version: /{v=$2; gsub(":","%3a",v)} /^Architecture: /{a=$2} /^$/{print p, p"_"v"_"a".deb"}' >"$list"
    local missing=()
    while read -r package version; do
        [[ -f $root/debs/$version ]] || missing+=("$package")
    done <"$list"
    if [[ ${#missing[@]} -gt 0 ]]; then
        (cd "$root/cache/archives/partial" && quietly "$root/download.log" apt-get -q download "${missing[@]}" &&
            mv ./*.deb "$root/debs/") || {
            rm -f "$root/updated" # stale lists are the usual reason
            fail "apt cannot download ${missing[*]}" "fix: run again: the package lists are read anew"
        }
    fi
    while read -r package version; do printf '%s\n' "$root/debs/$version"; done <"$list"
}

# merge_usr ROOT: /bin, /sbin and /lib* become links into /usr, as the packages' files are found on a real system.
merge_usr() {
    local root=$1 dir
    for dir in bin sbin lib lib32 lib64 libx32; do
        [[ -L $root/$dir ]] && continue
        mkdir -p "$root/usr/$dir"
        if [[ -d $root/$dir ]]; then
            cp -a --remove-destination "$root/$dir/." "$root/usr/$dir/"
            rm -rf "${root:?}/$dir"
        fi
        ln -s "usr/$dir" "$root/$dir"
    done
}

# make_key FOLDER NAME: a throw-away OpenPGP key in FOLDER/gpg; FOLDER/NAME.asc is its public half.
make_key() {
    local home=$1/gpg-$2
    mkdir -m 700 "$home"
    quietly "$1/gpg.log" gpg --homedir "$home" --batch --passphrase '' \
        --quick-gen-key "Retrace Fixture $2 <$2@example.invalid>" rsa3072 sign never
    gpg --homedir "$home" --batch -q --armor --export "$2@example.invalid" >"$1/$2.asc"
}

# stop_agents FOLDER...: the agents that gpg started for these homes.
stop_agents() {
    local home
    for home in "$@"; do [[ ! -d $home ]] || gpgconf --homedir "$home" --kill all 2>/dev/null || true; done
}

# require_cores: the kernel writes cores as files into the working folder of the process that dies.
require_cores() {
    ulimit -c unlimited 2>/dev/null || fail "the hard limit for cores is $(ulimit -Hc)" "fix: ulimit -Hc unlimited, as root"
}
kernel_writes_cores() {
    local pattern
    pattern=$(</proc/sys/kernel/core_pattern)
    [[ ${FIXTURES_CORE:-} != gdb && $pattern != '|'* && $pattern != */* ]]
}

# in_root ROOT FOLDER ENV=VALUE... -- COMMAND...: runs it below ROOT (read-only) in FOLDER, which is the same path
# inside. Works as root and, in a user namespace, as anybody.
in_root() {
    local root=$1 folder=$2 env=()
    shift 2
    while [[ $1 != -- ]]; do
        env+=(--setenv "${1%%=*}" "${1#*=}")
        shift
    done
    shift
    "${IN_ROOT_PREFIX[@]}" bwrap --ro-bind "$root" / --dev /dev --proc /proc --tmpfs /tmp --bind "$folder" /var/crash \
        --chdir /var/crash --unshare-net --die-with-parent --clearenv --setenv PATH /usr/sbin:/usr/bin \
        --setenv HOME /tmp "${env[@]}" "$@"
}
IN_ROOT_PREFIX=()
