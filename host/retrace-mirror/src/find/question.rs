//! What an argument asks for. Pure.

use std::str::FromStr;

use retrace_types::{BuildId, InvalidBuildId, PackageId};

/// Longest question, in bytes: longer than any path of Linux (`PATH_MAX`).
const MAX_BYTES: usize = 4096;

/// A question to the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which packages ship a file with this build-id?
    BuildId(BuildId),
    /// Which packages own this absolute path?
    Path(String),
    /// Which versions of this package are there?
    Package(PackageQuestion),
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A build-id.
    BuildId,
    /// A path.
    Path,
    /// A package.
    Package,
}

/// The text is no question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoQuestion {
    /// It is no build-id, but was said to be one.
    #[error("no build-id")]
    BuildId(#[from] InvalidBuildId),
    /// It is no path, but was said to be one.
    #[error("{0:?} is no absolute path: want one that begins with /")]
    Path(String),
    /// It is no name of a package.
    #[error("{0:?} is no package: want a name, name-version, name=version or the name of a package file")]
    Package(String),
    /// It is far too long.
    #[error("a build-id, path or package of {0} bytes is refused: want at most {MAX_BYTES}")]
    TooLong(usize),
}

/// A package as people write it: `bash`, `bash-5.2`, `bash-5.2.26-3.fc40`, `bash-0:5.2.26-3.fc40.x86_64`, `bash=5.2.15-2+b7`,
/// `bash-5.2.26-3.fc40.x86_64.rpm`, `bash_5.2.15-2+b7_amd64.deb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageQuestion {
    /// Without an epoch in front and the end of a file's name.
    text: String,
    /// What stands before the name, as abrt writes it: `1:bash-5.2-3`.
    epoch: Option<u32>,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Any dash may end the name.
    Dashes,
    /// The name ends here; the version stands behind the next byte.
    NameEnds(usize),
}

/// One way to read a package's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate<'q> {
    pub(super) name: &'q str,
    version: Option<&'q str>,
    epoch: Option<u32>,
}

impl Question {
    /// Reads a question of a certain kind.
    ///
    /// # Errors
    /// [`NoQuestion`] if the text cannot be one.
    pub fn of_kind(kind: Kind, text: &str) -> Result<Self, NoQuestion> {
        if text.len() > MAX_BYTES {
            return Err(NoQuestion::TooLong(text.len()));
        }
        match kind {
            Kind::BuildId => Ok(Self::BuildId(text.parse()?)),
            Kind::Path if text.starts_with('/') => Ok(Self::Path(text.to_owned())),
            Kind::Path => Err(NoQuestion::Path(text.to_owned())),
            Kind::Package => PackageQuestion::read(text)
                .map(Self::Package)
                .ok_or_else(|| NoQuestion::Package(text.chars().take(200).collect())),
        }
    }
}

impl FromStr for Question {
    type Err = NoQuestion;

    /// Told apart by shape: a build-id is 6 to 128 hexadecimal digits, a path begins with `/`, the rest is a package.
    fn from_str(text: &str) -> Result<Self, NoQuestion> {
        let kind = match text {
            _ if text.starts_with('/') => Kind::Path,
            _ if text.parse::<BuildId>().is_ok() => Kind::BuildId,
            _ => Kind::Package,
        };
        Self::of_kind(kind, text)
    }
}

impl PackageQuestion {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (epoch, text) = match text.split_once(':') {
            Some((epoch, rest)) if is_number(epoch) => (Some(epoch.parse().ok()?), rest),
            _ => (None, text),
        };
        let question = match (text.split_once('='), text.strip_suffix(".deb"), text.strip_suffix(".rpm")) {
            (Some((name, _)), ..) => Self { text: text.to_owned(), epoch, form: Form::NameEnds(name.len()) },
            // Of a .deb's name, which has no epoch, only the last underline is not as in name=version.
            (_, Some(file), _) => match file.split_once('_') {
                Some((name, version)) => {
                    let version = version.replacen('_', ".", 1);
                    Self { text: format!("{name}={version}"), epoch, form: Form::NameEnds(name.len()) }
                }
                None => return None,
            },
            (_, _, Some(file)) => Self { text: file.to_owned(), epoch, form: Form::Dashes },
            _ => Self { text: text.to_owned(), epoch, form: Form::Dashes },
        };
        let is_plain = !question.text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
        let has_name = question.candidates().next().is_some_and(|candidate| !candidate.name.is_empty());
        (is_plain && has_name).then_some(question)
    }

    /// The ways to read it, the longest name first. Names may hold dashes, and so may versions of Debian.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        /// More dashes are in no name with version and release.
        const MAX_CUTS: usize = 8;
        let (text, epoch) = (self.text.as_str(), self.epoch);
        let cut = move |at: usize| {
            let (name, version) = (text.get(..at)?, text.get(at + 1..)?);
            (!name.is_empty() && !version.is_empty()).then_some(Candidate { name, version: Some(version), epoch })
        };
        let whole = (self.form == Form::Dashes).then_some(Candidate { name: text, version: None, epoch });
        let named = match self.form {
            Form::NameEnds(at) => Some(at),
            Form::Dashes => None,
        };
        let dashes = text.rmatch_indices('-').map(|(at, _)| at).take(MAX_CUTS).filter(move |_| named.is_none());
        whole.into_iter().chain(named.into_iter().chain(dashes).filter_map(cut))
    }
}

