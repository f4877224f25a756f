#!/usr/bin/env python3
"""Indexing a folder of packages: Retrace against Debian's debuginfod, on the same real packages.

Usage: bench_folder.py EXAMPLE CACHE

EXAMPLE is the program `folder` of retrace-mirror's examples. CACHE keeps the packages between runs: .deb files of Debian,
and .rpm files made of the same files with rpmbuild.
"""

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

# Programs, libraries and debug packages of all sizes.
PACKAGES = """
    bash coreutils gdb git binutils-x86-64-linux-gnu perl-base libperl5.36 openssl libssl3 curl libcurl4 libc6 libc6-dbg
    libicu72 libpython3.11-stdlib libpython3.11 python3.11-minimal python3-dbg libpython3.11-dbg python3.11-dbg libgnutls30
    libstdc++6 libxml2 libsqlite3-0 sqlite3 postgresql-client-15 postgresql-15 openssh-client openssh-server rsync vim
    libx11-6 libglib2.0-0 systemd libsystemd0 udev dbus nginx redis-server tcpdump
""".split()
RUNS = 3


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def download(folder):
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in PACKAGES if not list(folder.glob(f"{name}_*.deb"))]
    if not missing:
        return
    known = set(run("apt-cache", "pkgnames").split())
    gone = [name for name in missing if name not in known]
    if gone:
        print(f"not in this release of Debian, left out: {' '.join(gone)}")
    options = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    subprocess.run(["apt-get", "-qq", *options, "download", *[n for n in missing if n in known]], check=True, cwd=folder)


def convert(debs, folder):
    """An .rpm with the same files for each .deb that has none yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for deb in sorted(debs.glob("*.deb")):
        name, version, _ = deb.stem.split("_")
        version = re.sub(r"[^A-Za-z0-9.]", ".", version)
        if list(folder.glob(f"{name}-{version}-1.*.rpm")):
            continue
        with tempfile.TemporaryDirectory() as work:
            root = Path(work, "root")
            run("dpkg-deb", "-x", deb, root)
            files = []
            for path in [path for path in root.rglob("*") if path.is_symlink() or path.is_file()]:
                if re.fullmatch(r"[A-Za-z0-9_./+:@~-]+", str(path.relative_to(root))):
                    files.append(f"/{path.relative_to(root)}")
                else:
                    path.unlink()  # what a spec file would have to quote
            spec = Path(work, "package.spec")
            spec.write_text(
                "%define debug_package %{nil}\n%define __os_install_post %{nil}\nAutoReqProv: no\n"
                "%define _build_id_links compat\n%define __strip /bin/true\n"
                f"Name: {name}\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: x\n%description\nx\n"
                "%prep\n%build\n%install\n" + f"cp -a {root}/. %{{buildroot}}/\n%files\n" + "\n".join(files) + "\n"
            )
            defines = ["--define", f"_topdir {work}/top", "--define", f"_rpmdir {folder}", "--define", "_build_name_fmt %{NVRA}.rpm"]
            built = subprocess.run(["rpmbuild", "-bb", "--quiet", *defines, spec], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if built.returncode:
                print(f"{deb.name}: rpmbuild failed, left out: {built.stdout.strip().splitlines()[-1]}")


def retrace(example, folder):
    with tempfile.TemporaryDirectory() as state:
        start = time.perf_counter()
        packages, build_ids, _ = run(example, folder, state, stderr=subprocess.DEVNULL).split()
        return time.perf_counter() - start, int(packages), int(build_ids)


def metrics(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
            return reply.read().decode()
    except OSError:
        return ""


def debuginfod(folder):
    """Seconds from its start until everything is scanned, by its own metrics; and how many build-ids it found."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    wanted = len(list(folder.iterdir()))
    with tempfile.TemporaryDirectory() as state:
        start = time.perf_counter()
        # Scans once, and neither reads the names of sources nor tidies up.
        command = ["debuginfod", "-p", str(port), "-d", f"{state}/db", "-R", "-U", "--disable-source-scan"]
        command += ["-t", "0", "-g", "0", str(folder)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while time.perf_counter() - start < 600:
                time.sleep(0.02)
                text = metrics(port)
                scanned = sum(int(n) for n in re.findall(r'^scanned_files_total\{source="[^"]*archive[^"]*"\} (\d+)', text, re.M))
                busy = re.search(r'^thread_busy\{role="scan"\} (\d+)', text, re.M)
                if scanned >= wanted and busy and busy.group(1) == "0":
                    found = re.findall(r"^found_(?:executable|debuginfo)_total\{[^}]*\} (\d+)", text, re.M)
                    if not sum(map(int, found)):
                        raise SystemExit("debuginfod found nothing: is bsdtar missing (libarchive-tools)?")
                    return time.perf_counter() - start, sum(map(int, found))
            raise SystemExit(f"debuginfod did not scan {wanted} packages in ten minutes:\n{text}")
        finally:
            server.terminate()
            server.wait()


def main():
    example, cache = sys.argv[1], Path(sys.argv[2])
    download(cache / "deb")
    convert(cache / "deb", cache / "rpm")
    for kind in ["rpm", "deb"]:
        folder = cache / kind
        ours = [retrace(example, folder) for _ in range(RUNS)]
        theirs = [debuginfod(folder) for _ in range(RUNS)]
        ratio = statistics.median(t for t, _ in theirs) / statistics.median(t for t, _, _ in ours)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
        print(f"{ours[0][1]} .{kind} files, {size:.0f} MiB, {ours[0][2]} build-ids named by headers: "
              f"{statistics.median(t for t, _, _ in ours) * 1e3:.0f} ms; debuginfod: {statistics.median(t for t, _ in theirs):.2f} s, {theirs[0][1]} files with build-ids")
        print(f"bench mirror-folder-{kind}-vs-debuginfod: {ratio:.1f} x, goal >= 20 x: {'met' if ratio >= 20 else 'missed'}")


main()
