use retrace_types::KeyFile;

use super::*;

fn debian() -> DistroId {
    "debian".parse().unwrap()
}

fn good_release() -> types::Release {
    types::Release {
        distro: "debian".into(),
        version: "12".into(),
        minor: Some("5".into()),
        codename: Some("bookworm".into()),
        rolling: false,
    }
}

fn good_description() -> wit::Description {
    wit::Description {
        id: "acme".into(),
        aliases: vec!["acme-server".into()],
        name: "Acme Linux".into(),
        format: types::PackageFormat::Rpm,
        plugin_version: "1.2.3-rc.1+build".into(),
        annotations: vec![("a.b-1".into(), "x".into())],
    }
}

fn good_repository() -> wit::Repository {
    wit::Repository {
        id: "main".into(),
        title: "Main".into(),
        layout: wit::RepositoryLayout::RpmMd,
        content: wit::RepositoryContent::Packages,
        mirrors: vec!["https://mirror.example/$VER/$CODENAME/$MINOR/$ARCH/".into()],
        signatures: wit::Signatures::METADATA | wit::Signatures::PACKAGES,
        keys: vec![wit::KeyFile { path: "debian/a/key.asc".into(), fingerprint: Some("A0".repeat(20)) }],
        config: vec![],
    }
}

/// Path of the first broken rule, or nothing.
fn broken<T>(answer: Result<T, FailureKind>) -> Option<String> {
    match answer {
        Ok(_) => None,
        Err(FailureKind::InvalidValue { path, .. }) => Some(path),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn descriptions_are_checked() {
    type Change = fn(&mut wit::Description);
    let cases: [(Change, Option<&str>); 13] = [
        (|_| {}, None),
        (|d| d.id = "Acme".into(), Some("id")),
        (|d| d.id = String::new(), Some("id")),
        (|d| d.aliases.push("a b".into()), Some("aliases[1]")),
        (|d| d.aliases.push("acme".into()), Some("aliases")),
        (|d| d.aliases = vec!["a".into(); 65], Some("aliases")),
        (|d| d.name = "a\u{1b}[1m".into(), Some("name")),
        (|d| d.name = "a\u{202e}b".into(), Some("name")),
        (|d| d.name = "x".repeat(257), Some("name")),
        (|d| d.plugin_version = "1.2".into(), Some("plugin-version")),
        (|d| d.plugin_version = "1.2.x".into(), Some("plugin-version")),
        (|d| d.annotations.push(("A".into(), String::new())), Some("annotations[1]")),
        (|d| d.annotations.push(("a.b-1".into(), String::new())), Some("annotations")),
    ];
    for (i, (change, want)) in cases.into_iter().enumerate() {
        let mut answer = good_description();
        change(&mut answer);
        assert_eq!(broken(description(answer)).as_deref(), want, "case {i}");
    }
}

#[test]
fn releases_are_checked() {
    type Change = fn(&mut wit::ReleaseEntry);
    let cases: [(Change, Option<&str>); 11] = [
        (|_| {}, None),
        (|e| e.end_of_life = None, None),
        (|e| e.architectures.push("loongarch64".into()), None),
        (|e| e.release.distro = "fedora".into(), Some("releases[0].release.distro")),
        (|e| e.release.version = "1 2".into(), Some("releases[0].release.version")),
        (|e| e.release.minor = Some("/".into()), Some("releases[0].release.minor")),
        (|e| e.release.codename = Some(String::new()), Some("releases[0].release.codename")),
        (|e| e.architectures = vec![], Some("releases[0].architectures")),
        (|e| e.architectures = vec!["x86 64".into()], Some("releases[0].architectures[0]")),
        (|e| e.end_of_life = Some("2028-13-01".into()), Some("releases[0].end-of-life")),
        (|e| e.title = String::new(), Some("releases[0].title")),
    ];
    for (i, (change, want)) in cases.into_iter().enumerate() {
        let mut entry = wit::ReleaseEntry {
            release: good_release(),
            title: "Debian 12".into(),
            architectures: vec!["x86_64".into()],
            end_of_life: Some("2028-06-30".into()),
            annotations: vec![],
        };
        change(&mut entry);
        let id = debian();
        let owner = Owner { id: &id, aliases: &[] };
        let answer = releases(vec![entry.clone()], &owner);
        if let Ok(entries) = &answer {
            assert_eq!(entries[0].architectures, [Architecture::X86_64]);
            assert_eq!(broken(releases(vec![entry.clone(), entry], &owner)).as_deref(), Some("releases"));
        }
        assert_eq!(broken(answer).as_deref(), want, "case {i}");
    }
}

fn check_repository(change: impl FnOnce(&mut wit::Repository)) -> Result<RepositorySpecs, FailureKind> {
    let (id, aliases) = (debian(), ["raspbian".parse().unwrap()]);
    let owner = Owner { id: &id, aliases: &aliases };
    let release = release("release", good_release(), &owner).unwrap();
    let mut answer = good_repository();
    change(&mut answer);
    repositories(vec![answer], &Context { owner, release: &release, architecture: Architecture::Aarch64 })
}

type RepositorySpecs = Vec<retrace_types::RepositorySpec>;

#[test]
fn a_good_repository_is_taken_over() {
    let specs = check_repository(|_| {}).unwrap();
    assert_eq!(specs[0].mirrors, ["https://mirror.example/12/bookworm/5/aarch64/"]);
    assert!(specs[0].signatures.metadata && specs[0].signatures.packages);
    let key = KeyFile { path: "debian/a/key.asc".into(), fingerprint: Some("A0".repeat(20)) };
    assert_eq!(specs[0].keys, [key]);
}

#[test]
fn mirrors_are_checked() {
    let long = format!("http://m/{}", "x".repeat(2048));
    let cases = [
        ("https://mirror.example/debian", true),
        ("http://mirror.example:8080/a%20b/", true),
        ("http://[::1]:8080/", true),
        ("rsync://mirror.example/module/", true),
        ("ftp://mirror.example/", true),
        ("file:///srv/mirror", true),
        ("", false),
        ("/srv/mirror", false),
        ("HTTP://mirror.example/", false),
        ("gopher://mirror.example/", false),
        ("javascript:alert(1)", false),
        ("http://", false),
        ("http:///path", false),
        ("file://host/srv", false),
        ("http://m/a/../b", false),
        ("http://m/a/./b", false),
        ("http://m/a/..", false),
        ("http://m/%2e%2E/b", false),
        ("http://m/a%2fb", false),
        ("http://m/a%0ab", false),
        ("http://m/a%00", false),
        ("http://m\\a", false),
        ("http://m/a b", false),
        ("http://m/\u{e4}", false),
        ("http://m/a\nb", false),
        ("http://m/?a=b", false),
        ("http://m/#a", false),
        ("http://user@m/", false),
        ("http://user:word@m/", false),
        ("http://m:99999/", false),
        ("http://m/$HOME", false),
        ("http://m/$", false),
        (long.as_str(), false),
    ];
    for (mirror, good) in cases {
        let answer = check_repository(|repository| repository.mirrors = vec![mirror.into()]);
        let want = (!good).then_some("repositories[0].mirrors[0]");
        assert_eq!(broken(answer).as_deref(), want, "mirror: {mirror:?}");
    }
}

#[test]
fn a_long_value_cannot_swell_a_mirror() {
    let text = "$CODENAME".repeat(220);
    assert!(text.len() < 2048);
    let answer = check_repository(|repository| repository.mirrors = vec![format!("http://m/{text}")]);
    assert_eq!(broken(answer).as_deref(), None); // "bookworm" is shorter than its variable
}

#[test]
fn keys_are_checked() {
    let cases = [
        ("debian/key.asc", true),
        ("raspbian/key.asc", true),
        ("debian/a/b/key_1+2-3.asc", true),
        ("key.asc", false),
        ("fedora/key.asc", false),
        ("/debian/key.asc", false),
        ("debian/../fedora/key.asc", false),
        ("debian/./key.asc", false),
        ("debian//key.asc", false),
        ("debian/", false),
        ("debian/key asc", false),
        ("", false),
    ];
    for (path, good) in cases {
        let key = wit::KeyFile { path: path.into(), fingerprint: None };
        let answer = check_repository(|repository| repository.keys = vec![key]);
        assert_eq!(broken(answer).as_deref(), (!good).then_some("repositories[0].keys[0].path"), "path: {path:?}");
    }
    for fingerprint in
        ["", "A0", "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0", "G0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0"]
    {
        let key = wit::KeyFile { path: "debian/k".into(), fingerprint: Some(fingerprint.into()) };
        let answer = check_repository(|repository| repository.keys = vec![key]);
        assert_eq!(broken(answer).as_deref(), Some("repositories[0].keys[0].fingerprint"));
    }
    let unsigned = check_repository(|repository| {
        repository.keys = vec![];
        repository.signatures = wit::Signatures::empty();
    });
    assert!(unsigned.is_ok());
}

#[test]
fn debian_suites_are_checked() {
    let suite = |suite: &str, components: &[&str]| {
        let components = components.iter().map(|component| (*component).to_owned()).collect();
        let layout = wit::RepositoryLayout::DebDists(wit::DebSuite { suite: suite.into(), components });
        broken(check_repository(|repository| repository.layout = layout))
    };
    assert_eq!(suite("bookworm-security", &["main", "updates/main"]), None);
    assert_eq!(suite("bookworm/updates", &["main"]), None);
    for name in ["", "a b", "../a", "a/..", "/a", "a/", "a//b"] {
        assert_eq!(suite(name, &["main"]).as_deref(), Some("repositories[0].layout.suite"), "suite: {name:?}");
        assert_eq!(suite("a", &[name]).as_deref(), Some("repositories[0].layout.components[0]"));
    }
    assert_eq!(suite("a", &[]).as_deref(), Some("repositories[0].layout.components"));
}

#[test]
fn errors_of_a_plugin_are_cut_and_escaped() {
    let text = format!("a\x1b{}", "x".repeat(5000));
    let CallError::Internal(text) = call_error(types::CallError::Internal(text)) else { panic!() };
    assert!(text.starts_with("a\\u{1b}x") && text.len() <= 1024 + 3);
}

#[test]
fn input_is_cut_between_characters() {
    assert_eq!(cut("a\u{20ac}b", 3), "a");
    assert_eq!(cut("a\u{20ac}b", 4), "a\u{20ac}");
    assert_eq!(cut("abc", 10), "abc");
}

proptest::proptest! {
    #[test]
    fn any_mirror_is_refused_or_stays_what_it_says(mirror in "(https?|ftp|rsync|file)://[ -~]{0,60}") {
        if let Ok(specs) = check_repository(|repository| repository.mirrors = vec![mirror.clone()]) {
            let url = url::Url::parse(&specs[0].mirrors[0]).unwrap();
            proptest::prop_assert!(!url.path().split('/').any(|part| part == ".."));
            proptest::prop_assert!(url.username().is_empty() && url.query().is_none());
        }
    }
}

/// Whether an accepted answer can be trusted is looked at twice, and so is whether the generator makes anything good.
#[test]
fn random_answers_keep_every_rule_or_are_refused() {
    let mut generator = proptest::test_runner::TestRunner::deterministic();
    let bytes = proptest::collection::vec(proptest::num::u8::ANY, 0..400);
    let (mut accepted, mut all) = (0, 0);
    for _ in 0..2_000 {
        use proptest::strategy::{Strategy as _, ValueTree as _};
        let bytes = bytes.new_tree(&mut generator).unwrap().current();
        let (good, of) = random::check(&bytes, true);
        accepted += good;
        all += of;
    }
    assert!(accepted * 4 > all && accepted * 10 < all * 9, "{accepted} of {all} accepted: the mixture tests nothing");
}

proptest::proptest! {
    #[test]
    fn answers_that_keep_the_rules_are_accepted(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let (accepted, all) = random::check(&bytes, false);
        proptest::prop_assert_eq!(accepted, all);
    }
}
