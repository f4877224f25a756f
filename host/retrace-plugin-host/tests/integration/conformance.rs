//! The conformance suite on real components: the shipped plugins pass, and for every check there is a plugin that fails it
//! and nothing else.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use retrace_plugin_host::conformance::{
    self, BUDGETS, CATALOGUE, Companion, Fixtures, FuzzOptions, Options, Profile, Report, ReportFormat, Status,
    USUAL_SIZE_BYTES, Verdict,
};

use crate::support::{component, plugin_dir};

/// The text in `bad_checks.rs` that tells it which check to fail.
const MARKER: &[u8] = b"RETRACE-BAD:none  ";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `bad_checks` as the plugin that fails this check; `none`: the good one.
fn marked(check: &str) -> Vec<u8> {
    replaced(component("examples/bad_checks"), MARKER, format!("RETRACE-BAD:{check:<6}").as_bytes())
}

/// Every occurrence of `old` replaced by something as long.
fn replaced(mut bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let places: Vec<_> = bytes.windows(old.len()).enumerate().filter(|(_, w)| *w == old).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{} is not in the component", String::from_utf8_lossy(old));
    for at in places {
        bytes.splice(at..at + old.len(), new.iter().copied());
    }
    bytes
}

/// A number as WebAssembly writes it.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(if number == 0 { byte } else { byte | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

fn with_section(mut component: Vec<u8>, id: u8, content: &[u8]) -> Vec<u8> {
    component.push(id);
    component.extend(leb128(content.len()));
    component.extend(content);
    component
}

fn with_custom_section(component: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let content = [&leb128(name.len()), name.as_bytes(), data].concat();
    with_section(component, 0, &content)
}

/// With one more core module, which nothing uses.
fn with_module(component: Vec<u8>, sections: &[u8]) -> Vec<u8> {
    with_section(component, 1, &[b"\0asm\x01\0\0\0", sections].concat())
}

/// The plugin that fails this check.
fn bad(check: &str) -> Vec<u8> {
    let good = || marked("none");
    match check {
        "A1" => good().split_at(1000).0.to_vec(),
        // As a plugin that was built with std would have it.
        "A2" => replaced(good(), b"retrace:distro/logging@1.0.0", b"wasi:clocks/wall-clock@0.2.0"),
        "A3" => replaced(good(), b"end-of-life", b"end-of-love"),
        // type: func(); function: of that type; code: one body with 1001 locals of type i32.
        "A4" => with_module(good(), b"\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x08\x01\x06\x01\xe9\x07\x7f\x01\x0b"),
        // memory: 64 bit, one page.
        "A5" => with_module(good(), b"\x05\x03\x01\x04\x01"),
        "A6" => replaced(good(), b"\"version\":\"0.1.0\"", b"\"version\":\"0.1.9\""),
        "A7" => with_custom_section(good(), "name-of-a-tool", b"/home/ann/acme/src/lib.rs"),
        "F3" => with_custom_section(good(), "padding", &vec![0; 6 << 20]),
        "G2" => good(),
        other => marked(other),
    }
}

/// Installed beside it.
fn companions(check: &str) -> Vec<Companion> {
    let marker = match check {
        "G1" => "beside",
        "G2" => "G2",
        _ => return vec![],
    };
    vec![Companion { file: "beside.wasm".into(), bytes: marked(marker) }]
}

/// A folder of keys with the one that `bad_checks` names.
fn keys() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bad")).unwrap();
    fs::copy(root().join("gpg/debian/debian-archive-bookworm-stable.asc"), dir.path().join("bad/key.asc")).unwrap();
    dir
}

fn test_bad(check: &str, keys: &Path, cache: &Path) -> Report {
    let fixtures = root().join("tests/plugins/bad/fixtures");
    let own = fixtures.join(check);
    let fixtures = Fixtures {
        dir: Some(if own.is_dir() { own } else { fixtures.join("default") }),
        keys_dir: Some(keys.into()),
        ..Fixtures::default()
    };
    // Random inputs find D2 and growth D5 only if there are enough of them.
    let profile = if ["D2", "D5", "none"].contains(&check) { Profile::Full } else { Profile::Quick };
    let options = Options {
        profile,
        file: "bad.wasm".into(),
        companions: companions(check),
        cache_dir: Some(cache.join(check)),
        ..Options::default()
    };
    conformance::run(&bad(check), &fixtures, &options).unwrap()
}

fn failed(report: &Report) -> Vec<&str> {
    report.failures().map(|check| check.id.as_str()).collect()
}

