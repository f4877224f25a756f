//! Group E: inputs of an attacker. Each is asked once; which check a failure belongs to is decided by its kind.

use std::{collections::BTreeSet, mem};

use super::{
    material::KERNELS,
    outcome::{Failure, Outcome},
    question::Question,
    shrink::smallest,
    subject::{Subject, TimeIsOver, Trial},
    survey::Known,
};
use crate::{
    FailureKind, Function, bindings::exports::retrace::distro::distribution as wit, bindings::retrace::distro::types,
};

/// What hostile inputs brought to light.
#[derive(Default)]
pub(super) struct Hostile {
    trap: Option<Failure>,
    invalid: Option<Failure>,
    data: Option<Failure>,
    log: Option<Failure>,
    deadline: Option<Failure>,
    memory: Option<Failure>,
    passed: Outcome,
}

impl Hostile {
    pub(super) fn new(subject: &Subject, known: &Known) -> Result<Self, TimeIsOver> {
        let trial = subject.trial();
        let mut found = Self::default();
        let limits = subject.guest.limits();
        let wrong_anyway = wrong_anyway(&trial, known)?;
        for question in questions(known, |function| subject.guest.exports(function)) {
            let asked = trial.ask(&question)?;
            let failure = |message: String| Some(Failure::of(message, &question));
            if found.log.is_none() && asked.stats.log_lines_dropped > 0 {
                let count = asked.stats.log_lines_dropped.saturating_add(limits.log_messages.into());
                found.log = failure(format!("{count} log messages in one call, more than {}", limits.log_messages));
            }
            let kind = match &asked.answer {
                Ok(answer) => question.check(answer, &known.owner()).err(),
                Err(kind) => Some(kind.clone()),
            };
            let Some(kind) = kind else { continue };
            if matches!(kind, FailureKind::InvalidValue { .. }) && wrong_anyway.contains(&question.function()) {
                continue;
            }
            let same = |question: &Question| {
                let Ok(asked) = trial.ask(question) else { return false };
                let again = asked.answer.and_then(|answer| question.check(&answer, &known.owner()));
                again.is_err_and(|again| mem::discriminant(&again) == mem::discriminant(&kind))
            };
            let place = match &kind {
                FailureKind::InvalidValue { .. } => &mut found.invalid,
                FailureKind::TooMuchData => &mut found.data,
                FailureKind::Deadline => &mut found.deadline,
                FailureKind::OutOfMemory => &mut found.memory,
                _ => &mut found.trap,
            };
            if place.is_some() {
                continue;
            }
            // What runs into a limit takes long each time: it stays as it is.
            *place = match kind {
                FailureKind::Deadline | FailureKind::OutOfMemory => failure(kind.to_string()),
                _ => Some(Failure::of(kind.to_string(), &smallest(question.clone(), same))),
            };
        }
        found.passed = trial.pass();
        Ok(found)
    }

    /// The outcome of `E1` to `E6`.
    pub(super) fn outcome(&self, check: &str) -> Outcome {
        let failure = match check {
            "E1" => &self.trap,
            "E2" => &self.invalid,
            "E3" => &self.data,
            "E4" => &self.log,
            "E5" => &self.deadline,
            _ => &self.memory,
        };
        Outcome { failure: failure.clone(), ..self.passed.clone() }
    }
}

/// Functions whose answers to harmless questions break a rule: group B tells of them, and this group is about input.
fn wrong_anyway(trial: &Trial<'_>, known: &Known) -> Result<BTreeSet<Function>, TimeIsOver> {
    let mut harmless: Vec<Question> =
        KERNELS.iter().map(|version| Question::KernelFor((*version).to_owned(), "x86_64".to_owned())).collect();
    for entry in &known.releases {
        let arch = entry.architectures.first().cloned().unwrap_or_default();
        harmless.push(Question::Repositories(entry.release.clone(), arch.clone()));
        harmless.push(Question::DebuggerFor(entry.release.clone(), arch.clone()));
        harmless.push(Question::ExtraPackages(entry.release.clone(), arch, Vec::new()));
    }
    let mut wrong = BTreeSet::new();
    for question in harmless {
        if let Ok(answer) = trial.ask(&question)?.answer
            && question.check(&answer, &known.owner()).is_err()
        {
            wrong.insert(question.function());
        }
    }
    Ok(wrong)
}

