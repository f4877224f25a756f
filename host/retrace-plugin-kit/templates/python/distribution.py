"""@NAME@ as Retrace sees it: releases, repositories, keys.

The functions and their values are described in the contract: `retrace plugin wit` prints it. There are no files, no
network and no clock here, and nothing is remembered from one call to the next.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.distribution import (
    Confidence,
    Description,
    KeyFile,
    ReleaseEntry,
    ReleaseGuess,
    ReleaseSource_OsRelease,
    ReleaseSource_ReleaseLine,
    Repository,
    RepositoryContent,
    RepositoryLayout_RpmMd,
    Signatures,
)
from wit_world.imports.types import (
    CallError_MalformedInput,
    CallError_UnsupportedArchitecture,
    CallError_UnsupportedRelease,
    PackageFormat_Rpm,
    PackageId,
    PackageKind_Binary,
    PackageKind_DebugInfo,
    PackageKind_DebugSource,
    PackageKind_Source,
    Release,
)

ID = "@ID@"
NAME = "@NAME@"
# What builds put into the release of a package: `.@TAG@2`.
DIST_TAG = "@TAG@"
# Newest first: version and end of life.
RELEASES = [("2", None), ("1", "2026-06-30")]
ARCHITECTURES = ["x86_64", "aarch64"]
MIRROR = "https://mirror.example.org/@ID@/$VER/$ARCH"


class Distribution(exports.Distribution):
    def describe(self):
        return Description(
            id=ID, aliases=[], name=NAME, format=PackageFormat_Rpm(), plugin_version="0.1.0", annotations=[]
        )

    def releases(self):
        return [
            ReleaseEntry(
                release=release(version),
                title=f"{NAME} {version}",
                architectures=ARCHITECTURES,
                end_of_life=end_of_life,
                annotations=[],
            )
            for version, end_of_life in RELEASES
        ]

    def parse_release(self, source):
        if isinstance(source, ReleaseSource_OsRelease):
            values = os_release(source.value)
            if values.get("ID") != ID:
                return None
            version = values.get("VERSION_ID")
            if version is None:
                raise Err(CallError_MalformedInput(f"os-release of {NAME} without VERSION_ID: name the release"))
            return by_version(version)
        if isinstance(source, ReleaseSource_ReleaseLine):
            line = release_line(source.value)
            return by_version(line[1]) if line and line[0] == NAME else None
        return None

    def guess_release(self, subject):
        if not isinstance(subject.format, (type(None), PackageFormat_Rpm)):
            return None
        version = dist_tag(subject.raw)
        if version is None:
            return None
        return ReleaseGuess(
            release=by_version(version),
            confidence=Confidence.CERTAIN if subject.vendor == NAME else Confidence.LIKELY,
            reason=f"release tag .{DIST_TAG}{version}",
        )

    def repositories(self, release, arch):
        check(release, arch)
        keys = [KeyFile(path=f"{ID}/RPM-GPG-KEY-{ID}", fingerprint=None)]

        def repository(id, what, content, folder):
            return Repository(
                id=id,
                title=f"{NAME} {release.version} {what}",
                layout=RepositoryLayout_RpmMd(),
                content=content,
                mirrors=[f"{MIRROR}/{folder}/"],
                signatures=Signatures.PACKAGES,
                keys=keys,
                config=[],
            )

        return [
            repository("base", "packages", RepositoryContent.PACKAGES, "os"),
            repository("base-debuginfo", "debuginfo", RepositoryContent.DEBUG_INFO, "debug"),
        ]

    def debugger_for(self, release, arch):
        check(release, arch)
        return None

    def parse_file_names(self, names):
        return [parse_nevra(name) for name in names]

    def format_file_name(self, subject):
        if subject.release is None:
            raise Err(CallError_MalformedInput(f"package {subject.name} has no file name in this format"))
        return f"{subject.name}-{subject.version}-{subject.release}.{subject.arch}.rpm"

    def debug_packages(self, subject):
        if not isinstance(subject.kind, PackageKind_Binary):
            return []
        return [
            PackageId(subject.name + suffix, subject.epoch, subject.version, subject.release, subject.arch, kind)
            for suffix, kind in [("-debuginfo", PackageKind_DebugInfo()), ("-debugsource", PackageKind_DebugSource())]
        ]


def release(version):
    return Release(distro=ID, version=version, minor=None, codename=None, rolling=False)


def by_version(version):
    known = [known for known, _ in RELEASES]
    if version not in known:
        raise Err(CallError_UnsupportedRelease(f"{NAME} {version[:64]} (served: {', '.join(known)})"))
    return release(version)


def check(release, arch):
    if release.distro != ID:
        raise Err(CallError_UnsupportedRelease(f"{release.distro[:64]} {release.version[:64]}: this plugin serves {ID}"))
    by_version(release.version)
    if arch not in ARCHITECTURES:
        raise Err(CallError_UnsupportedArchitecture(f"{NAME} has no packages for {arch[:64]}"))


def os_release(text):
    """The assignments of an os-release(5) file, as a shell reads them; an empty value counts as none."""
    values = {}
    for line in text.removeprefix("\ufeff").replace("\r", "\n").split("\n"):
        key, equals, value = line.strip().partition("=")
        if equals and key and all(c.isascii() and (c.isalnum() or c == "_") for c in key):
            values[key] = unquote(value)
    return {key: value for key, value in values.items() if value}


def unquote(text):
    value, quote, i = [], None, 0
    while i < len(text):
        c = text[i]
        i += 1
        if quote is None and c in "\"'":
            quote = c
        elif c == quote:
            quote = None
        elif c == "\\" and quote != "'":
            following = text[i : i + 1]
            i += 1
            if quote == '"' and following not in ('"', "$", "\\", "`"):
                value.append("\\")
            value.append(following)
        elif quote is None and c.isspace():
            break
        else:
            value.append(c)
    return "".join(value)


def release_line(text):
    """Name and version of a line such as `@NAME@ release 2 (Code Name)`."""
    lines = text.strip().replace("\r", "\n").split("\n")
    name, found, rest = lines[0].strip().partition(" release ")
    words = rest.split(maxsplit=1)
    return (name.strip(), words[0]) if found and name.strip() and words else None


def dist_tag(name):
    """The number behind the tag in the release of a package: `2` in `bash-5.2-1.@TAG@2.x86_64`."""
    for part in reversed(name.rpartition("-")[2].split(".")):
        if part.startswith(DIST_TAG):
            digits = part[len(DIST_TAG) :].split("_")[0].split("~")[0]
            if 0 < len(digits) <= 4 and digits.isascii() and digits.isdigit():
                return digits
    return None


# As rpm names them; a plugin needs only those that its packages have.
PACKAGE_ARCHITECTURES = {"noarch", "x86_64", "aarch64", "i686", "src", "nosrc"}


def parse_nevra(text):
    """`name-[epoch:]version-release.arch[.rpm]`; the epoch may also stand before the name."""
    if len(text) > 512 or not all("!" <= c <= "~" and c != "/" for c in text):
        return None
    nevr, dot, arch = text.removesuffix(".rpm").rpartition(".")
    if not dot or arch not in PACKAGE_ARCHITECTURES:
        return None
    nev, _, rel = nevr.rpartition("-")
    name, _, version = nev.rpartition("-")
    epoch = None
    if ":" in version and ":" not in name:
        epoch, _, version = version.partition(":")
    elif ":" in name and ":" not in version:
        epoch, _, name = name.partition(":")
    if epoch is not None:
        if not epoch.isdigit() or len(epoch.lstrip("0")) > 10 or int(epoch) >= 2**32:
            return None
        epoch = int(epoch)
    if not all(part not in ("", ".", "..") and ":" not in part for part in (name, version, rel)):
        return None
    return PackageId(name, epoch, version, rel, arch, kind_of(name, arch))


def kind_of(name, arch):
    if arch in ("src", "nosrc"):
        return PackageKind_Source()
    if name.endswith("-debuginfo") or "-debuginfo-common" in name:
        return PackageKind_DebugInfo()
    if name.endswith("-debugsource"):
        return PackageKind_DebugSource()
    return PackageKind_Binary()
