#!/usr/bin/env bash
# retro-distro.sh [FIXTURES]: "Retro Linux 1", an RPM distribution that no plugin of Retrace serves: tests/plugins/retro
# does. It is the distribution of rpm-distro.sh, which is made first, with an identity, a release tag and a key of its
# own. Makes FIXTURES/retro/:
#   1/ARCH/base/ 1/ARCH/debuginfo/   its repositories, signed
#   RPM-GPG-KEY-retro-1              public half of the throw-away key that signed them
#   cores/will-crash-segv/           core, os-release, executable, package
"$(dirname "${BASH_SOURCE[0]}")/rpm-distro.sh" "$@"
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
FIXTURES=${1:-${CARGO_TARGET_DIR:-$CHECKOUT/target}/fixtures}
begin retro "${1:-}" "${BASH_SOURCE[0]}" "$SCRIPTS/rpm.sh" "$SOURCES"/{rpm,will-crash}/* "$FIXTURES/rpm/.key"
source "$SCRIPTS/rpm.sh"
sed -i 's/^%dist .*/%dist .retro1/' "$HOME/.rpmmacros"

build_packages() {
    local tree=$WORK/sources/will-crash-1.0
    sed -e 's/Fedora Linux/Retro Linux/g' -e 's/Fedora release/Retro Linux release/' -e 's/fedora/retro/g' \
        -e 's/:f40/:retro1/' -e 's/\b40\b/1/g' "$SOURCES/rpm/filesystem.spec" >"$WORK/filesystem.spec"
    build "$WORK/build/filesystem" --define '_enable_debug_packages 0' "$WORK/filesystem.spec"
    mkdir -p "$tree"
    cp "$SOURCES/will-crash"/* "$tree/"
    sed -i '/@LATER@/d' "$tree"/*.c
    source_archive "$WORK/sources" will-crash-1.0 "$WORK/build/will-crash"
    build "$WORK/build/will-crash" --define 'fixture_version 1.0' "$tree/will-crash.spec"
}

make_repositories() {
    local package
    release=$WORK/done/1/$(uname -m)
    mkdir -p "$release"/{base,debuginfo}
    cp "$OUT"/rpm/base/{glibc,libgcc,libstdc++}-*.rpm "$release/base/"
    cp "$OUT"/rpm/debuginfo/glibc-*.rpm "$release/debuginfo/"
    for package in "$WORK"/build/*/RPMS/*/*.rpm; do
        case $package in
        *-debuginfo-* | *-debugsource-*) cp "$package" "$release/debuginfo/" ;;
        *) cp "$package" "$release/base/" ;;
        esac
    done
    make_key "$WORK" retro
    mv "$WORK/retro.asc" "$WORK/done/RPM-GPG-KEY-retro-1"
    sign retro "$release"/{base,debuginfo}/*.rpm
    index "$release/base" retro
    index "$release/debuginfo" retro
    stop_agents "$WORK/gpg-retro"
}

build_packages
make_repositories
unpack_root "$release"/base/{filesystem,glibc,libgcc,libstdc++,will-crash-1.0,will-crash-libs-1.0}-[0-9]*.rpm
require_cores
crash will-crash-segv will-crash-1.0-1.retro1 /usr/bin/will-crash segv
finish
