#!/usr/bin/env bash
# rpm-distro.sh [FIXTURES]: a small RPM distribution made on the spot, and crashes in it. It calls itself Fedora 40,
# so that the plugin for Fedora serves it. Makes FIXTURES/rpm/:
#   base/ debuginfo/   its repositories (packages; debuginfo and debugsource), all signed: glibc, libgcc and libstdc++
#                      repackaged from Debian with libc6-dbg, will-crash 1.0 and 1.1 (C), crashd 2.0 and 2.1 (C++)
#   key.asc            public half of the throw-away key that signed them
#   cores/NAME/        core, os-release, executable, package; NAME is crashd-null, crashd-throw, will-crash-segv,
#                      will-crash-abort or will-crash-overflow; all of versions 1.0 and 2.0
# and what must go wrong:
#   unsigned/          base/ with nothing signed
#   wrong-key/         base/ signed with another key, whose public half is wrong-key.asc
#   stale/             base/ with metadata that was made of other package files of the same names
#   wrong-version/     as base/, without the versions that crashed: the same file names, other build-ids
#   no-debuginfo/      as debuginfo/, without that of will-crash and crashd
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin rpm "${1:-}" "${BASH_SOURCE[0]}" "$SCRIPTS/rpm.sh" "$SOURCES"/{rpm,will-crash,crashd}/*
source "$SCRIPTS/rpm.sh"
need apt-get dpkg-deb python3

# Debian's C and C++ libraries with the folders of Fedora.
repackage() {
    local debs name packages=()
    apt_root
    mapfile -t debs < <(download libc6 libc6-dbg libgcc-s1 libstdc++6)
    flock -u 8
    for name in glibc glibc-debuginfo libgcc libstdc++; do packages+=("$name=${debs[${#packages[@]}]}"); done
    python3 "$SOURCES/rpm/deb2spec.py" "$WORK/repackaged" "${packages[@]}"
    cp "$SOURCES/rpm/filesystem.spec" "$WORK/repackaged/"
    for name in glibc glibc-debuginfo libgcc libstdc++ filesystem; do
        build "$WORK/build/$name" --define '_enable_debug_packages 0' "$WORK/repackaged/$name.spec"
    done
}

# crash_program NAME VERSION: 1.0 and 2.0 are the sources as they are; later versions have their lines shifted by
# three, so that a mix-up of versions shows in the line numbers.
crash_program() {
    local name=$1 version=$2 tree=$WORK/sources/$1-$2 top=$WORK/build/$1-$2
    mkdir -p "$tree"
    cp "$SOURCES/$name"/* "$tree/"
    case $version in
    *.0) sed -i '/@LATER@/d' "$tree"/*.c* ;;
    *) sed -i '/@LATER@/{h;G;G;G}' "$tree"/*.c* ;;
    esac
    source_archive "$WORK/sources" "$name-$version" "$top"
    build "$top" --define "fixture_version $version" "$tree/$name.spec"
}

build_all() {
    local jobs=() job
    repackage &
    jobs+=($!)
    (crash_program will-crash 1.0 && crash_program crashd 2.0 && crash_program will-crash 1.1 && crash_program crashd 2.1) &
    jobs+=($!)
    for job in "${jobs[@]}"; do wait "$job" || fail "a package cannot be built; the lines above say why"; done
    mkdir -p "$WORK/unsigned/base" "$WORK/unsigned/debuginfo"
    local package
    for package in "$WORK"/build/*/RPMS/*/*.rpm; do
        case $package in
        *-debuginfo-* | *-debugsource-*) ln "$package" "$WORK/unsigned/debuginfo/" ;;
        *) ln "$package" "$WORK/unsigned/base/" ;;
        esac
    done
    say "$(find "$WORK/unsigned" -name '*.rpm' | wc -l) packages built"
}

make_repositories() {
    local done=$WORK/done package
    mkdir -p "$done"/{base,debuginfo,unsigned,wrong-key,stale,wrong-version,no-debuginfo}
    make_key "$WORK" key
    make_key "$WORK" wrong-key
    mv "$WORK/key.asc" "$WORK/wrong-key.asc" "$done/"

    cp "$WORK"/unsigned/base/*.rpm "$done/base/"
    cp "$WORK"/unsigned/debuginfo/*.rpm "$done/debuginfo/"
    sign key "$done"/{base,debuginfo}/*.rpm
    index "$done/base" key
    index "$done/debuginfo" key

    ln "$WORK"/unsigned/base/*.rpm "$done/unsigned/"
    index "$done/unsigned"

    cp "$WORK"/unsigned/base/*.rpm "$done/wrong-key/"
    sign wrong-key "$done"/wrong-key/*.rpm
    index "$done/wrong-key" wrong-key

    # The metadata knows the packages before they were signed.
    ln "$WORK"/unsigned/base/*.rpm "$done/stale/"
    index "$done/stale" key
    ln -f "$done"/base/*.rpm "$done/stale/"

    for package in "$done"/base/*.rpm; do
        case ${package##*/} in will-crash*-1.0-* | crashd*-2.0-*) ;; *) ln "$package" "$done/wrong-version/" ;; esac
    done
    index "$done/wrong-version" key

    ln "$done"/debuginfo/glibc-*.rpm "$done/no-debuginfo/"
    index "$done/no-debuginfo" key
    stop_agents "$WORK/gpg-key" "$WORK/gpg-wrong-key"
    say "repositories: $(cd "$done" && printf "%s\n" */repodata | sed s,/repodata,, | xargs)"
}

crash_all() {
    require_cores
    crash crashd-null crashd-2.0-1.fc40 /usr/sbin/crashd null
    crash crashd-throw crashd-2.0-1.fc40 /usr/sbin/crashd throw
    local kind
    for kind in segv abort overflow; do crash "will-crash-$kind" will-crash-1.0-1.fc40 /usr/bin/will-crash "$kind"; done
    say "cores: $(cd "$WORK/done/cores" && printf "%s\n" * | xargs)"
}

build_all
make_repositories
unpack_root "$WORK"/unsigned/base/{filesystem,glibc,libgcc,libstdc++,will-crash-1.0,will-crash-libs-1.0,crashd-2.0,crashd-libs-2.0}-[0-9]*.rpm
crash_all
finish
