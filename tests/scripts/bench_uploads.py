#!/usr/bin/env python3
"""Many uploads at once: `POST /create` of `retrace serve` against `curl -T` to nginx on the same disk.

Usage: bench_uploads.py RETRACE NGINX

Both get the same archives from the same curl: UPLOADS (200) files of MEGABYTES (50) each, all at once, in turns, RUNS (3)
times. An upload to Retrace ends when its archive is unpacked, on disk and in the queue; nginx only writes what it gets.
Every upload must become a task whose coredump is the one that was sent.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

UPLOADS = int(os.environ.get("UPLOADS", "200"))
MEGABYTES = int(os.environ.get("MEGABYTES", "50"))
RUNS = int(os.environ.get("RUNS", "3"))
MEMORY_MIB = 200
SHARE = 60


def make_archive(path):
    """An archive that compression makes no smaller, as a packed core is; gives the digest of its coredump."""
    core = os.urandom(MEGABYTES * 1_000_000 - 4096)
    files = {"coredump": core, "executable": b"/usr/bin/bench", "package": b"bench-1.0-1.fc40"}
    with gzip.open(path, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return hashlib.sha256(core).hexdigest()


def upload(work, url_of, options):
    """Sends the archive UPLOADS times at once; gives the seconds and, of each, status and headers."""
    config = work / "curl.config"
    report = 'output = /dev/null\nwrite-out = "%{http_code} %{header_json}--end--"\n'
    each = (f"url = {url_of(number)}\nupload-file = {work / 'archive'}\n{options}{report}" for number in range(UPLOADS))
    config.write_text("next\n".join(each))
    command = ["curl", "--parallel", "--parallel-immediate", "--parallel-max", str(UPLOADS)]
    start = time.monotonic()
    # It draws its progress whatever it is told.
    done = subprocess.run([*command, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds = time.monotonic() - start
    if done.returncode:
        sys.exit(f"curl failed: {done.stderr[-400:]}")
    answers = [answer.strip().split(" ", 1) for answer in done.stdout.split("--end--") if answer.strip()]
    return seconds, [(int(status), json.loads(headers)) for status, headers in answers]


def peak_memory_mib(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def retrace(program, work, digest):
    state = work / "state"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(work),
        "RETRACE_STATE_DIR": str(state),
        "RETRACE_CACHE_DIR": str(work / "cache"),
        "RETRACE_PLUGIN_DIR": os.environ["RETRACE_PLUGIN_DIR"],
        "RETRACE_KEYS_DIR": os.environ["RETRACE_KEYS_DIR"],
        "RETRACE_SERVER_LISTEN": "127.0.0.1:0",
    }
    with open(work / "serve.log", "w+") as log:
        server = subprocess.Popen([program, "serve", "--no-worker"], env=environment, stderr=log, stdout=log)
        try:
            url = None
            while url is None:
                time.sleep(0.05)
                text = (work / "serve.log").read_text()
                if server.poll() is not None:
                    sys.exit(f"retrace serve ended: {text}")
                if "Listening on " in text:
                    url = text.split("Listening on ")[1].split()[0].rstrip("/")
            options = "request = POST\nheader = \"Content-Type: application/x-gzip\"\n"
            seconds, answers = upload(work, lambda _: f"{url}/create", options)
            memory = peak_memory_mib(server.pid)
        finally:
            server.terminate()
            server.wait()
    refused = [status for status, _ in answers if status != 201]
    if refused or len(answers) != UPLOADS:
        sys.exit(f"{len(answers)} answers, refused: {refused}")
    ids = {headers["x-task-id"][0] for _, headers in answers}
    if len(ids) != UPLOADS:
        sys.exit(f"{UPLOADS} uploads, {len(ids)} tasks")
    wrong = [number for number in ids if not is_whole(state / "tasks" / number / "crash/coredump", digest)]
    if wrong:
        sys.exit(f"not as it was sent: the cores of {wrong}")
    shutil.rmtree(state)
    return seconds, memory


def is_whole(core, digest):
    with open(core, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def nginx(program, work):
    folder = work / "nginx"
    for name in ("files", "temporary"):
        (folder / name).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = "user root;" if os.geteuid() == 0 else ""
    unused = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"{user} worker_processes auto; daemon off; pid {folder}/pid; error_log {folder}/error.log;"
        f"events {{ worker_connections 1024; }}"
        f"http {{ access_log off; client_body_temp_path {folder}/temporary; {unused} client_max_body_size 0;"
        f"server {{ listen 127.0.0.1:{port}; root {folder}/files; location / {{ dav_methods PUT; }} }} }}"
    )
    server = subprocess.Popen([program, "-e", folder / "error.log", "-p", folder, "-c", folder / "nginx.conf"])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if server.poll() is not None:
                    sys.exit("nginx ended: " + (folder / "error.log").read_text())
                time.sleep(0.05)
        seconds, answers = upload(work, lambda number: f"http://127.0.0.1:{port}/{number}", "")
    finally:
        server.terminate()
        server.wait()
    refused = [status for status, _ in answers if status != 201]
    if refused or len(answers) != UPLOADS:
        sys.exit(f"nginx: {len(answers)} answers, refused: {refused}")
    shutil.rmtree(folder)
    return seconds


def main():
    program, nginx_program = sys.argv[1:]
    # Below the target folder: what lies in /tmp may be memory.
    with tempfile.TemporaryDirectory(dir=Path(nginx_program).parents[4]) as folder:
        work = Path(folder)
        digest = make_archive(work / "archive")
        size = (work / "archive").stat().st_size * UPLOADS / 1e6
        need = 2.2 * size * 1e6
        free = shutil.disk_usage(work).free
        if free < need:
            sys.exit(f"{need / 1e9:.0f} GB of disk are needed, {free / 1e9:.0f} are free; fewer: UPLOADS=50")
        ours, theirs, memory = [], [], []
        for _ in range(RUNS):
            theirs.append(nginx(nginx_program, work))
            seconds, peak = retrace(program, work, digest)
            ours.append(seconds)
            memory.append(peak)
            os.sync()
    rate = [size / seconds for seconds in ours]
    share = statistics.median(100 * b / a for a, b in zip(ours, theirs))
    print(f"uploads: {UPLOADS} of {MEGABYTES} MB at once: {statistics.median(rate):.0f} MB/s, nginx "
          f"{statistics.median(size / seconds for seconds in theirs):.0f} MB/s, of {RUNS} runs")
    verdict = lambda met: "met" if met else "missed"
    print(f"bench upload-vs-nginx: {share:.0f} %, goal >= {SHARE} %: {verdict(share >= SHARE)}")
    peak = max(memory)
    print(f"bench upload-memory: {peak:.0f} MiB, goal < {MEMORY_MIB} MiB: {verdict(peak < MEMORY_MIB)}")


main()
