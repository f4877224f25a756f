//! The module `testing` tests plugins, and fails those that are wrong.
#![cfg(feature = "testing")]

use retrace_plugin_sdk::{
    prelude::*,
    testing::{Corpus, Native, fixtures},
};

retrace_plugin_sdk::declarative!(
    /// The plugin.
    pub struct Acme = "tests/declared/acme.toml";
);

/// Claims every text that it sees, and guesses with certainty.
struct Greedy;

impl Distribution for Greedy {
    const ID: &'static str = "fedora";

    fn describe() -> Description {
        Description { id: "fedora".into(), ..Acme::describe() }
    }

    fn releases() -> Vec<ReleaseEntry> {
        Acme::releases()
    }

    fn parse_release(_source: ReleaseSource) -> Result<Option<Release>, CallError> {
        Ok(Acme::releases().pop().map(|entry| entry.release))
    }

    fn repositories(release: Release, arch: String) -> Result<Vec<Repository>, CallError> {
        Acme::repositories(release, arch)
    }
}

fn acme() -> Native {
    Native::of::<Acme>().with_kernel::<Acme>().with_environment_advice::<Acme>()
}

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/declared/fixtures")
}

#[test]
fn fixtures_are_answered() {
    fixtures::check(&acme(), folder());
}

#[test]
fn a_wrong_answer_is_shown_with_what_was_wanted() {
    let cases = fixtures::load(&folder()).unwrap();
    let plugin = Native::of::<Greedy>();
    let wrong: Vec<_> = cases.iter().filter_map(|case| fixtures::difference(&plugin, case)).collect();
    let names: Vec<_> = wrong.iter().filter_map(|text| text.lines().next()).collect();
    let no_function = |name: &str| names.iter().any(|line| line.contains("no function") && line.contains(name));
    assert!(names.contains(&"acme.toml, a server") && names.contains(&"acme.toml, another distribution"), "{names:#?}");
    assert!(no_function("kernel-for") && no_function("extra-packages"), "{names:#?}");
}

#[test]
fn the_corpus_knows_a_plugin_that_claims_foreign_texts() {
    let corpus = Corpus::shipped();
    assert!(corpus.entries.len() > 200, "{} entries", corpus.entries.len());
    corpus.check(&acme());
    let wrong = Corpus::shipped().wrong(&Native::of::<Greedy>());
    let own = |text: &&String| text.lines().next().is_some_and(|line| line.contains("(own)"));
    let (own, all) = (wrong.iter().filter(own).count(), wrong.len());
    assert!(own > 10 && all - own > 100, "{own} own and {} foreign texts", all - own);
}

#[test]
fn answers_hold_every_question_that_has_one() {
    let answers = Corpus::default().answers(&acme());
    let functions: Vec<_> =
        answers.as_array().unwrap().iter().map(|one| one.get("function").unwrap().as_str().unwrap()).collect();
    // rolling on 2 architectures, 3 on 3, 2 on 2.
    assert_eq!(functions.len(), 2 + 2 * (2 + 3 + 2));
    let with_texts = Corpus::shipped();
    let answers = with_texts.answers(&acme());
    assert_eq!(answers.as_array().unwrap().len(), functions.len() + with_texts.entries.len());
}

#[test]
fn a_bad_question_is_named() {
    let ask = |function: &str, input: &str| acme().call(function, &serde_json::from_str(input).unwrap()).unwrap_err();
    let cases = [
        ("parse", "{}", "no function \"parse\": the plugin has debug-packages, "),
        ("parse-release", "{}", "input.source: want the name of a case"),
        ("parse-release", r#"{"source":{"os-release":7}}"#, "input.source: want a text"),
        ("parse-release", r#"{"source":{"os-release":"a"},"x":1}"#, "input.x: unknown parameter"),
        ("repositories", r#"{"arch":"a","release":{"distro":"a","version":"1"}}"#, "input.release.rolling: want true"),
        ("guess-release", r#"{"subject":{"raw":"a","formt":"rpm"}}"#, "input.subject.formt: unknown field"),
        ("describe", r#"{"a":1}"#, "this function has no parameters"),
    ];
    for (function, input, want) in cases {
        let got = ask(function, input);
        assert!(got.starts_with(want), "{input} gives {got:?}");
    }
}
