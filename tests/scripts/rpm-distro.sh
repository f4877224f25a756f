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
begin rpm "${1:-}" "${BASH_SOURCE[0]}" "$SOURCES"/{rpm,will-crash,crashd}/*
need apt-get bwrap cpio createrepo_c debugedit find-debuginfo dpkg-deb g++ gpg make python3 rpm2cpio rpmbuild rpmsign

export HOME=$WORK/home # rpm reads ~/.rpmmacros
mkdir -p "$HOME"
cp "$SOURCES/rpm/macros" "$HOME/.rpmmacros"

# build FOLDER ARGUMENT...: rpmbuild with a tree of its own; the packages end up in FOLDER/RPMS.
build() {
    local top=$1
    shift
    mkdir -p "$top"/{BUILD,BUILDROOT,RPMS,SOURCES,SPECS,SRPMS}
    quietly "$top/log" rpmbuild --define "_topdir $top" -bb "$@"
}

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
    mkdir -p "$tree" "$top/SOURCES"
    cp "$SOURCES/$name"/* "$tree/"
    case $version in
    *.0) sed -i '/@LATER@/d' "$tree"/*.c* ;;
    *) sed -i '/@LATER@/{h;G;G;G}' "$tree"/*.c* ;;
    esac
    tar -C "$WORK/sources" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 \
        -czf "$top/SOURCES/$name-$version.tar.gz" "$name-$version"
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

# sign KEY PACKAGE...
sign() {
    local key=$1
    shift
    quietly "$WORK/sign.log" rpmsign --define "_gpg_name $key@example.invalid" --define "_gpg_path $WORK/gpg-$key" --addsign "$@"
}

# index FOLDER [KEY]: metadata, signed when a key is given.
index() {
    quietly "$WORK/createrepo.log" createrepo_c --quiet --workers 2 "$1"
    [[ $# -lt 2 ]] || gpg --homedir "$WORK/gpg-$2" --batch --yes -q --armor --detach-sign "$1/repodata/repomd.xml"
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

# The machine that crashes: the packages' own files, and the cache of the dynamic linker that an installation makes.
unpack_root() {
    local package
    mkdir -p "$WORK/root"
    for package in "$WORK"/unsigned/base/{filesystem,glibc,libgcc,libstdc++,will-crash,will-crash-libs,crashd,crashd-libs}-[0-9]*.rpm; do
        case ${package##*/} in *-1.1-* | *-2.1-*) continue ;; esac
        (cd "$WORK/root" && rpm2cpio "$package" | cpio -idm --quiet --no-absolute-filenames)
    done
    chmod -R u+rwX "$WORK/root"
    quietly "$WORK/ldconfig.log" "$(PATH=$PATH:/sbin:/usr/sbin command -v ldconfig)" -r "$WORK/root"
}

# crash NAME PACKAGE PROGRAM ARGUMENT...
crash() {
    local folder=$WORK/crash/$1 result=$WORK/done/cores/$1 package=$2 cores
    shift 2
    mkdir -p "$folder" "$result"
    if kernel_writes_cores; then
        (ulimit -c unlimited && in_root "$WORK/root" "$folder" -- "$@") >"$folder/log" 2>&1 || true
    else
        # The kernel sends cores elsewhere: gdb, inside the sandbox's process tree, writes one at the fault.
        (
            IN_ROOT_PREFIX=(gdb -nx -batch -iex 'set debuginfod enabled off' -iex 'set auto-load off'
                -iex 'set auto-solib-add off' -iex 'set follow-fork-mode child' -ex run -ex "generate-core-file $folder/core" --args)
            in_root "$WORK/root" "$folder" -- "$@"
        ) >"$folder/log" 2>&1 || true
    fi
    cores=("$folder"/core*)
    [[ -s ${cores[0]} ]] || fail "$* left no core; see $folder/log" \
        "fix: let the kernel write cores: sysctl -w kernel.core_pattern=core (as root)"
    mv "${cores[0]}" "$result/core"
    cp -L "$WORK/root/usr/lib/os-release" "$result/os-release"
    printf '%s\n' "$1" >"$result/executable"
    printf '%s\n' "$package" >"$result/package"
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
unpack_root
crash_all
finish
