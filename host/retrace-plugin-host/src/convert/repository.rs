//! Repositories and debuggers: the answers on which the host acts.

use retrace_types::{
    Architecture, Debugger, EnvironmentKind, KeyFile, Release, RepositoryContent, RepositoryLayout, RepositorySpec,
    SignaturePolicy,
};
use url::Url;

use super::rules::{Owner, annotations, at, invalid, list, matching, one_word, title, unique};
use crate::{FailureKind, bindings::exports::retrace::distro::distribution as wit, expand::expand};

/// Most bytes of a mirror's URL, before and after its variables are replaced.
pub(crate) const MAX_URL_BYTES: usize = 2 << 10;

/// What the plugin was asked about, and who it is.
pub(crate) struct Context<'a> {
    pub(crate) owner: Owner<'a>,
    pub(crate) release: &'a Release,
    pub(crate) architecture: Architecture,
}

pub(crate) fn repositories(
    answer: Vec<wit::Repository>,
    context: &Context<'_>,
) -> Result<Vec<RepositorySpec>, FailureKind> {
    if answer.is_empty() {
        return Err(invalid("repositories", "is empty: an error has to say why"));
    }
    let answer = list("repositories", answer, 256)?;
    let convert = |(i, entry)| repository(&at("repositories", i), entry, context);
    let specs = answer.into_iter().enumerate().map(convert).collect::<Result<Vec<_>, _>>()?;
    unique("repositories", specs.iter().map(|spec| &spec.id))?;
    Ok(specs)
}

fn repository(path: &str, answer: wit::Repository, context: &Context<'_>) -> Result<RepositorySpec, FailureKind> {
    let id: retrace_types::DistroId = answer.id.parse().map_err(|_| {
        invalid(format!("{path}.id"), "want lower-case letters, digits, `.`, `_`, `-`, at most 64 bytes")
    })?;
    let mirrors_path = format!("{path}.mirrors");
    let mut mirrors = Vec::new();
    for (i, mirror) in list(&mirrors_path, answer.mirrors, 256)?.into_iter().enumerate() {
        mirrors.push(self::mirror(&at(&mirrors_path, i), &mirror, context)?);
    }
    if mirrors.is_empty() {
        return Err(invalid(mirrors_path, "is empty"));
    }
    let signatures = SignaturePolicy {
        metadata: answer.signatures.contains(wit::Signatures::METADATA),
        packages: answer.signatures.contains(wit::Signatures::PACKAGES),
    };
    let keys_path = format!("{path}.keys");
    let keys = list(&keys_path, answer.keys, 256)?;
    let convert = |(i, entry)| key(&at(&keys_path, i), entry, &context.owner);
    let keys = keys.into_iter().enumerate().map(convert).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() && signatures != SignaturePolicy::OFF {
        return Err(invalid(keys_path, "is empty, but something must be signed"));
    }
    Ok(RepositorySpec {
        id: id.into(),
        title: title(&format!("{path}.title"), answer.title)?,
        layout: layout(&format!("{path}.layout"), answer.layout)?,
        content: match answer.content {
            wit::RepositoryContent::Packages => RepositoryContent::Packages,
            wit::RepositoryContent::DebugInfo => RepositoryContent::DebugInfo,
            wit::RepositoryContent::Sources => RepositoryContent::Sources,
        },
        mirrors,
        signatures,
        keys,
        config: annotations(&format!("{path}.config"), answer.config)?,
    })
}

fn layout(path: &str, answer: wit::RepositoryLayout) -> Result<RepositoryLayout, FailureKind> {
    Ok(match answer {
        wit::RepositoryLayout::RpmMd => RepositoryLayout::RpmMd,
        wit::RepositoryLayout::Directory => RepositoryLayout::Directory,
        wit::RepositoryLayout::Other(name) => RepositoryLayout::Other(one_word(path, name, 64)?),
        wit::RepositoryLayout::DebDists(answer) => {
            let components_path = format!("{path}.components");
            let components = list(&components_path, answer.components, 32)?;
            if components.is_empty() {
                return Err(invalid(components_path, "is empty"));
            }
            let convert = |(i, component)| archive_path(&at(&components_path, i), component);
            RepositoryLayout::DebDists {
                suite: archive_path(&format!("{path}.suite"), answer.suite)?,
                components: components.into_iter().enumerate().map(convert).collect::<Result<_, _>>()?,
            }
        }
    })
}

/// A suite or a component: becomes a part of paths below `dists/`.
fn archive_path(path: &str, value: String) -> Result<String, FailureKind> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._+~/-".contains(&b);
    let value = matching(path, value, 128, "[A-Za-z0-9._+~/-]+", allowed)?;
    relative(path, &value)?;
    Ok(value)
}