#[test]
fn every_check_has_a_plugin_that_fails_it_alone() {
    let (keys, cache) = (keys(), tempfile::tempdir().unwrap());
    let checks: Mutex<Vec<&str>> = Mutex::new(CATALOGUE.iter().map(|check| check.id).collect());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(check) = checks.lock().unwrap().pop() else { return };
                    let report = test_bad(check, keys.path(), cache.path());
                    if failed(&report) != [check] {
                        wrong.lock().unwrap().push((check, report.render(ReportFormat::Text)));
                    }
                    let loadable = report.verdict() != Verdict::NotLoadable;
                    let is_static = check.starts_with('A') && !["A6", "A7"].contains(&check);
                    assert_eq!(loadable, !is_static, "{check}");
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let shown: Vec<_> = wrong.iter().map(|(check, report)| format!("{check}:\n{report}")).collect();
    assert!(wrong.is_empty(), "{}", shown.join("\n"));
}

#[test]
fn the_good_variant_passes_everything() {
    let (keys, cache) = (keys(), tempfile::tempdir().unwrap());
    let report = test_bad("none", keys.path(), cache.path());
    assert!(failed(&report).is_empty(), "{}", report.render(ReportFormat::Text));
    assert_eq!(report.verdict(), Verdict::Passed);
    let skipped: Vec<_> = report.checks.iter().filter(|check| check.status == Status::Skip).collect();
    let ids: Vec<_> = skipped.iter().map(|check| check.id.as_str()).collect();
    assert_eq!(ids, ["C2", "G1", "G2"], "only what needs a corpus or other plugins is left out");
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let (keys, cache) = (keys(), tempfile::tempdir().unwrap());
    let run = |check| {
        let mut report = test_bad(check, keys.path(), cache.path());
        for check in &mut report.checks {
            check.duration_us = 0;
        }
        report
    };
    assert_eq!(run("D2"), run("D2"));
}

/// The shipped plugins, by the name of their folder.
fn shipped() -> Vec<(String, Vec<u8>)> {
    let mut plugins = Vec::new();
    for folder in fs::read_dir(root().join("plugins")).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        let bytes = component(&format!("retrace_plugin_{name}"));
        plugins.push((name, bytes));
    }
    plugins.sort();
    assert!(plugins.len() >= 2);
    plugins
}

