//! Answers of plugins to values of `retrace-types`: a parser of hostile data. One rule broken drops the answer.

#[cfg(any(test, fuzzing))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a broken promise has to be seen")]
pub(crate) mod random;
mod repository;
mod rules;

use retrace_types::{
    Architecture, Confidence, DistroId, PackageFormat, PackageId, PackageKind, Release, ReleaseId, VersionId,
};

pub(crate) use repository::{Context, MAX_URL_BYTES, debugger, repositories};
pub(crate) use rules::{MAX_LIST, MAX_TEXT_BYTES, Owner};
use rules::{annotations, architecture, at, invalid, list, one_word, title, unique};

use crate::{
    CallError, Claim, FailureKind, KernelFiles, NamedPackage, PackageRef, ReleaseEntry, ReleaseSource,
    bindings::{
        exports::retrace::distro::distribution as wit, kernel::exports::retrace::distro::kernel, retrace::distro::types,
    },
    state::one_line,
};

/// Most bytes of an input text; the rest is cut off before the guest sees it.
pub(crate) const MAX_SOURCE_BYTES: usize = 64 << 10;
/// Most bytes of a package name as input.
const MAX_NAME_BYTES: usize = 4 << 10;
/// Most bytes of a text in an error.
const MAX_ERROR_BYTES: usize = 1 << 10;

/// The checked answer of `describe`.
pub(crate) struct Description {
    pub(crate) id: DistroId,
    pub(crate) aliases: Vec<DistroId>,
    pub(crate) name: String,
    pub(crate) format: PackageFormat,
    pub(crate) version: String,
}

pub(crate) fn description(answer: wit::Description) -> Result<Description, FailureKind> {
    let id: DistroId = answer.id.parse().map_err(|error| invalid("id", error))?;
    let mut aliases = Vec::new();
    for (i, alias) in list("aliases", answer.aliases, 64)?.into_iter().enumerate() {
        aliases.push(alias.parse::<DistroId>().map_err(|error| invalid(at("aliases", i), error))?);
    }
    unique("aliases", aliases.iter().chain([&id]))?;
    annotations("annotations", answer.annotations)?;
    Ok(Description {
        id,
        aliases,
        name: title("name", answer.name)?,
        format: match answer.format {
            types::PackageFormat::Rpm => PackageFormat::Rpm,
            types::PackageFormat::Deb => PackageFormat::Deb,
            types::PackageFormat::Other(name) => PackageFormat::Other(one_word("format", name, 64)?),
        },
        version: rules::semver("plugin-version", answer.plugin_version)?,
    })
}

pub(crate) fn releases(answer: Vec<wit::ReleaseEntry>, owner: &Owner<'_>) -> Result<Vec<ReleaseEntry>, FailureKind> {
    let mut entries = Vec::new();
    for (i, entry) in list("releases", answer, MAX_LIST)?.into_iter().enumerate() {
        let path = at("releases", i);
        let architectures = list(&format!("{path}.architectures"), entry.architectures, 64)?;
        if architectures.is_empty() {
            return Err(invalid(format!("{path}.architectures"), "is empty"));
        }
        let mut known = Vec::new();
        for (j, name) in architectures.into_iter().enumerate() {
            let name = architecture(&at(&format!("{path}.architectures"), j), name)?;
            // A plugin may know machines that this host does not.
            known.extend(name.parse::<Architecture>());
        }
        annotations(&format!("{path}.annotations"), entry.annotations)?;
        entries.push(ReleaseEntry {
            release: release(&format!("{path}.release"), entry.release, owner)?,
            title: title(&format!("{path}.title"), entry.title)?,
            architectures: known,
            end_of_life: entry.end_of_life.map(|date| rules::date(&format!("{path}.end-of-life"), date)).transpose()?,
        });
    }
    unique("releases", entries.iter().map(|entry| &entry.release.id))?;
    Ok(entries)
}

pub(crate) fn release(path: &str, answer: types::Release, owner: &Owner<'_>) -> Result<Release, FailureKind> {
    let distro: DistroId = answer.distro.parse().map_err(|error| invalid(format!("{path}.distro"), error))?;
    if !owner.owns(distro.as_str()) {
        return Err(invalid(format!("{path}.distro"), format!("{distro} is neither the plugin's id nor an alias")));
    }
    let version: VersionId = answer.version.parse().map_err(|error| invalid(format!("{path}.version"), error))?;
    let word = |field: &str, value: Option<String>| {
        let Some(value) = value else { return Ok(None) };
        let path = format!("{path}.{field}");
        value.parse::<VersionId>().map(|value| Some(value.into())).map_err(|error| invalid(path, error))
    };
    Ok(Release {
        id: ReleaseId { distro, version },
        minor: word("minor", answer.minor)?,
        codename: word("codename", answer.codename)?,
        rolling: answer.rolling,
    })
}

pub(crate) fn guess(answer: wit::ReleaseGuess, owner: &Owner<'_>) -> Result<Claim, FailureKind> {
    Ok(Claim {
        release: release("guess.release", answer.release, owner)?,
        confidence: match answer.confidence {
            wit::Confidence::Weak => Confidence::Weak,
            wit::Confidence::Likely => Confidence::Likely,
            wit::Confidence::Certain => Confidence::Certain,
        },
        reason: title("guess.reason", answer.reason)?,
    })
}

pub(crate) fn packages(path: &str, answer: Vec<types::PackageId>) -> Result<Vec<NamedPackage>, FailureKind> {
    let answer = list(path, answer, MAX_LIST)?;
    answer.into_iter().enumerate().map(|(i, id)| package(&at(path, i), id)).collect()
}

