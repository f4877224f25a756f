//! The inputs of calls as JSON, in the form that [`Guest::call`](crate::Guest::call) takes: what is kept of a failed call.

use serde_json::{Value, json};

use crate::bindings::{exports::retrace::distro::distribution as wit, retrace::distro::types};

pub(crate) fn nothing() -> Value {
    json!({})
}

pub(crate) fn release_source(source: &wit::ReleaseSource) -> Value {
    let source = match source {
        wit::ReleaseSource::OsRelease(text) => json!({ "os-release": text }),
        wit::ReleaseSource::ReleaseLine(text) => json!({ "release-line": text }),
        wit::ReleaseSource::Named((name, text)) => json!({ "named": [name, text] }),
    };
    json!({ "source": source })
}

pub(crate) fn package_ref(subject: &wit::PackageRef) -> Value {
    let format = subject.format.as_ref().map(|format| match format {
        types::PackageFormat::Rpm => json!("rpm"),
        types::PackageFormat::Deb => json!("deb"),
        types::PackageFormat::Other(name) => json!({ "other": name }),
    });
    json!({ "subject": { "raw": subject.raw, "format": format, "vendor": subject.vendor } })
}

pub(crate) fn release_and_arch(release: &types::Release, arch: &str) -> Value {
    json!({ "release": self::release(release), "arch": arch })
}

pub(crate) fn wanted_packages(release: &types::Release, arch: &str, wanted: &[String]) -> Value {
    json!({ "release": self::release(release), "arch": arch, "wanted": wanted })
}

pub(crate) fn version_and_arch(version: &str, arch: &str) -> Value {
    json!({ "version": version, "arch": arch })
}

pub(crate) fn names(names: &[String]) -> Value {
    json!({ "names": names })
}

pub(crate) fn package(subject: &types::PackageId) -> Value {
    let kind = match &subject.kind {
        types::PackageKind::Binary => json!("binary"),
        types::PackageKind::DebugInfo => json!("debug-info"),
        types::PackageKind::DebugSource => json!("debug-source"),
        types::PackageKind::Source => json!("source"),
        types::PackageKind::Other(name) => json!({ "other": name }),
    };
    json!({ "subject": {
        "name": subject.name,
        "epoch": subject.epoch,
        "version": subject.version,
        "release": subject.release,
        "arch": subject.arch,
        "kind": kind,
    } })
}

fn release(release: &types::Release) -> Value {
    json!({
        "distro": release.distro,
        "version": release.version,
        "minor": release.minor,
        "codename": release.codename,
        "rolling": release.rolling,
    })
}