/// Refuses what leaves the folder that a path is relative to.
fn relative(path: &str, value: &str) -> Result<(), FailureKind> {
    match value.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        Some(_) => Err(invalid(path, "want a relative path without empty parts, `.` and `..`")),
        None => Ok(()),
    }
}

fn mirror(path: &str, template: &str, context: &Context<'_>) -> Result<String, FailureKind> {
    let check_size = |text: &str| match text.len() {
        size if size > MAX_URL_BYTES => Err(invalid(path, format!("{size} bytes, more than {MAX_URL_BYTES}"))),
        _ => Ok(()),
    };
    check_size(template)?;
    let text = expand(template, context.release, context.architecture).map_err(|rule| invalid(path, rule))?;
    check_size(&text)?;
    if let Some(rule) = broken_url_rule(&text) {
        return Err(invalid(path, rule));
    }
    Ok(text)
}

/// The rule that the text breaks. Everything that a URL parser would quietly repair is looked for in the text itself.
fn broken_url_rule(text: &str) -> Option<&'static str> {
    if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
        return Some("want visible ASCII characters that are allowed in a URL");
    }
    let Some((scheme, rest)) = text.split_once("://") else { return Some("want SCHEME://...") };
    if !["https", "http", "rsync", "ftp", "file"].contains(&scheme) {
        return Some("the scheme is none of https, http, rsync, ftp, file");
    }
    // %2e is a dot and %2f a slash to some of those that read it.
    let lower = rest.to_ascii_lowercase();
    if rest.split('/').any(|part| part == "." || part == "..") || lower.contains("%2e") || lower.contains("%2f") {
        return Some("holds `.` or `..` as a part of its path");
    }
    if lower.contains("%0") || lower.contains("%1") || lower.contains("%7f") {
        return Some("holds an escaped control character");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Some("has a user name: passwords are the operator's business");
    }
    match (scheme, authority.is_empty()) {
        ("file", false) => return Some("a file URL has no host: file:///srv/mirror"),
        ("file", true) | (_, false) => {}
        (_, true) => return Some("has no host"),
    }
    let Ok(url) = Url::parse(text) else { return Some("is no valid URL") };
    if url.query().is_some() || url.fragment().is_some() {
        return Some("has a query or a fragment");
    }
    None
}

fn key(path: &str, answer: wit::KeyFile, owner: &Owner<'_>) -> Result<KeyFile, FailureKind> {
    let file_path = format!("{path}.path");
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._+/-".contains(&b);
    let file = matching(&file_path, answer.path, 256, "[A-Za-z0-9._+/-]+", allowed)?;
    relative(&file_path, &file)?;
    match file.split_once('/') {
        Some((folder, _)) if owner.owns(folder) => {}
        _ => return Err(invalid(file_path, format!("want a file in the plugin's own folder, {}/", owner.id))),
    }
    let fingerprint_path = format!("{path}.fingerprint");
    let convert = |fingerprint: String| {
        let is_hex = fingerprint.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
        let valid = is_hex && matches!(fingerprint.len(), 40 | 64);
        if valid { Ok(fingerprint) } else { Err(invalid(fingerprint_path, "want 40 or 64 upper-case hex digits")) }
    };
    Ok(KeyFile { path: file, fingerprint: answer.fingerprint.map(convert).transpose()? })
}

pub(crate) fn debugger(answer: wit::Debugger) -> Result<Debugger, FailureKind> {
    let packages = list("debugger.packages", answer.packages, 256)?;
    if packages.is_empty() {
        return Err(invalid("debugger.packages", "is empty"));
    }
    let convert = |(i, name)| one_word(&at("debugger.packages", i), name, 256);
    let packages = packages.into_iter().enumerate().map(convert).collect::<Result<_, _>>()?;
    let path = absolute_path("debugger.path", answer.path)?;
    let environment = match answer.environment {
        wit::Environment::Sysroot => EnvironmentKind::Sysroot,
        wit::Environment::Chroot => EnvironmentKind::Chroot,
    };
    Ok(Debugger { packages, path, environment })
}

/// A path inside an environment or a package, without `..`.
pub(super) fn absolute_path(path: &str, value: String) -> Result<String, FailureKind> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._+/-".contains(&b);
    let value = matching(path, value, 256, "[A-Za-z0-9._+/-]+", allowed)?;
    match value.strip_prefix('/') {
        Some(below) => relative(path, below)?,
        None => return Err(invalid(path, "want an absolute path")),
    }
    Ok(value)
}