/// One answer for each of `names` names.
pub(crate) fn file_names(
    answer: Vec<Option<types::PackageId>>,
    names: usize,
) -> Result<Vec<Option<NamedPackage>>, FailureKind> {
    if answer.len() != names {
        return Err(invalid("names", format!("{} answers for {names} names", answer.len())));
    }
    let convert = |(i, id): (usize, Option<types::PackageId>)| id.map(|id| package(&at("names", i), id)).transpose();
    answer.into_iter().enumerate().map(convert).collect()
}

fn package(path: &str, answer: types::PackageId) -> Result<NamedPackage, FailureKind> {
    let word = |field: &str, value| one_word(&format!("{path}.{field}"), value, 256);
    let id = PackageId {
        name: word("name", answer.name)?,
        epoch: answer.epoch,
        version: word("version", answer.version)?,
        release: answer.release.map(|release| word("release", release)).transpose()?,
        arch: architecture(&format!("{path}.arch"), answer.arch)?,
    };
    let kind = match answer.kind {
        types::PackageKind::Binary => PackageKind::Binary,
        types::PackageKind::DebugInfo => PackageKind::DebugInfo,
        types::PackageKind::DebugSource => PackageKind::DebugSource,
        types::PackageKind::Source => PackageKind::Source,
        types::PackageKind::Other(name) => PackageKind::Other(word("kind", name)?),
    };
    Ok(NamedPackage { id, kind })
}

pub(crate) fn file_name(answer: String) -> Result<String, FailureKind> {
    one_word("file-name", answer, 512)
}

pub(crate) fn kernel_files(answer: kernel::KernelFiles) -> Result<KernelFiles, FailureKind> {
    if answer.debug_packages.is_empty() {
        return Err(invalid("kernel.debug-packages", "is empty"));
    }
    Ok(KernelFiles {
        debug_packages: packages("kernel.debug-packages", answer.debug_packages)?,
        vmlinux: repository::absolute_path("kernel.vmlinux", answer.vmlinux)?,
    })
}

pub(crate) fn extra_packages(answer: Vec<String>) -> Result<Vec<String>, FailureKind> {
    let names = list("extra-packages", answer, MAX_LIST)?;
    names.into_iter().enumerate().map(|(i, name)| one_word(&at("extra-packages", i), name, 256)).collect()
}

/// A name as input, no longer than the contract allows.
pub(crate) fn cut_name(name: &str) -> String {
    cut(name, MAX_NAME_BYTES)
}

/// Never fails: the text of an error is for people and holds for nothing, so it is made harmless instead.
pub(crate) fn call_error(error: types::CallError) -> CallError {
    let text = |text: String| one_line(&text, MAX_ERROR_BYTES);
    match error {
        types::CallError::UnsupportedRelease(release) => CallError::UnsupportedRelease(text(release)),
        types::CallError::UnsupportedArchitecture(arch) => CallError::UnsupportedArchitecture(text(arch)),
        types::CallError::MalformedInput(why) => CallError::MalformedInput(text(why)),
        types::CallError::Internal(why) => CallError::Internal(text(why)),
    }
}

pub(crate) fn release_to_wit(release: &Release) -> types::Release {
    types::Release {
        distro: release.id.distro.to_string(),
        version: release.id.version.to_string(),
        minor: release.minor.clone(),
        codename: release.codename.clone(),
        rolling: release.rolling,
    }
}

pub(crate) fn source_to_wit(source: &ReleaseSource) -> wit::ReleaseSource {
    match source {
        ReleaseSource::OsRelease(text) => wit::ReleaseSource::OsRelease(cut(text, MAX_SOURCE_BYTES)),
        ReleaseSource::ReleaseLine(text) => wit::ReleaseSource::ReleaseLine(cut(text, MAX_SOURCE_BYTES)),
        ReleaseSource::Named { name, text } => {
            wit::ReleaseSource::Named((cut(name, MAX_NAME_BYTES), cut(text, MAX_SOURCE_BYTES)))
        }
    }
}

pub(crate) fn package_ref_to_wit(subject: &PackageRef) -> wit::PackageRef {
    wit::PackageRef {
        raw: cut(&subject.raw, MAX_NAME_BYTES),
        format: subject.format.as_ref().map(|format| match format {
            PackageFormat::Rpm => types::PackageFormat::Rpm,
            PackageFormat::Deb => types::PackageFormat::Deb,
            PackageFormat::Other(name) => types::PackageFormat::Other(cut(name, 64)),
        }),
        vendor: subject.vendor.as_ref().map(|vendor| cut(vendor, MAX_NAME_BYTES)),
    }
}

pub(crate) fn package_to_wit(id: &PackageId, kind: &PackageKind) -> types::PackageId {
    types::PackageId {
        name: id.name.clone(),
        epoch: id.epoch,
        version: id.version.clone(),
        release: id.release.clone(),
        arch: id.arch.clone(),
        kind: match kind {
            PackageKind::Binary => types::PackageKind::Binary,
            PackageKind::DebugInfo => types::PackageKind::DebugInfo,
            PackageKind::DebugSource => types::PackageKind::DebugSource,
            PackageKind::Source => types::PackageKind::Source,
            PackageKind::Other(name) => types::PackageKind::Other(name.clone()),
        },
    }
}

fn cut(text: &str, max_bytes: usize) -> String {
    text.get(..text.floor_char_boundary(max_bytes)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
