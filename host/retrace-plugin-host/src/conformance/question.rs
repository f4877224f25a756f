//! Questions to a plugin and its answers as they are: unlike the rest of the host, the suite has to see answers that break
//! rules, and to send inputs that no host would send.

use serde_json::Value;
use wasmtime::Store;

use crate::{
    FailureKind, Function,
    bindings::{
        exports::retrace::distro::distribution as wit, kernel::exports::retrace::distro::kernel, retrace::distro::types,
    },
    convert::{self, Owner},
    guest::Exports,
    input,
    state::{CallState, is_plain},
};

/// One call: a function and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Question {
    Describe,
    Releases,
    ParseRelease(wit::ReleaseSource),
    GuessRelease(wit::PackageRef),
    Repositories(types::Release, String),
    DebuggerFor(types::Release, String),
    ParseFileNames(Vec<String>),
    FormatFileName(types::PackageId),
    DebugPackages(types::PackageId),
    KernelFor(String, String),
    ExtraPackages(types::Release, String, Vec<String>),
}

/// What a plugin said, unchecked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Description(wit::Description),
    Releases(Vec<wit::ReleaseEntry>),
    Release(Option<types::Release>),
    Guess(Option<wit::ReleaseGuess>),
    Repositories(Vec<wit::Repository>),
    Debugger(Option<wit::Debugger>),
    Names(Vec<Option<types::PackageId>>),
    FileName(String),
    Packages(Vec<types::PackageId>),
    Kernel(Option<kernel::KernelFiles>),
    Extra(Vec<String>),
    Error(types::CallError),
}

impl Question {
    pub(super) fn os_release(text: impl Into<String>) -> Self {
        Self::ParseRelease(wit::ReleaseSource::OsRelease(text.into()))
    }

    pub(super) fn release_line(text: impl Into<String>) -> Self {
        Self::ParseRelease(wit::ReleaseSource::ReleaseLine(text.into()))
    }

    pub(super) fn named(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::ParseRelease(wit::ReleaseSource::Named((name.into(), text.into())))
    }

    /// About a package of which nothing but the name is known.
    pub(super) fn guess(raw: impl Into<String>) -> Self {
        Self::GuessRelease(wit::PackageRef { raw: raw.into(), format: None, vendor: None })
    }

    pub(super) fn function(&self) -> Function {
        match self {
            Self::Describe => Function::Describe,
            Self::Releases => Function::Releases,
            Self::ParseRelease(_) => Function::ParseRelease,
            Self::GuessRelease(_) => Function::GuessRelease,
            Self::Repositories(..) => Function::Repositories,
            Self::DebuggerFor(..) => Function::DebuggerFor,
            Self::ParseFileNames(_) => Function::ParseFileNames,
            Self::FormatFileName(_) => Function::FormatFileName,
            Self::DebugPackages(_) => Function::DebugPackages,
            Self::KernelFor(..) => Function::KernelFor,
            Self::ExtraPackages(..) => Function::ExtraPackages,
        }
    }

    /// The arguments as `retrace plugin call` takes them.
    pub(super) fn input(&self) -> Value {
        match self {
            Self::Describe | Self::Releases => input::nothing(),
            Self::ParseRelease(source) => input::release_source(source),
            Self::GuessRelease(subject) => input::package_ref(subject),
            Self::Repositories(release, arch) | Self::DebuggerFor(release, arch) => {
                input::release_and_arch(release, arch)
            }
            Self::ParseFileNames(names) => input::names(names),
            Self::FormatFileName(subject) | Self::DebugPackages(subject) => input::package(subject),
            Self::KernelFor(version, arch) => input::version_and_arch(version, arch),
            Self::ExtraPackages(release, arch, wanted) => input::wanted_packages(release, arch, wanted),
        }
    }

    /// Every text of the arguments, to shrink them one by one.
    pub(super) fn texts_mut(&mut self) -> Vec<&mut String> {
        fn release(release: &mut types::Release) -> Vec<&mut String> {
            let fixed = [&mut release.distro, &mut release.version];
            fixed.into_iter().chain(&mut release.minor).chain(&mut release.codename).collect()
        }
        fn package(id: &mut types::PackageId) -> Vec<&mut String> {
            [&mut id.name, &mut id.version, &mut id.arch].into_iter().chain(&mut id.release).collect()
        }
        match self {
            Self::Describe | Self::Releases => Vec::new(),
            Self::ParseRelease(wit::ReleaseSource::OsRelease(text) | wit::ReleaseSource::ReleaseLine(text)) => {
                vec![text]
            }
            Self::ParseRelease(wit::ReleaseSource::Named((name, text))) => vec![name, text],
            Self::GuessRelease(subject) => [&mut subject.raw].into_iter().chain(&mut subject.vendor).collect(),
            Self::Repositories(of, arch) | Self::DebuggerFor(of, arch) => {
                let mut texts = release(of);
                texts.push(arch);
                texts
            }
            Self::ParseFileNames(names) => names.iter_mut().collect(),
            Self::FormatFileName(id) | Self::DebugPackages(id) => package(id),
            Self::KernelFor(version, arch) => vec![version, arch],
            Self::ExtraPackages(of, arch, wanted) => {
                let mut texts = release(of);
                texts.push(arch);
                texts.extend(wanted);
                texts
            }
        }
    }

