# shellcheck shell=bash
# What the scripts that make RPM fixtures share. Sourced after lib.sh and `begin`.

need bwrap cpio createrepo_c debugedit find-debuginfo g++ gpg make rpm2cpio rpmbuild rpmsign

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

# source_archive FOLDER NAME-VERSION TOP: the archive that the spec unpacks; FOLDER holds NAME-VERSION/.
source_archive() {
    mkdir -p "$3/SOURCES"
    tar -C "$1" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 -czf "$3/SOURCES/$2.tar.gz" "$2"
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

# unpack_root PACKAGE...: WORK/root, the machine that crashes: the packages' own files, and the cache of the dynamic
# linker that an installation makes.
unpack_root() {
    local package
    mkdir -p "$WORK/root"
    for package in "$@"; do
        package=$(realpath "$package")
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
            # shellcheck disable=SC2034 # in_root uses it
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
