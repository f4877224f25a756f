#!/usr/bin/env bash
# odd-cores.sh [FIXTURES]: cores that are hard to trace, from programs packaged for the distribution of rpm-distro.sh,
# which is made first. Makes FIXTURES/odd/:
#   base/ debuginfo/   repositories of these packages; the C library is in FIXTURES/rpm/
#   key.asc            public half of the throw-away key that signed them
#   cores/NAME/        core, os-release, executable, package; NAME is
#     static           a static executable with three threads
#     deep             2,000 calls deep
#     handler          a signal handler, on a stack of its own, that aborts; a library is on the other stack only
#     unused           a library is mapped that no stack refers to
#     anonymous        the stack passes through a library without build-id
#     mini             MiniDebugInfo only: the debuginfo package is in no repository
#     twin             debug information in a file of its own and one that dwz made for two programs
#     big              more than 4 GiB, nearly all of it holes
"$(dirname "${BASH_SOURCE[0]}")/rpm-distro.sh" "$@"
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
FIXTURES=${1:-${CARGO_TARGET_DIR:-$CHECKOUT/target}/fixtures}
begin odd "${1:-}" "${BASH_SOURCE[0]}" "$SCRIPTS/rpm.sh" "$SOURCES"/{odd,rpm}/* "$FIXTURES/rpm/.key"
source "$SCRIPTS/rpm.sh"
need dwz

build_packages() {
    local name package
    for name in odd odd-twins; do
        mkdir -p "$WORK/sources/$name-1.0"
        cp "$SOURCES"/odd/*.{c,cpp,hpp} "$WORK/sources/$name-1.0/"
        source_archive "$WORK/sources" "$name-1.0" "$WORK/build/$name"
        build "$WORK/build/$name" "$SOURCES/odd/$name.spec" || fail "$name cannot be built; the lines above say why"
    done
    mkdir -p "$WORK"/done/{base,debuginfo}
    for package in "$WORK"/build/*/RPMS/*/*.rpm; do
        case $package in
        */odd-mini-debuginfo-*) ;;
        *-debuginfo-* | *-debugsource-*) cp "$package" "$WORK/done/debuginfo/" ;;
        *) cp "$package" "$WORK/done/base/" ;;
        esac
    done
    make_key "$WORK" key
    mv "$WORK/key.asc" "$WORK/done/"
    sign key "$WORK"/done/{base,debuginfo}/*.rpm
    index "$WORK/done/base" key
    index "$WORK/done/debuginfo" key
    stop_agents "$WORK/gpg-key"
}

crash_all() {
    local name
    require_cores
    for name in static deep handler unused anonymous big; do crash "$name" odd-1.0-1.fc40 "/usr/bin/odd-$name"; done
    crash mini odd-mini-1.0-1.fc40 /usr/bin/odd-mini
    crash twin odd-twins-1.0-1.fc40 /usr/bin/odd-twin-one
    say "cores: $(cd "$WORK/done/cores" && printf "%s\n" * | xargs)"
}

build_packages
unpack_root "$OUT"/rpm/base/{filesystem,glibc,libgcc,libstdc++}-[0-9]*.rpm "$WORK"/done/base/*.rpm
crash_all
finish
