use retrace_types::SignaturePolicy;

use super::*;

fn spec(id: &str, suite: Option<&str>, content: RepositoryContent) -> RepositorySpec {
    let layout = suite.map_or(RepositoryLayout::RpmMd, |suite| RepositoryLayout::DebDists {
        suite: suite.to_owned(),
        components: Vec::new(),
    });
    RepositorySpec {
        id: id.to_owned(),
        title: String::new(),
        layout,
        content,
        mirrors: Vec::new(),
        signatures: SignaturePolicy { metadata: false, packages: true },
        keys: Vec::new(),
        config: Vec::new(),
    }
}

fn pattern(text: &str) -> Option<Pattern> {
    Some(text.parse().unwrap())
}

fn release() -> Release {
    Release { id: "fedora-40".parse().unwrap(), minor: None, codename: None, rolling: false }
}

fn policy(rules: &[Rule], id: &str) -> Policy {
    let spec = spec(id, None, RepositoryContent::Packages);
    Policy::of(rules, &"fedora-40".parse().unwrap(), Architecture::X86_64, &spec)
}

#[test]
fn sources_testing_and_backports_are_off_unless_asked_for() {
    use RepositoryContent::{DebugInfo, Packages, Sources};
    for (id, suite, content, enabled) in [
        ("releases", None, Packages, true),
        ("updates-debuginfo", None, DebugInfo, true),
        ("updates-testing", None, Packages, false),
        ("updates-testing-debuginfo", None, DebugInfo, false),
        ("releases-source", None, Sources, false),
        ("main", Some("testing"), Packages, true),
        ("main-debug", Some("testing-debug"), DebugInfo, true),
        ("extra", Some("bookworm-backports"), Packages, false),
        ("extra", Some("bookworm-proposed-updates"), Packages, false),
        ("security", Some("bookworm-security"), Packages, true),
    ] {
        let spec = spec(id, suite, content);
        let release = "debian-testing".parse().unwrap();
        let got = Policy::of(&[], &release, Architecture::X86_64, &spec);
        assert_eq!((got.enabled, got.off_by_default.is_none()), (enabled, enabled), "{id} {suite:?}");
        let asked = [Rule { enabled: Some(true), ..Rule::default() }];
        assert!(Policy::of(&asked, &release, Architecture::X86_64, &spec).enabled, "{id} {suite:?}");
    }
}

#[test]
fn later_rules_override_what_they_have_an_opinion_on() {
    let rules = [
        Rule { mode: Some(Mode::Full), priority: Some(10), ..Rule::default() },
        Rule { repository: pattern("updates*"), mode: Some(Mode::Filtered), newest: Some(3), ..Rule::default() },
        Rule { release: pattern("fedora-4?"), repository: pattern("updates"), newest: Some(0), ..Rule::default() },
        Rule { architecture: pattern("aarch64"), mode: Some(Mode::Metadata), ..Rule::default() },
    ];
    let facts = |id: &str| {
        let policy = policy(&rules, id);
        (policy.mode, policy.filter.newest, policy.priority)
    };
    assert_eq!(facts("releases"), (Mode::Full, None, 10));
    assert_eq!(facts("updates-debuginfo"), (Mode::Filtered, Some(3), 10));
    assert_eq!(facts("updates"), (Mode::Filtered, None, 10));
    assert_eq!(policy(&[], "releases").mode, Mode::Metadata);
}

#[test]
fn the_operator_decides_what_must_be_signed() {
    let plugin = spec("x", None, RepositoryContent::Packages);
    for (wanted, want) in [
        (None, plugin.signatures),
        (Some(Signatures::Both), SignaturePolicy { metadata: true, packages: true }),
        (Some(Signatures::None), SignaturePolicy::OFF),
    ] {
        let rule = Rule { signatures: wanted, ..Rule::default() };
        let applied = policy(&[rule], "x").applied_to(plugin.clone(), &release(), Architecture::X86_64).unwrap();
        assert_eq!(applied.signatures, want);
        assert_eq!(Signatures::of(want).policy(), want);
    }
}

#[test]
fn mistakes_in_a_rule_are_explained() {
    let cases = [
        (Rule { mode: Some(Mode::Full), newest: Some(3), ..Rule::default() }, "`newest` has no effect"),
        (Rule { mirrors: Some(vec!["/srv/m".into()]), ..Rule::default() }, "`mirrors` without `repository`"),
        (Rule { mirrors: Some(Vec::new()), ..Rule::default() }, "`mirrors = []` means the plugin's"),
        (Rule { include: Some(Vec::new()), ..Rule::default() }, "`include = []` wants everything"),
        (Rule { architecture: pattern("amd64"), ..Rule::default() }, "`architecture` fits none"),
        (Rule { enabled: Some(false), mode: Some(Mode::Full), ..Rule::default() }, "`mode` has no effect"),
    ];
    for (rule, want) in cases {
        let problems = rule.problems().join("\n");
        assert!(problems.starts_with(want), "{rule:?}: {problems}");
    }
    let good = Rule { mode: Some(Mode::Filtered), newest: Some(3), referenced: Some(true), ..Rule::default() };
    assert_eq!(good.problems(), [""; 0]);
}