#[test]
fn the_shipped_plugins_pass_every_check_together_and_stay_below_half_of_each_budget() {
    let plugins = shipped();
    let cache = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (name, bytes) in &plugins {
        let dir = root().join("plugins").join(name).join("fixtures");
        let beside = plugins.iter().filter(|(other, _)| other != name);
        let options = Options {
            file: plugin_dir().join(format!("retrace_plugin_{name}.wasm")),
            companions: beside
                .map(|(name, bytes)| Companion { file: format!("{name}.wasm").into(), bytes: bytes.clone() })
                .collect(),
            cache_dir: Some(cache.path().to_owned()),
            ..Options::default()
        };
        let fixtures =
            Fixtures { dir: dir.is_dir().then_some(dir), keys_dir: Some(root().join("gpg")), ..Fixtures::default() };
        let report = conformance::run(bytes, &fixtures, &options).unwrap();
        if report.failures().next().is_some() {
            wrong.push(report.render(ReportFormat::Text));
        }
        for cost in &report.costs {
            let (fuel, memory) = (cost.fuel.saturating_mul(2), cost.peak_memory.saturating_mul(2));
            if fuel > cost.fuel_budget || memory > cost.peak_memory_budget {
                wrong.push(format!("{name}: more than half a budget: {cost:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn reports_have_three_forms() {
    let (keys, cache) = (keys(), tempfile::tempdir().unwrap());
    let mut report = test_bad("B7", keys.path(), cache.path());
    // What changes with every build of the plugin or every run.
    report.plugin.sha256 = "0".repeat(64);
    report.plugin.size = 65_536;
    for cost in &mut report.costs {
        (cost.fuel, cost.peak_memory) = (1_000, 1 << 20);
    }
    for check in &mut report.checks {
        check.duration_us = 1_500;
        check.fuel = check.fuel.map(|_| 1_000);
        check.peak_memory = check.peak_memory.map(|_| 1 << 20);
        check.cases = check.cases.min(2);
    }
    insta::assert_snapshot!("report-text", report.render(ReportFormat::Text));
    insta::assert_snapshot!("report-json", report.render(ReportFormat::Json));
    let junit = report.render(ReportFormat::Junit);
    insta::assert_snapshot!("report-junit", junit);
    let read: Report = serde_json::from_str(&report.render(ReportFormat::Json)).unwrap();
    assert_eq!(read, report);
    assert_eq!(elements(&junit), (1, CATALOGUE.len(), 1));
}

/// Elements `testsuite`, `testcase` and `failure` of a document that an XML parser reads to its end.
fn elements(xml: &str) -> (usize, usize, usize) {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut counts = (0, 0, 0);
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => return counts,
            Event::Start(element) | Event::Empty(element) => {
                for attribute in element.attributes() {
                    attribute.unwrap().normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap();
                }
                match element.name().as_ref() {
                    "testsuite" => counts.0 += 1,
                    "testcase" => counts.1 += 1,
                    "failure" => counts.2 += 1,
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

#[test]
fn what_is_no_component_is_a_finding() {
    let options = Options::default();
    for bytes in [&b""[..], b"\0asm\x01\0\0\0", b"(component)", b"not a plugin"] {
        let report = conformance::run(bytes, &Fixtures::default(), &options).unwrap();
        assert_eq!((report.verdict(), failed(&report)), (Verdict::NotLoadable, vec!["A1"]));
        assert_eq!(report.checks.len(), CATALOGUE.len());
    }
}

#[test]
fn a_plugin_that_loops_everywhere_does_not_hold_up_the_suite() {
    let cache = tempfile::tempdir().unwrap();
    let options =
        Options { time_limit: Duration::from_secs(3), cache_dir: Some(cache.path().into()), ..Options::default() };
    let started = Instant::now();
    let report = conformance::run(&marked("loop"), &Fixtures::default(), &options).unwrap();
    assert_eq!(report.verdict(), Verdict::Failed);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn counter_examples_are_small_and_stored() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        file: "bad.wasm".into(),
        counter_examples: Some(dir.path().join("examples")),
        cache_dir: Some(dir.path().join("cache")),
        ..Options::default()
    };
    let report = conformance::run(&bad("D2"), &Fixtures::default(), &options).unwrap();
    let check = report.checks.iter().find(|check| check.id == "D2").unwrap();
    let path = dir.path().join("examples/D2.json");
    let input = fs::read_to_string(&path).unwrap();
    assert!(input.len() < 60, "{input}");
    assert_eq!(
        check.rerun.as_deref(),
        Some(&*format!("retrace plugin call bad.wasm parse-release --json @{}", path.display()))
    );
    assert!(check.message.as_deref().unwrap().contains("index out of bounds"), "{:?}", check.message);
}

#[test]
fn random_questions_find_defects_and_nothing_in_a_good_plugin() {
    let dir = tempfile::tempdir().unwrap();
    let run = |check: &str, seconds| {
        let options = FuzzOptions {
            run: Options {
                time_limit: Duration::from_secs(seconds),
                cache_dir: Some(dir.path().join("cache")),
                ..Options::default()
            },
            function: None,
        };
        conformance::fuzz(&bad(check), &Fixtures::default(), &options).unwrap()
    };
    let found = run("D2", 10);
    assert_eq!(found.findings.iter().map(|finding| finding.kind.as_str()).collect::<Vec<_>>(), ["trap"], "{found:?}");
    let good = run("none", 3);
    assert!(good.findings.is_empty(), "{:?}", good.findings);
    assert!(good.cases.values().sum::<u64>() > 100, "{:?}", good.cases);
}

#[test]
fn every_check_has_a_page_that_says_the_same() {
    let dir = root().join("plugin-sdk/docs/checks");
    let index = fs::read_to_string(dir.join("README.md")).unwrap();
    for check in CATALOGUE {
        let page = fs::read_to_string(dir.join(format!("{}.md", check.id))).unwrap();
        let level = format!("{:?}", check.level).to_lowercase();
        assert!(page.starts_with(&format!("# {}: {}\n", check.id, check.title)), "{}", check.id);
        for part in [&format!("Level: **{level}**"), check.proves, check.fix] {
            assert!(page.contains(part), "{}: {part}", check.id);
        }
        assert!(
            index.contains(&format!("| [{0}]({0}.md) | {1} | {2} |", check.id, level, check.title)),
            "{}",
            check.id
        );
    }
    let pages: BTreeSet<_> = fs::read_dir(dir).unwrap().map(|page| page.unwrap().file_name()).collect();
    assert_eq!(pages.len(), CATALOGUE.len() + 1, "a page without a check: {pages:?}");
}

#[test]
fn the_page_of_the_budgets_has_those_that_count() {
    let page = fs::read_to_string(root().join("plugin-sdk/docs/budgets.md")).unwrap();
    let plain = page.replace(',', "");
    for budget in BUDGETS {
        let (name, fuel, mib) = (budget.function.name(), budget.fuel, budget.memory_bytes >> 20);
        let is_row =
            |line: &str| line.starts_with(&format!("| `{name}`")) && line.contains(&format!("| {fuel} | {mib} MiB |"));
        assert!(plain.lines().any(is_row), "no row of {budget:?}");
    }
    assert!(plain.contains(&format!("({USUAL_SIZE_BYTES} bytes)")));
    let pages = root().join("plugin-sdk/docs/checks");
    for check in CATALOGUE.iter().filter(|check| check.id.starts_with('F')) {
        let page = fs::read_to_string(pages.join(check.id).with_extension("md")).unwrap();
        assert!(page.contains("(../budgets.md)"), "{}", check.id);
    }
}

#[test]
fn the_engine_in_the_report_is_the_one_that_is_built_in() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let want = format!("name = \"wasmtime\"\nversion = \"{}\"\n", conformance::WASMTIME);
    assert!(lock.contains(&want), "set conformance::WASMTIME to the version in Cargo.lock");
}
