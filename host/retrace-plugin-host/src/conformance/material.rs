//! What the checks ask about: the corpus, the author's fixtures, and texts made from the plugin's own list of releases.

use serde_json::Value;

use super::{corpus::Entry, fixture::Case, question::Question, survey::Known};
use crate::{Function, bindings::exports::retrace::distro::distribution as wit};

/// Most texts that are made from the list of releases.
const MAX_MADE: usize = 64;

/// Kernels as `uname -r` names them, of several distributions.
pub(super) const KERNELS: &[&str] = &[
    "6.8.5-301.fc40.x86_64",
    "5.14.0-427.13.1.el9_4.x86_64",
    "4.18.0-553.el8_10.aarch64",
    "6.1.0-21-amd64",
    "6.8.0-31-generic",
    "6.4.0-150600.23.7-default",
    "6.1.90-99.173.amzn2023.x86_64",
    "5.15.0-206.153.7.el9uek.x86_64",
];

/// Package names that need no distribution to be read.
const RPM_NAMES: &[&str] = &[
    "bash-5.2.26-3.x86_64.rpm",
    "bash-5.2.26-3.x86_64",
    "glibc-2.39-2.noarch.rpm",
    "bind-libs-32:9.18.26-1.x86_64",
    "glibc-debuginfo-2.39-2.x86_64.rpm",
    "bash-5.2.26-3.src.rpm",
    "not a package",
    "",
];
const DEB_NAMES: &[&str] = &[
    "bash_5.2.15-2+b7_amd64.deb",
    "bash_5.2.15-2+b7_amd64",
    "openssl_3.0.11-1~deb12u2_arm64.deb",
    "bash-dbgsym_5.2.15-2+b7_amd64.deb",
    "libc6-dbg_2.36-9_amd64.deb",
    "tzdata_2024a-0_all.deb",
    "not a package",
    "",
];

/// Questions that a plugin will be asked, and where each is from.
#[derive(Debug, Default)]
pub(super) struct Material {
    /// Texts that name a release: corpus, fixtures, made ones.
    pub(super) texts: Vec<(String, Question)>,
    /// Packages.
    pub(super) packages: Vec<(String, Question)>,
    /// Names of package files.
    pub(super) file_names: Vec<String>,
    /// Kernels and architectures.
    pub(super) kernels: Vec<(String, String)>,
}

impl Material {
    pub(super) fn new(corpus: &[Entry], cases: &[Case], known: &Known) -> Self {
        let mut material = Self::default();
        let from_corpus = corpus.iter().map(|entry| (entry.origin.clone(), entry.question.clone()));
        let from_cases = cases.iter().filter_map(|case| Some((case.name.clone(), question(case)?)));
        let made = known.releases.iter().take(MAX_MADE).map(|entry| {
            let release = &entry.release;
            let codename =
                release.codename.as_ref().map(|name| format!("VERSION_CODENAME={name}\n")).unwrap_or_default();
            let text = format!(
                "NAME=\"{}\"\nID={}\nVERSION_ID=\"{}\"\n{codename}",
                known.name, release.distro, release.version
            );
            (format!("made for {} {}", release.distro, release.version), Question::os_release(text))
        });
        for (origin, question) in from_corpus.chain(from_cases).chain(made) {
            match &question {
                Question::ParseRelease(_) => material.texts.push((origin, question)),
                Question::GuessRelease(subject) => {
                    material.file_names.push(subject.raw.clone());
                    material.packages.push((origin, question));
                }
                Question::ParseFileNames(names) => material.file_names.extend(names.iter().cloned()),
                Question::KernelFor(version, arch) => material.kernels.push((version.clone(), arch.clone())),
                _ => {}
            }
        }
        let names = if known.is_rpm { RPM_NAMES } else { DEB_NAMES };
        material.file_names.extend(names.iter().map(|name| (*name).to_owned()));
        material.file_names.truncate(1000);
        material.kernels.extend(KERNELS.iter().map(|version| ((*version).to_owned(), "x86_64".to_owned())));
        material
    }
}

/// The question of a fixture, as far as the checks can use it.
fn question(case: &Case) -> Option<Question> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    match case.function {
        Function::ParseRelease => {
            let (kind, value) = case.input.get("source")?.as_object()?.iter().next()?;
            Some(match kind.as_str() {
                "os-release" => Question::os_release(text(value)?),
                "release-line" => Question::release_line(text(value)?),
                "named" => Question::named(text(value.get(0)?)?, text(value.get(1)?)?),
                _ => return None,
            })
        }
        Function::GuessRelease => {
            let subject = case.input.get("subject")?;
            let raw = text(subject.get("raw")?)?;
            Some(Question::GuessRelease(wit::PackageRef {
                raw,
                format: None,
                vendor: subject.get("vendor").and_then(text),
            }))
        }
        Function::ParseFileNames => {
            let names = case.input.get("names")?.as_array()?;
            Some(Question::ParseFileNames(names.iter().filter_map(text).collect()))
        }
        Function::KernelFor => {
            Some(Question::KernelFor(text(case.input.get("version")?)?, text(case.input.get("arch")?)?))
        }
        _ => None,
    }
}
