#!/usr/bin/env bash
# accuracy-root.sh CODENAME FIXTURES PACKAGES DEBUG-PACKAGES: unpacks packages of a Debian release, and all that they depend
# on, into FIXTURES/accuracy-CODENAME/root, and debug packages into FIXTURES/accuracy-CODENAME/debug. Nothing of them is run.
# CODENAME may be another release than this machine's: its archive is that of the machine's package sources.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
RELEASE=$1
read -ra PACKAGES <<<"$3"
read -ra DEBUG_PACKAGES <<<"$4"
LIST=$(mktemp)
trap 'rm -f "$LIST"' EXIT
printf '%s\n' "$RELEASE" "${PACKAGES[@]}" -- "${DEBUG_PACKAGES[@]}" >"$LIST"
begin "accuracy-$RELEASE" "$2" "${BASH_SOURCE[0]}" "$LIST"
need apt-get dpkg-deb

# The machine's Debian archive, for another release.
other_release() {
    local root=$OUT/apt uri
    # shellcheck disable=SC2016 # apt's variables, not the shell's
    uri=$(env -u APT_CONFIG apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $(codename)" | head -n 1)
    [[ -n $uri ]] || fail "apt knows no archive of $(codename)" "fix: make 'apt-get update' work on this machine"
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$uri" "$RELEASE" >"$root/sources.list"
    printf 'Dir::Etc::sourcelist "%s";\nDir::Etc::sourceparts "-";\n' "$root/sources.list" >>"$root/apt.conf"
    if [[ -z $(find "$root/updated-$RELEASE" -mmin -1440 2>/dev/null) ]]; then
        quietly "$root/update.log" apt-get -q update || fail "apt cannot read $RELEASE at $uri"
        touch "$root/updated-$RELEASE"
    fi
}

unpack() { # unpack FOLDER DEB...
    local folder=$1 deb
    shift
    mkdir -p "$folder"
    for deb in "$@"; do dpkg-deb -x "$deb" "$folder"; done
    merge_usr "$folder"
}

if [[ $RELEASE == "$(codename)" ]]; then
    apt_root
else
    OUT=$OUT/apt-$RELEASE
    mkdir -p "$OUT"
    apt_root
    other_release
fi
mapfile -t names < <(closure "${PACKAGES[@]}")
[[ ${#names[@]} -ge ${#PACKAGES[@]} ]] || fail "apt finds not all of ${PACKAGES[*]}"
mapfile -t debs < <(download "${names[@]}" base-files)
mapfile -t debug_debs < <(download "${DEBUG_PACKAGES[@]}")
[[ ${#debug_debs[@]} -eq ${#DEBUG_PACKAGES[@]} ]] || fail "apt finds not all of ${DEBUG_PACKAGES[*]}"
unpack "$WORK/done/root" "${debs[@]}"
unpack "$WORK/done/debug" "${debug_debs[@]}"
mkdir -p "$WORK/done/root/var/crash"
say "$((${#debs[@]} + ${#debug_debs[@]})) packages of $RELEASE"
finish
