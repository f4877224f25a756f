#!/usr/bin/env bash
# debian-crash.sh [FIXTURES]: a genuine crash of a packaged, multi-threaded Debian program, and a signed Debian
# repository of the very packages it ran from. Makes FIXTURES/debian/:
#   core         GraphicsMagick, hit by SIGSEGV while several OpenMP threads compute; its own signal handler then
#                aborts, so the stack passes through a signal frame
#   os-release   of the root it ran in
#   executable   path of the program in that root
#   package      name-version of its package, as crash reporters write it
#   repo/        dists/<codename>, pool/: all packages of the root, with libc6-dbg and graphicsmagick-dbg
#   key.asc      public half of the throw-away key that signed repo/
#   codename     of the release
# Every module of the core comes from the packages in repo/, whatever this machine has installed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin debian "${1:-}" "${BASH_SOURCE[0]}"
need apt-get apt-ftparchive bwrap dpkg-deb gdb gpg xz python3
CODENAME=$(codename)

DEBUG_PACKAGES=(libc6-dbg graphicsmagick-dbg)

fetch_packages() {
    apt_root
    local programs
    mapfile -t programs < <(closure graphicsmagick)
    [[ ${#programs[@]} -gt 5 ]] || fail "apt finds no graphicsmagick" "fix: make 'apt-cache policy graphicsmagick' show one"
    mapfile -t PROGRAM_DEBS < <(download "${programs[@]}" base-files)
    mapfile -t DEBUG_DEBS < <(download "${DEBUG_PACKAGES[@]}")
    [[ ${#DEBUG_DEBS[@]} -eq ${#DEBUG_PACKAGES[@]} ]] || fail "apt finds not all of ${DEBUG_PACKAGES[*]}"
    say "$((${#PROGRAM_DEBS[@]} + ${#DEBUG_DEBS[@]})) packages of $CODENAME"
}

# The root that the program runs in, and one with debug information for the check at the end.
unpack_roots() {
    local deb
    mkdir -p "$WORK/root" "$WORK/debug"
    for deb in "${PROGRAM_DEBS[@]}"; do dpkg-deb -x "$deb" "$WORK/root"; done
    for deb in "${DEBUG_DEBS[@]}"; do dpkg-deb -x "$deb" "$WORK/debug"; done
    merge_usr "$WORK/root"
    mkdir -p "$WORK/root/var/crash"
}

# Runs the program and, once its threads compute, ends it with SIGSEGV. The core is WORK/crash/core*.
crash() {
    local command=(/usr/bin/gm convert -size 600x600 plasma:fractal -median 12 -negate null:)
    rm -rf "$WORK/crash"
    mkdir -p "$WORK/crash"
    python3 "$SOURCES/crash_when_busy.py" "$1" "$WORK/crash" "$WORK/root" "${command[@]}"
}

# True when gdb, given the files of the packages, sees what this fixture is for: at least three threads, and in the
# crashed one a signal handler's frame and frames with file:line of the C library and of GraphicsMagick.
good_core() {
    local text=$WORK/gdb.txt
    gdb -nx -batch -iex 'set debuginfod enabled off' -iex 'set auto-load off' -iex "set sysroot $WORK/root" \
        -iex "set debug-file-directory $WORK/debug/usr/lib/debug" -ex 'printf "STACK\n"' -ex 'bt' -ex 'printf "THREADS\n"' -ex 'info threads' \
        "$WORK/root/usr/bin/gm" "$1" >"$text" 2>&1 || return 1
    local stack threads
    stack=$(sed -n '/^STACK/,/^THREADS/p' "$text")
    threads=$(sed '1,/^THREADS/d' "$text" | grep -c 'Thread\|LWP' || true)
    [[ $threads -ge 3 ]] && grep -q '<signal handler called>' <<<"$stack" &&
        grep -qE ' at (\./)?(nptl|signal|stdlib|sysdeps|\.\./)[^ ]*:[0-9]+' <<<"$stack" && grep -qE ' at [^ ]*magick/[^ ]*\.c:[0-9]+' <<<"$stack" || return 1
    SUMMARY="$threads threads, $(grep -c '^#' <<<"$stack") frames in the crashed one, $(grep -cE ' at [^ ]+:[0-9]+$' <<<"$stack") with file:line"
}

make_core() {
    local how=kernel try cores core
    kernel_writes_cores || how=gdb
    require_cores
    for try in 1 2 3 4 5; do
        if crash "$how"; then
            cores=("$WORK"/crash/core*)
            core=${cores[0]}
            if [[ -s $core ]] && good_core "$core"; then
                mv "$core" "$WORK/done/core"
                say "core: $SUMMARY ($(du -h --apparent-size "$WORK/done/core" | cut -f1))"
                return
            fi
        fi
        say "core $try is not the wanted one, trying again"
    done
    fail "no good core in 5 tries; the last one's stack is in $WORK/gdb.txt" \
        "fix: if it is empty, let the kernel write cores: sysctl -w kernel.core_pattern=core (as root)"
}

make_repository() {
    local repo=$WORK/done/repo dist=dists/$CODENAME deb name folder
    local index=$dist/main/binary-$ARCH
    mkdir -p "$repo/$index"
    for deb in "${PROGRAM_DEBS[@]}" "${DEBUG_DEBS[@]}"; do
        name=${deb##*/}
        folder=$repo/pool/main/${name:0:1}/${name%%_*}
        mkdir -p "$folder"
        # File names in the pool of a real archive leave out the epoch.
        [[ $name != *%3a* ]] || name=${name%%_*}_${name#*%3a}
        ln "$deb" "$folder/$name"
    done
    cd "$repo"
    apt-ftparchive -q=2 packages pool >"$index/Packages"
    # A real archive writes section/package.
    apt-ftparchive -q=2 contents pool |
        awk 'NR == FNR { if ($1 == "Package:") p = $2; if ($1 == "Section:") s[p] = $2 "/"; next }
             { n = split($NF, names, ","); sub(/[^ \t]+$/, "")
               for (i = 1; i <= n; i++) $0 = $0 (i > 1 ? "," : "") s[names[i]] names[i]; print }' "$index/Packages" - |
        gzip -9n >"$dist/main/Contents-$ARCH.gz"
    xz -k "$index/Packages"
    apt-ftparchive -q=2 -o APT::FTPArchive::Release::Origin=Debian -o APT::FTPArchive::Release::Label=Debian \
        -o APT::FTPArchive::Release::Suite="$CODENAME" -o APT::FTPArchive::Release::Codename="$CODENAME" \
        -o APT::FTPArchive::Release::Architectures="$ARCH" -o APT::FTPArchive::Release::Components=main \
        -o APT::FTPArchive::Release::Acquire-By-Hash=yes release "$dist" >"$WORK/Release"
    by_hash "$dist"
    mv "$WORK/Release" "$dist/Release"
    make_key "$WORK" key
    gpg --homedir "$WORK/gpg-key" --batch -q --clearsign --output "$dist/InRelease" "$dist/Release"
    gpg --homedir "$WORK/gpg-key" --batch -q --armor --detach-sign --output "$dist/Release.gpg" "$dist/Release"
    stop_agents "$WORK/gpg-key"
    mv "$WORK/key.asc" "$WORK/done/key.asc"
    cd "$OUT"
    say "repository: $(grep -c '^Package:' "$repo/$index/Packages") packages, signed"
}

# The second name of each index file, as `Acquire-By-Hash` promises.
by_hash() {
    local file digest
    while read -r file; do
        digest=$(sha256sum "$file" | cut -d' ' -f1)
        mkdir -p "$(dirname "$file")/by-hash/SHA256"
        ln "$file" "$(dirname "$file")/by-hash/SHA256/$digest"
    done < <(find "$1/main" -type f -not -path '*/by-hash/*')
}

fetch_packages
unpack_roots
make_core
make_repository
cp -L "$WORK/root/etc/os-release" "$WORK/done/os-release"
printf '/usr/bin/gm\n' >"$WORK/done/executable"
for deb in "${PROGRAM_DEBS[@]}"; do
    [[ ${deb##*/} != graphicsmagick_* ]] || printf 'graphicsmagick-%s\n' "$(dpkg-deb -f "$deb" Version)" >"$WORK/done/package"
done
printf '%s\n' "$CODENAME" >"$WORK/done/codename"
finish