    /// Whether a host may ask it: inputs that no host sends may have answers that no host takes.
    pub(super) fn is_within_contract(&self) -> bool {
        let word = |text: &String| {
            let bad = |c: char| c.is_whitespace() || c == '/' || !is_plain(c);
            (1..=256).contains(&text.len()) && text != "." && text != ".." && !text.contains(bad)
        };
        match self {
            Self::FormatFileName(id) | Self::DebugPackages(id) => {
                let arch = id.arch.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
                let parts = [&id.name, &id.version, &id.arch];
                arch && id.arch.len() <= 32 && parts.into_iter().chain(&id.release).all(word)
            }
            Self::ExtraPackages(_, _, wanted) => wanted.iter().all(word),
            _ => true,
        }
    }

    pub(super) fn call(&self, exports: &Exports, store: &mut Store<CallState>) -> wasmtime::Result<Answer> {
        let guest = exports.distribution();
        Ok(match self {
            Self::Describe => Answer::Description(guest.call_describe(store)?),
            Self::Releases => Answer::Releases(guest.call_releases(store)?),
            Self::ParseRelease(source) => answer(guest.call_parse_release(store, source)?, Answer::Release),
            Self::GuessRelease(subject) => answer(guest.call_guess_release(store, subject)?, Answer::Guess),
            Self::Repositories(release, arch) => {
                answer(guest.call_repositories(store, release, arch)?, Answer::Repositories)
            }
            Self::DebuggerFor(release, arch) => {
                answer(guest.call_debugger_for(store, release, arch)?, Answer::Debugger)
            }
            Self::ParseFileNames(names) => answer(guest.call_parse_file_names(store, names)?, Answer::Names),
            Self::FormatFileName(subject) => answer(guest.call_format_file_name(store, subject)?, Answer::FileName),
            Self::DebugPackages(subject) => answer(guest.call_debug_packages(store, subject)?, Answer::Packages),
            Self::KernelFor(version, arch) => match &exports.kernel {
                None => Answer::Kernel(None),
                Some(kernel) => {
                    answer(kernel.retrace_distro_kernel().call_kernel_for(store, version, arch)?, Answer::Kernel)
                }
            },
            Self::ExtraPackages(release, arch, wanted) => match &exports.advice {
                None => Answer::Extra(Vec::new()),
                Some(advice) => {
                    let advice = advice.retrace_distro_environment_advice();
                    answer(advice.call_extra_packages(store, release, arch, wanted)?, Answer::Extra)
                }
            },
        })
    }

    /// The rule of the contract that an answer to this question breaks: the host's own conversion, so that the suite is
    /// exactly as strict as the host.
    pub(super) fn check(&self, answer: &Answer, owner: &Owner<'_>) -> Result<(), FailureKind> {
        match (self, answer.clone()) {
            (_, Answer::Error(_)) => Ok(()),
            (_, Answer::Description(description)) => convert::description(description).map(drop),
            (_, Answer::Releases(releases)) => convert::releases(releases, owner).map(drop),
            (_, Answer::Release(None) | Answer::Guess(None) | Answer::Debugger(None) | Answer::Kernel(None)) => Ok(()),
            (_, Answer::Release(Some(release))) => convert::release("release", release, owner).map(drop),
            (_, Answer::Guess(Some(guess))) => convert::guess(guess, owner).map(drop),
            (Self::Repositories(release, arch), Answer::Repositories(repositories)) => {
                check_repositories(release, arch, repositories, owner)
            }
            (_, Answer::Repositories(_)) => Ok(()),
            (_, Answer::Debugger(Some(debugger))) => convert::debugger(debugger).map(drop),
            (Self::ParseFileNames(names), Answer::Names(ids)) => convert::file_names(ids, names.len()).map(drop),
            (_, Answer::Names(ids)) => convert::file_names(ids.clone(), ids.len()).map(drop),
            (_, Answer::FileName(name)) => convert::file_name(name).map(drop),
            (_, Answer::Packages(packages)) => convert::packages("packages", packages).map(drop),
            (_, Answer::Kernel(Some(files))) => convert::kernel_files(files).map(drop),
            (_, Answer::Extra(names)) => convert::extra_packages(names).map(drop),
        }
    }
}

/// A release or an architecture that the host's types cannot hold would never be asked about: its answer is not looked at.
fn check_repositories(
    release: &types::Release,
    arch: &str,
    repositories: Vec<wit::Repository>,
    owner: &Owner<'_>,
) -> Result<(), FailureKind> {
    let (Ok(release), Ok(architecture)) = (convert::release("release", release.clone(), owner), arch.parse()) else {
        return Ok(());
    };
    let context = convert::Context { owner: *owner, release: &release, architecture };
    convert::repositories(repositories, &context).map(drop)
}

fn answer<T>(reply: Result<T, types::CallError>, wrap: impl FnOnce(T) -> Answer) -> Answer {
    match reply {
        Ok(value) => wrap(value),
        Err(error) => Answer::Error(error),
    }
}
