#!/usr/bin/env python3
"""Reads rpm-md metadata with a parser that shares nothing with ours.

rpm-md.py check DIR            prints the number of packages, or what is wrong: digests, sizes, files that are not there
rpm-md.py compare OURS THEIRS  prints each difference of two repositories of the same packages, besides the known ones
"""

import gzip
import hashlib
import os
import sys
import xml.etree.ElementTree as ET

COMMON = "{http://linux.duke.edu/metadata/common}"
RPM = "{http://linux.duke.edu/metadata/rpm}"
REPO = "{http://linux.duke.edu/metadata/repo}"
DEPENDENCIES = ["provides", "requires", "conflicts", "obsoletes", "suggests", "enhances", "recommends", "supplements"]
problems = []


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def load(folder):
    """Documents by kind: primary, filelists, other."""
    documents = {}
    repomd = ET.parse(os.path.join(folder, "repodata/repomd.xml")).getroot()
    for data in repomd.iter(REPO + "data"):
        kind = data.get("type")
        if kind not in ("primary", "filelists", "other"):
            continue
        with open(os.path.join(folder, data.find(REPO + "location").get("href")), "rb") as file:
            packed = file.read()
        text = gzip.decompress(packed)
        for name, want in [("checksum", sha256(packed)), ("open-checksum", sha256(text)),
                           ("size", str(len(packed))), ("open-size", str(len(text)))]:
            found = data.find(REPO + name).text
            if found != want:
                problems.append(f"{kind}: {name} is {found}, not {want}")
        document = ET.fromstring(text)
        if int(document.get("packages")) != len(document):
            problems.append(f"{kind}: packages is {document.get('packages')}, there are {len(document)}")
        documents[kind] = document
    return documents


def check(folder):
    documents = load(folder)
    digests = set()
    for package in documents["primary"]:
        location = package.find(COMMON + "location").get("href")
        with open(os.path.join(folder, location), "rb") as file:
            data = file.read()
        digests.add(package.find(COMMON + "checksum").text)
        if sha256(data) != package.find(COMMON + "checksum").text:
            problems.append(f"{location} has another digest")
        if len(data) != int(package.find(COMMON + "size").get("package")):
            problems.append(f"{location} has another size")
        header = package.find(COMMON + "format").find(RPM + "header-range")
        if data[int(header.get("start")):][:3] != b"\x8e\xad\xe8":
            problems.append(f"{location}: no header at {header.get('start')}")
    for kind in ("filelists", "other"):
        if {package.get("pkgid") for package in documents[kind]} != digests:
            problems.append(f"{kind} is of other packages than primary")
    return len(digests)


def version(element):
    return (element.get("epoch"), element.get("ver"), element.get("rel"))


def text(element):
    return (element.text or "").strip() if element is not None else ""


def facts(documents):
    """All that both makers of metadata say of each package, by digest."""
    packages = {}
    for package in documents["primary"]:
        form = package.find(COMMON + "format")
        fact = {name: text(package.find(COMMON + name)) for name in
                ("name", "arch", "summary", "description", "packager", "url")}
        fact |= {name: text(form.find(RPM + name)) for name in
                 ("license", "vendor", "group", "buildhost", "sourcerpm")}
        fact["version"] = version(package.find(COMMON + "version"))
        fact["build"] = package.find(COMMON + "time").get("build")
        fact["size"] = sorted(package.find(COMMON + "size").items())
        fact["header"] = sorted(form.find(RPM + "header-range").items())
        fact["primary files"] = {(file.get("type"), file.text) for file in form.findall(COMMON + "file")}
        for kind in DEPENDENCIES:
            entries = form.find(RPM + kind)
            fact[kind] = {tuple(sorted(entry.items())) for entry in (entries if entries is not None else ())}
        packages[package.find(COMMON + "checksum").text] = fact
    for kind, tag in (("filelists", "file"), ("other", "changelog")):
        for package in documents[kind]:
            fact = packages[package.get("pkgid")]
            fact[kind] = [(sorted(item.items()), item.text) for item in package if item.tag.endswith("}" + tag)]
            fact[kind + " of"] = (package.get("name"), package.get("arch"), version(next(iter(package))))
    return packages


def is_known(kind, entry, fact):
    """createrepo_c leaves out requirements that a stronger one or the package itself fulfils; we repeat the header."""
    entry = dict(entry)
    provided = {dict(other)["name"] for other in fact["provides"]}
    files = {name for _, name in fact["primary files"]}
    return kind == "requires" and (entry["name"].startswith("libc.so.6(") or entry["name"] in provided | files)


def compare(ours, theirs):
    ours, theirs = facts(load(ours)), facts(load(theirs))
    if ours.keys() != theirs.keys():
        problems.append(f"other packages: {ours.keys() ^ theirs.keys()}")
    for digest in ours.keys() & theirs.keys():
        mine, other = ours[digest], theirs[digest]
        for name in mine.keys() | other.keys():
            a, b = mine.get(name), other.get(name)
            if name in DEPENDENCIES:
                more = {entry for entry in a - b if not is_known(name, entry, mine)}
                a, b = more, b - a
            if name == "filelists":
                a, b = sorted(a), sorted(b)
            if a != b:
                problems.append(f"{mine['name']}: {name}: ours {a!r}, theirs {b!r}")
    return len(ours)


count = compare(*sys.argv[2:4]) if sys.argv[1] == "compare" else check(sys.argv[2])
if problems:
    sys.exit("\n".join(problems))
print(count)