fn questions(known: &Known, exports: impl Fn(Function) -> bool) -> Vec<Question> {
    let mut questions = Vec::new();
    for text in texts(known) {
        questions.push(Question::release_line(text.clone()));
        questions.push(Question::named("etc/os-release", text.clone()));
        questions.push(Question::os_release(text));
    }
    questions.push(Question::named("../../etc/passwd\0", "x"));
    questions.push(Question::named("n".repeat(4096), ""));
    let names = names();
    for name in &names {
        questions.push(Question::guess(name.clone()));
        questions.push(Question::GuessRelease(wit::PackageRef {
            raw: "bash-1-1.x86_64".to_owned(),
            format: Some(types::PackageFormat::Other(name.clone())),
            vendor: Some(name.clone()),
        }));
    }
    questions.push(Question::ParseFileNames(names.clone()));
    questions.push(Question::ParseFileNames(vec![String::new(); 1000]));
    questions.push(Question::ParseFileNames(Vec::new()));
    for word in WORDS.iter().map(|word| (*word).to_owned()).chain(["9".repeat(4096)]) {
        for entry in known.releases.iter().take(2) {
            let arch = entry.architectures.first().cloned().unwrap_or_default();
            let version = types::Release { version: word.clone(), ..entry.release.clone() };
            let minor = types::Release { minor: Some(word.clone()), ..entry.release.clone() };
            for release in [version, minor] {
                questions.push(Question::Repositories(release.clone(), arch.clone()));
                questions.push(Question::DebuggerFor(release, arch.clone()));
            }
            questions.push(Question::Repositories(entry.release.clone(), word.clone()));
            questions.push(Question::DebuggerFor(entry.release.clone(), word.clone()));
        }
        let id = types::PackageId {
            name: "bash".to_owned(),
            epoch: Some(u32::MAX),
            version: word.chars().take(256).collect(),
            release: Some("1".to_owned()),
            arch: "noarch".to_owned(),
            kind: types::PackageKind::Binary,
        };
        let questions_of = [Question::FormatFileName(id.clone()), Question::DebugPackages(id)];
        questions.extend(questions_of.into_iter().filter(Question::is_within_contract));
        if exports(Function::KernelFor) {
            questions.push(Question::KernelFor(word.clone(), "x86_64".to_owned()));
        }
        if exports(Function::ExtraPackages)
            && let Some(entry) = known.releases.first()
        {
            let arch = entry.architectures.first().cloned().unwrap_or_default();
            let question = Question::ExtraPackages(entry.release.clone(), arch, vec![word; 64]);
            questions.extend(Some(question).filter(Question::is_within_contract));
        }
    }
    questions
}

const WORDS: &[&str] = &[
    "",
    ".",
    "..",
    "../../../../etc/passwd",
    "%2e%2e%2f",
    "$(reboot)",
    "`id`",
    "$VER$MINOR$CODENAME",
    "\u{1b}[31m",
    "a\0b",
    "a\nb",
    "-1",
    "4294967296",
    "99999999999999999999999999",
    "1e400",
    "\u{202e}04",
    "\u{ff14}\u{ff10}",
    "\\ud800",
];

/// Texts of at most 64 KiB, most of them as the plugin's own distribution would send them.
fn texts(known: &Known) -> Vec<String> {
    const KIB: usize = 1 << 10;
    let own = |tail: &str| format!("NAME=\"{}\"\nID={}\n{tail}", known.name, known.id);
    let mut texts: Vec<String> = WORDS.iter().map(|word| own(&format!("VERSION_ID={word}\n"))).collect();
    texts.extend(WORDS.iter().map(|word| own(&format!("VERSION_ID=\"{word}\"\nVERSION_CODENAME=\"{word}\"\n"))));
    texts.extend([
        String::new(),
        "\0".repeat(64 * KIB),
        "\"".repeat(64 * KIB - 2),
        "\"'".repeat(30 * KIB),
        "\\".repeat(63 * KIB),
        "(".repeat(63 * KIB),
        "\n".repeat(63 * KIB),
        "=\n".repeat(31 * KIB),
        format!("ID={}", "\\".repeat(60 * KIB)),
        own(&format!("VERSION_ID={}\n", "9".repeat(60 * KIB))),
        own(&format!("VERSION_ID=\"{}\n", "\\\"".repeat(30 * KIB))),
        own(&format!("VERSION_ID={}\n", "1.".repeat(30 * KIB))),
        own(&"VERSION_ID=1\n".repeat(4 * KIB)),
        own(&"A=b\n".repeat(15 * KIB)),
        own("VERSION_ID=\"1\\ud800\"\nVERSION_CODENAME=\"\\xff\"\n"),
        own("VERSION_ID=1\u{2028}2\n\u{feff}ID=other\n"),
        format!("{}{}", "\u{feff}".repeat(100), own("VERSION_ID=1\n")),
        format!("{} release {} ({})", known.name, "1".repeat(20 * KIB), "x".repeat(20 * KIB)),
        format!("{} release ", known.name),
        format!("{} {}", known.name, "0".repeat(KIB)),
        format!("{} release 1 {}", known.name, "(".repeat(30 * KIB)),
    ]);
    // Of the released versions, so that parsing does not end at the first test.
    for entry in known.releases.iter().take(2) {
        let version = &entry.release.version;
        texts.push(own(&format!("VERSION_ID={version}\nX=\"{}", "\\".repeat(50 * KIB))));
        texts.push(own(&format!("VERSION_ID={version}{}\n", ".9".repeat(20 * KIB))));
        texts.push(own(&format!("VERSION_ID={version}\nVERSION_CODENAME=\"{}\"\n", "é\u{1b}[2J".repeat(4 * KIB))));
        texts.push(format!("{} release {version}.{} (x)", known.name, "9".repeat(30 * KIB)));
    }
    texts
}

/// Names of at most 4 KiB.
fn names() -> Vec<String> {
    let mut names: Vec<String> = WORDS.iter().map(|word| format!("bash-{word}-1.fc40.x86_64.rpm")).collect();
    names.extend(WORDS.iter().map(|word| format!("bash_{word}-1_amd64.deb")));
    names.extend(WORDS.iter().map(|word| (*word).to_owned()));
    names.extend([
        "-".repeat(4096),
        "_".repeat(4096),
        ".".repeat(4096),
        ".rpm".repeat(1000),
        "a-1-1.".repeat(600),
        format!("bash-1-1.{}.x86_64", "fc40.".repeat(700)),
        format!("bash-1-1.fc{}.x86_64", "4".repeat(3000)),
        format!("bash_1-1+deb{}u1_amd64.deb", "1".repeat(3000)),
        "9".repeat(20) + ":bash-1-1.x86_64",
        "bash-18446744073709551616:1-1.x86_64".to_owned(),
    ]);
    names
}
