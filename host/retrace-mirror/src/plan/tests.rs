use proptest::prelude::*;

use super::*;
use crate::policy::Filter;

fn candidate(name: &str, version: &str) -> Candidate {
    Candidate {
        repository: 0,
        id: PackageId {
            name: name.to_owned(),
            epoch: None,
            version: version.to_owned(),
            release: Some("1".to_owned()),
            arch: "x86_64".to_owned(),
        },
        kind: if name.ends_with("-debuginfo") { PackageKind::DebugInfo } else { PackageKind::Binary },
        format: PackageFormat::Rpm,
        source: Some(format!("{}-{version}-1.src.rpm", name.trim_end_matches("-debuginfo"))),
        size_bytes: Some(10),
        local: false,
        upstream: true,
        referenced: false,
    }
}

fn policy(mode: Mode, filter: Filter) -> Policy {
    let (mirrors, keys) = (Vec::new(), Vec::new());
    let priority = Policy::PRIORITY;
    Policy { enabled: true, off_by_default: None, mode, filter, signatures: None, mirrors, keys, priority }
}

fn patterns(texts: &[&str]) -> Vec<crate::policy::Pattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn fetched(candidates: &[Candidate], policies: &[Policy]) -> Vec<String> {
    let plan = plan(candidates, policies);
    plan.fetch.iter().map(|n| format!("{}-{}", candidates[*n].id.name, candidates[*n].id.version)).collect()
}

#[test]
fn metadata_fetches_nothing_and_full_all_that_upstream_has() {
    let gone = Candidate { upstream: false, ..candidate("bash", "1") };
    let known = [candidate("bash", "2"), gone, candidate("zsh", "1")];
    assert_eq!(fetched(&known, &[policy(Mode::Metadata, Filter::default())]), [""; 0]);
    assert_eq!(fetched(&known, &[policy(Mode::Full, Filter::default())]), ["bash-2", "zsh-1"]);
    assert_eq!(plan(&known, &[policy(Mode::Full, Filter::default())]).fetch_bytes(&known), 20);
}

#[test]
fn filters_are_by_name_source_and_architecture() {
    let noarch = |name| {
        let mut candidate = candidate(name, "1");
        candidate.id.arch = "noarch".to_owned();
        candidate
    };
    let known = [candidate("bash", "1"), candidate("bash-debuginfo", "1"), candidate("zsh", "1"), noarch("bash-doc")];
    for (filter, want) in [
        (Filter { include: patterns(&["bash*"]), ..Filter::default() }, "bash-1 bash-debuginfo-1 bash-doc-1"),
        (Filter { exclude: patterns(&["*-doc", "z*"]), ..Filter::default() }, "bash-1 bash-debuginfo-1"),
        (Filter { sources: patterns(&["bash"]), ..Filter::default() }, "bash-1 bash-debuginfo-1"),
        (Filter { architectures: patterns(&["noarch"]), ..Filter::default() }, "bash-doc-1"),
    ] {
        assert_eq!(fetched(&known, &[policy(Mode::Filtered, filter.clone())]).join(" "), want, "{filter:?}");
    }
}

#[test]
fn the_newest_versions_are_chosen_by_the_rules_of_the_format() {
    let known = ["1.10", "1.9", "2.0~rc1", "1.10^git1"].map(|version| candidate("bash", version));
    let newest = |n| fetched(&known, &[policy(Mode::Filtered, Filter { newest: Some(n), ..Filter::default() })]);
    assert_eq!(newest(1), ["bash-2.0~rc1"]);
    assert_eq!(newest(2), ["bash-2.0~rc1", "bash-1.10^git1"]);
    assert_eq!(newest(9).len(), 4);
}

