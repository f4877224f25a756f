# Makes in $1: rpm/ (signed packages, signed metadata), deb/ (signed suite `stable`), key.asc, other.asc (signs nothing).
set -euo pipefail
cd "$1"
export HOME=$1 GNUPGHOME=$1/gnupg LC_ALL=C
mkdir -m 700 gnupg
for name in fixture other; do
    gpg -q --batch --passphrase '' --quick-gen-key "$name@example.invalid" rsa2048 sign never
done
gpg -q --export -a fixture@example.invalid >key.asc
gpg -q --export -a other@example.invalid >other.asc
sign() { gpg -q --batch --yes -u fixture@example.invalid "$@"; }

# The program, its library and something that has nothing to do with them.
mkdir src
echo 'int greet(int n) { return n + 1; }' >src/greet.c
echo 'int greet(int); int main(void) { return greet(-1); }' >src/main.c
echo 'int main(void) { return 0; }' >src/other.c
build() { # VERSION: into out/VERSION
    local out=out/$1
    mkdir -p "$out"
    gcc -g -O1 "-DV=$1" -shared -fPIC -Wl,--build-id -Wl,-soname,libgreet.so.1 -o "$out/libgreet.so.1" src/greet.c -include /dev/stdin <<<"int v_$1;"
    gcc -g -O1 -Wl,--build-id -o "$out/greet" src/main.c "$out/libgreet.so.1" -include /dev/stdin <<<"int w_$1;"
    gcc -g -O1 -Wl,--build-id -o "$out/lonely" src/other.c -include /dev/stdin <<<"int l_$1;"
}
build 1
build 2
id() { readelf -n "$1" | sed -n 's/.*Build ID: //p'; }
for version in 1 2; do
    for file in greet libgreet.so.1 lonely; do
        id=$(id "out/$version/$file")
        echo "$id" >"out/$version/$file.id"
        mkdir -p "out/$version/debug/.build-id/${id:0:2}"
        objcopy --only-keep-debug "out/$version/$file" "out/$version/debug/.build-id/${id:0:2}/${id:2}.debug"
    done
done

# RPM
mkdir -p rpm rpmbuild
for version in 1 2; do
    cat >greet.spec <<SPEC
Name: greet
Version: $version
Release: 1
Summary: fixture
License: MIT
%global __os_install_post %{nil}
%global _build_id_links compat
%description
fixture
%package libs
Summary: library
%description libs
library
%package debuginfo
Summary: debug information
%description debuginfo
debug information
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/lib64
cp $1/out/$version/greet %{buildroot}/usr/bin/
cp $1/out/$version/libgreet.so.1 %{buildroot}/usr/lib64/
mkdir -p %{buildroot}/usr/lib/debug
cp -r $1/out/$version/debug/.build-id %{buildroot}/usr/lib/debug/
%files
/usr/bin/greet
%files libs
/usr/lib64/libgreet.so.1
%files debuginfo
/usr/lib/debug
SPEC
    rpmbuild -bb --quiet --define "_topdir $1/rpmbuild" --define '_binary_payload w3.zstdio' greet.spec
done
cp rpmbuild/RPMS/*/*.rpm rpm/
rpmsign --define '__gpg /usr/bin/gpg' --define '_gpg_name fixture@example.invalid' --define "_gpg_path $GNUPGHOME" --addsign rpm/*.rpm >/dev/null
createrepo_c -q rpm
sign -abs rpm/repodata/repomd.xml

# Debian
deb() { # NAME VERSION ARCH-FIELDS...; files in root/NAME-VERSION
    local root=root/$1-$2
    mkdir -p "$root/DEBIAN" deb/pool
    printf 'Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: x <x@example.invalid>\nDescription: fixture\n' "$1" "$2" >"$root/DEBIAN/control"
    shift 2
    printf '%s\n' "$@" >>"$root/DEBIAN/control"
    dpkg-deb -Zxz --root-owner-group -b "$root" deb/pool >/dev/null
}
for version in 1 2; do
    mkdir -p root/{greet,lonely}-$version-1/usr/bin root/libgreet1-$version-1/usr/lib/x86_64-linux-gnu root/greet-dbgsym-$version-1
    cp out/$version/greet root/greet-$version-1/usr/bin/
    cp out/$version/lonely root/lonely-$version-1/usr/bin/
    cp out/$version/libgreet.so.1 root/libgreet1-$version-1/usr/lib/x86_64-linux-gnu/
    id=$(cat out/$version/greet.id)
    mkdir -p "root/greet-dbgsym-$version-1/usr/lib/debug/.build-id/${id:0:2}"
    cp "out/$version/debug/.build-id/${id:0:2}/${id:2}.debug" "root/greet-dbgsym-$version-1/usr/lib/debug/.build-id/${id:0:2}/"
    deb greet "$version-1" 'Section: utils' 'Source: greet-src'
    deb libgreet1 "$version-1" 'Section: libs' 'Source: greet-src'
    deb lonely "$version-1" 'Section: utils'
    mkdir -p "root/lonely-dbg-$version-1/usr/lib/debug"
    cp -r "out/$version/debug/.build-id" "root/lonely-dbg-$version-1/usr/lib/debug/"
    deb lonely-dbg "$version-1" 'Section: debug' 'Source: lonely' # as old ones: no Build-Ids
    deb greet-dbgsym "$version-1" 'Section: debug' 'Source: greet-src' "Depends: greet (= $version-1)" "Build-Ids: $id"
done
cd deb
suite=dists/stable
mkdir -p $suite/main/binary-amd64/by-hash/SHA256
apt-ftparchive packages pool >Packages
apt-ftparchive contents pool >$suite/main/Contents-amd64
cp Packages $suite/main/binary-amd64/
xz -k $suite/main/binary-amd64/Packages
gzip -9 $suite/main/Contents-amd64
rm Packages
apt-ftparchive -o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Codename=fixture \
    -o APT::FTPArchive::Release::Architectures=amd64 -o APT::FTPArchive::Release::Components=main release $suite >../Release
sed '/^Date:/a Valid-Until: Sat, 01 Jan 2022 00:00:00 UTC' ../Release | sign --clearsign -o ../expired
mv ../Release $suite/Release
sign --clearsign -o $suite/InRelease $suite/Release
sign -abs -o $suite/Release.gpg $suite/Release
gpgconf --kill all