impl Candidate<'_> {
    /// True if it means this version of the package. What it leaves out does not count: epoch, release, architecture.
    pub(super) fn is(&self, id: &PackageId) -> bool {
        let id_epoch = id.epoch.unwrap_or(0);
        if self.name != id.name || self.epoch.is_some_and(|epoch| epoch != id_epoch) {
            return false;
        }
        let Some(version) = self.version else { return true };
        let (epoch, version) = match version.split_once(':') {
            Some((epoch, rest)) if is_number(epoch) => (epoch.parse().ok(), rest),
            _ => (None, version),
        };
        if epoch.is_some_and(|epoch: u32| epoch != id_epoch) {
            return false;
        }
        let is_version = |text: &str| {
            let rest = text.strip_prefix(id.version.as_str());
            let release = id.release.as_deref();
            rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(|rest| Some(rest) == release))
        };
        let without_arch = version.strip_suffix(id.arch.as_str()).and_then(|text| text.strip_suffix('.'));
        is_version(version) || without_arch.is_some_and(is_version)
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_shape_tells_what_is_meant() {
        for (text, want) in [
            ("3856f0954e1931eebc020ca4a4e6bef40f4f7765", Kind::BuildId),
            ("3856F0", Kind::BuildId),
            ("facade", Kind::BuildId),
            ("3856f", Kind::Package), // half a byte
            ("abcd", Kind::Package),
            ("/usr/bin/bash", Kind::Path),
            ("/3856f0", Kind::Path),
            ("bash", Kind::Package),
            ("bash=5.2", Kind::Package),
        ] {
            let kind = match text.parse() {
                Ok(Question::BuildId(_)) => Kind::BuildId,
                Ok(Question::Path(_)) => Kind::Path,
                Ok(Question::Package(_)) => Kind::Package,
                Err(error) => panic!("{text}: {error}"),
            };
            assert_eq!(kind, want, "{text}");
        }
        for bad in ["", " ", "=1", "bash=", "usr/bin/bash", "two words", ".deb", "a\u{0}b", &"x".repeat(5000)] {
            assert!(bad.parse::<Question>().is_err(), "{bad}");
        }
        assert!(matches!(Question::of_kind(Kind::Package, "facade"), Ok(Question::Package(_))));
        assert!(matches!(Question::of_kind(Kind::BuildId, "bash"), Err(NoQuestion::BuildId(_))));
        assert!(matches!(Question::of_kind(Kind::Path, "bash"), Err(NoQuestion::Path(_))));
    }

    fn means(text: &str, id: &PackageId) -> bool {
        let Ok(Question::Package(question)) = Question::of_kind(Kind::Package, text) else { panic!("{text}") };
        question.candidates().any(|candidate| candidate.is(id))
    }

    #[test]
    fn packages_are_written_in_many_ways() {
        let bash = PackageId {
            name: "bash-completion".into(),
            epoch: Some(1),
            version: "2.11".into(),
            release: Some("14.fc40".into()),
            arch: "noarch".into(),
        };
        for (text, want) in [
            ("bash-completion", true),
            ("bash-completion-2.11", true),
            ("bash-completion-2.11-14.fc40", true),
            ("bash-completion-1:2.11-14.fc40.noarch", true),
            ("1:bash-completion-2.11-14.fc40.noarch", true),
            ("bash-completion-2.11-14.fc40.noarch.rpm", true),
            ("bash-completion=2.11", true),
            ("bash-completion=1:2.11-14.fc40", true),
            ("bash-completion-2:2.11-14.fc40", false),
            ("2:bash-completion-2.11-14.fc40", false),
            ("bash-completion-2.1", false),
            ("bash-completion-2.11-14", false),
            ("bash-completion-2.11-14.fc40.x86_64", false),
            ("bash", false),
            ("completion-2.11", false),
        ] {
            assert_eq!(means(text, &bash), want, "{text}");
        }
        let deb = PackageId {
            name: "libc6".into(),
            epoch: None,
            version: "2.36".into(),
            release: Some("9+deb12u4".into()),
            arch: "amd64".into(),
        };
        for (text, want) in [
            ("libc6_2.36-9+deb12u4_amd64.deb", true),
            ("libc6=2.36-9+deb12u4", true),
            ("libc6-0:2.36-9+deb12u4.amd64", true),
            ("libc6_2.36-9+deb12u4_i386.deb", false),
        ] {
            assert_eq!(means(text, &deb), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_question_or_refused(text in ".{0,40}") {
            if let Ok(Question::Package(question)) = text.parse() {
                prop_assert!(question.candidates().all(|candidate| !candidate.name.is_empty()));
            }
        }

        #[test]
        fn what_is_shown_is_understood(
            name in "[a-z][a-z0-9+.-]{0,12}[a-z]", epoch in prop::option::of(0_u32..9), version in "[0-9][0-9a-z.~+]{0,6}",
            release in prop::option::of("[0-9][0-9a-z.+]{0,6}"), arch in "(x86_64|noarch|amd64)"
        ) {
            let id = PackageId { name, epoch, version, release, arch };
            prop_assert!(means(&id.to_string(), &id), "{id}");
            prop_assert!(means(&format!("{}={}", id.name, id.full_version()), &id), "{id}");
        }
    }
}