#[test]
fn what_a_crash_referenced_comes_with_its_debug_packages_and_from_archives() {
    let mut known = vec![
        Candidate { upstream: false, referenced: true, ..candidate("bash", "1") },
        Candidate { repository: 1, upstream: false, ..candidate("bash-debuginfo", "1") },
        Candidate { repository: 1, ..candidate("bash-debuginfo", "2") },
        candidate("bash", "2"),
    ];
    let policies = vec![policy(Mode::Filtered, Filter { referenced: true, ..Filter::default() }); 2];
    let mut want = vec!["bash-1", "bash-debuginfo-1"];
    assert_eq!(fetched(&known[..2], &policies), want);
    want.extend(["bash-debuginfo-2", "bash-2"]);
    assert_eq!(fetched(&known, &policies), want, "and newer versions of the same packages");
    known.push(candidate("zsh", "1"));
    assert_eq!(fetched(&known, &policies), want, "but no others");

    for candidate in &mut known {
        candidate.local = true;
    }
    let plan = plan(&known, &policies);
    assert_eq!((plan.fetch, plan.keep, plan.prune.clone()), (vec![], vec![0, 1, 2, 3], vec![4]));
    let newest = Filter { referenced: true, newest: Some(1), ..Filter::default() };
    known.push(candidate("bash", "3"));
    known.last_mut().unwrap().local = true;
    let newest = super::plan(&known, &[policy(Mode::Filtered, newest.clone()), policy(Mode::Filtered, newest)]);
    assert_eq!(newest.prune, [3, 4], "the version that crashed stays, with its debug package");
    let off = Policy { enabled: false, ..policies[0].clone() };
    assert_eq!(super::plan(&known, &[off.clone(), off]).prune, [0; 0], "what is off is left alone");
}

#[test]
fn source_packages_have_their_names_in_file_names() {
    for (source, want) in [
        ("bash-5.2-1.fc40.src.rpm", "bash"),
        ("gcc-toolset-13-gcc-13.1-1.nosrc.rpm", "gcc-toolset-13-gcc"),
        ("bash", "bash"),
        ("bash-5.2", "bash-5.2"),
        (".src.rpm", ".src.rpm"),
    ] {
        assert_eq!(name_of_source(source), want, "{source}");
    }
}

fn any_candidate() -> impl Strategy<Value = Candidate> {
    let name = prop::sample::select(vec!["bash", "bash-debuginfo", "zsh", "kernel"]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0..2_usize);
    (name, "[1-3](\\.[0-9])?(~rc1)?", flags).prop_map(|(name, version, (local, upstream, referenced, repository))| {
        Candidate { local, upstream, referenced, repository, ..candidate(name, &version) }
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let mode = prop::sample::select(vec![Mode::Metadata, Mode::Full, Mode::Filtered]);
    let names = prop::sample::select(vec![&[][..], &["bash*"], &["*-debuginfo"], &["k*", "z*"]]);
    (mode, names, any::<bool>(), prop::option::of(1..4_u32), any::<bool>()).prop_map(
        |(mode, include, referenced, newest, enabled)| Policy {
            enabled,
            ..policy(mode, Filter { include: patterns(include), referenced, newest, ..Filter::default() })
        },
    )
}

proptest! {
    #[test]
    fn a_plan_is_consistent_and_carrying_it_out_leaves_nothing_to_do(
        known in prop::collection::vec(any_candidate(), 0..30),
        policies in prop::collection::vec(any_policy(), 2),
    ) {
        let first = plan(&known, &policies);
        let local = |n: &usize| known[*n].local;
        prop_assert!(!first.fetch.iter().any(local));
        prop_assert!(first.keep.iter().chain(&first.prune).all(local));
        prop_assert_eq!(first.keep.len() + first.prune.len(), known.iter().filter(|c| c.local).count());
        prop_assert!(!first.prune.iter().any(|n| known[*n].referenced), "a crash needs it");
        let pruned_modes = first.prune.iter().map(|n| &policies[known[*n].repository]);
        prop_assert!(pruned_modes.into_iter().all(|policy| policy.enabled && policy.mode == Mode::Filtered));

        let mut after = known.clone();
        first.fetch.iter().for_each(|n| after[*n].local = true);
        first.prune.iter().for_each(|n| after[*n].local = false);
        let second = plan(&after, &policies);
        prop_assert_eq!((second.fetch, second.prune), (vec![], vec![]));
    }

    #[test]
    fn more_versions_are_a_superset(known in prop::collection::vec(any_candidate(), 0..30), n in 1..4_u32) {
        let with = |n| {
            let one = policy(Mode::Filtered, Filter { newest: Some(n), ..Filter::default() });
            plan(&known, &[one.clone(), one]).fetch.into_iter().collect::<HashSet<_>>()
        };
        prop_assert!(with(n).is_subset(&with(n + 1)));
    }
}
