//! What tasks are searched by.
//!
//! One table holds a row for each task and term: a word of its text, its release, its package, its signature. It is the same
//! for SQLite and PostgreSQL, where their own text searches differ in what a word is, and it is in the order of the list: a
//! page is a few steps along an index, however many tasks have the term.
//!
//! A term is kept as a number of 64 bits. Two terms with one number would show a task too many: one of 10^19 pairs has.

use std::collections::BTreeSet;

use retrace_types::FailureReason;
use sha2::{Digest as _, Sha256};

use crate::Finding;

/// Most words of one task, and bytes of one word.
const MAX_WORDS: usize = 64;
const MAX_WORD_BYTES: usize = 64;

/// Something that a task can be found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// `success`, `failure` or `cancelled`.
    State(&'static str),
    /// A release.
    Release(String),
    /// A package: its name, or name and version.
    Package(String),
    /// Path of the program.
    Executable(String),
    /// A crash signature of addresses or functions, in hex.
    Signature(String),
    /// A group, in hex.
    Group(String),
    /// Why a task failed.
    Reason(String),
    /// A word of the functions' names, the package, the program or the message, in lower case.
    Word(String),
}

impl Term {
    /// The words of a text, each once: what is not a letter, a digit or `_` separates them. Those over 64 bytes, and those
    /// behind the first 64, do not count.
    #[must_use]
    pub fn words(text: &str) -> Vec<Self> {
        let mut words = BTreeSet::new();
        add_words(&mut words, text);
        words.into_iter().map(Self::Word).collect()
    }

    pub(crate) fn to_row(&self) -> i64 {
        let (kind, text): (&str, &str) = match self {
            Self::State(text) => ("state", text),
            Self::Release(text) => ("release", text),
            Self::Package(text) => ("package", text),
            Self::Executable(text) => ("executable", text),
            Self::Signature(text) => ("signature", text),
            Self::Group(text) => ("group", text),
            Self::Reason(text) => ("reason", text),
            Self::Word(text) => ("word", text),
        };
        let digest = Sha256::new().chain_update(kind).chain_update(":").chain_update(text).finalize();
        digest.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
    }
}

/// The terms of a finished task.
pub(crate) fn of_finding(finding: &Finding, message: Option<&str>) -> BTreeSet<i64> {
    let mut terms = vec![Term::State(match finding.reason {
        None => "success",
        Some(FailureReason::Cancelled) => "cancelled",
        Some(_) => "failure",
    })];
    terms.extend(finding.release.as_ref().map(|release| Term::Release(release.to_string())));
    for package in [finding.package.as_deref(), finding.package_name()].into_iter().flatten() {
        terms.push(Term::Package(package.to_owned()));
    }
    terms.extend(finding.executable.clone().map(Term::Executable));
    terms.extend(finding.reason.map(|reason| Term::Reason(reason.to_string())));
    let mut words = BTreeSet::new();
    if let Some(signature) = &finding.signature {
        let digests = [signature.addresses, signature.functions.as_ref().map(|functions| functions.digest)];
        terms.extend(digests.into_iter().flatten().map(|digest| Term::Signature(digest.to_string())));
        terms.extend(signature.group().map(|group| Term::Group(group.to_string())));
        for frame in signature.functions.iter().flat_map(|functions| &functions.frames) {
            add_words(&mut words, frame);
        }
    }
    for text in [finding.package.as_deref(), finding.executable.as_deref(), message].into_iter().flatten() {
        add_words(&mut words, text);
    }
    terms.extend(words.into_iter().map(Term::Word));
    terms.iter().map(Term::to_row).collect()
}

fn add_words(words: &mut BTreeSet<String>, text: &str) {
    let found = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    for word in found.map(str::to_lowercase).filter(|word| word.len() <= MAX_WORD_BYTES) {
        if words.len() >= MAX_WORDS {
            return;
        }
        words.insert(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_people_type() {
        let words = |text| Term::words(text).into_iter().map(|term| format!("{term:?}")).collect::<Vec<_>>().join(" ");
        assert_eq!(words("crashd!Crashd::Server::handle"), r#"Word("crashd") Word("handle") Word("server")"#);
        assert_eq!(words("/usr/bin/wc_sum (deleted)"), r#"Word("bin") Word("deleted") Word("usr") Word("wc_sum")"#);
        assert_eq!(words(" -:/ "), "");
        assert_eq!(Term::words(&"a".repeat(65)), []);
        let many: String = (0..200).map(|n| format!("w{n} ")).collect();
        assert_eq!(Term::words(&many).len(), MAX_WORDS);
    }

    #[test]
    fn terms_of_different_kinds_differ() {
        assert_ne!(Term::Package("x".into()).to_row(), Term::Word("x".into()).to_row());
    }
}
