//! Plugins that change while they are asked.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use retrace_plugin_host::{Limits, PluginHost, Watcher};
use retrace_types::DistroId;

use crate::support::{component, options_in};

const SWAPS: usize = 20;
const CALLS: usize = 10_000;

/// The same plugin under another version number: the number is a text in its data, replaced by one of the same length.
fn with_version(component: &[u8], version: &str) -> Vec<u8> {
    let current = current_version(component);
    assert_eq!(current.len(), version.len());
    let mut bytes = component.to_vec();
    let places: Vec<_> = (0..bytes.len())
        .filter(|at| bytes.get(*at..).is_some_and(|rest| rest.starts_with(current.as_bytes())))
        .collect();
    for at in places {
        bytes.splice(at..at + version.len(), version.bytes());
    }
    bytes
}

fn current_version(component: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let options = options_in(dir.path(), Limits::default());
    fs::create_dir(&options.plugin_dir).unwrap();
    fs::write(options.plugin_dir.join("x.wasm"), component).unwrap();
    let registry = PluginHost::load(&options).unwrap().registry();
    registry.plugins().next().unwrap().info().version.clone()
}

/// As `retrace plugin install` does it: the new file gets the old one's name in one step.
fn replace(dir: &Path, name: &str, bytes: &[u8]) {
    fs::write(dir.join(".new"), bytes).unwrap();
    fs::rename(dir.join(".new"), dir.join(name)).unwrap();
}

fn versions() -> Vec<(String, Vec<u8>)> {
    let original = component("retrace_plugin_debian");
    ["7.0.1", "7.0.2"].map(|version| (version.to_owned(), with_version(&original, version))).into()
}

#[test]
fn every_call_under_load_is_answered_by_exactly_one_version() {
    let dir = tempfile::tempdir().unwrap();
    let options = options_in(dir.path(), Limits::default());
    fs::create_dir(&options.plugin_dir).unwrap();
    let versions = versions();
    replace(&options.plugin_dir, "debian.wasm", &versions[0].1);
    let host = Arc::new(PluginHost::load(&options).unwrap());
    let debian: DistroId = "debian".parse().unwrap();
    let (answered, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let seen = [AtomicUsize::new(0), AtomicUsize::new(0)];

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) || answered.load(Ordering::Relaxed) < CALLS {
                    let registry = host.registry();
                    let plugin = registry.plugin(&debian).expect("the plugin never goes away");
                    let report = plugin.guest().call(retrace_plugin_host::Function::Describe, &serde_json::json!({}));
                    let answer = report.answer.expect("no call is lost");
                    // What the component says is what the registry says: one version answered all of it.
                    let version = &plugin.info().version;
                    assert_eq!(answer["plugin-version"], version.as_str());
                    let which = versions.iter().position(|(known, _)| known == version).expect("a known version");
                    seen[which].fetch_add(1, Ordering::Relaxed);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for swap in 1..=SWAPS {
            let until = answered.load(Ordering::Relaxed) + CALLS / SWAPS / 2;
            while answered.load(Ordering::Relaxed) < until {
                thread::sleep(Duration::from_millis(1));
            }
            replace(&options.plugin_dir, "debian.wasm", &versions[swap % 2].1);
            assert!(host.refresh().unwrap(), "swap {swap}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) >= CALLS);
    assert_eq!(host.registry().generation(), u64::try_from(SWAPS).unwrap() + 1);
    for seen in &seen {
        assert!(seen.load(Ordering::Relaxed) > CALLS / 10, "both versions answered a good part: {seen:?}");
    }
}

#[test]
fn a_bad_update_leaves_the_old_version_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let options = options_in(dir.path(), Limits::default());
    fs::create_dir(&options.plugin_dir).unwrap();
    let versions = versions();
    replace(&options.plugin_dir, "debian.wasm", &versions[0].1);
    let host = PluginHost::load(&options).unwrap();
    let half = &versions[1].1[..versions[1].1.len() / 2];
    let (wasi, undescribed) = (component("examples/bad_wasi"), component("examples/bad_description"));
    for (i, bad) in [half, b"", &wasi, &undescribed].into_iter().enumerate() {
        replace(&options.plugin_dir, "debian.wasm", bad);
        assert!(host.refresh().unwrap());
        let registry = host.registry();
        assert_eq!(registry.plugins().next().unwrap().info().version, versions[0].0, "case {i}");
        assert_eq!(registry.faults()[0].kept.as_ref().unwrap().version, versions[0].0, "case {i}");
        assert_eq!(host.refused_updates(), u64::try_from(i).unwrap() + 1);
        assert!(!host.refresh().unwrap(), "the same bad file is not tried again");
    }
    replace(&options.plugin_dir, "debian.wasm", &versions[1].1);
    host.refresh().unwrap();
    let registry = host.registry();
    assert_eq!(registry.plugins().next().unwrap().info().version, versions[1].0);
    assert!(registry.faults().is_empty());

    fs::remove_file(options.plugin_dir.join("debian.wasm")).unwrap();
    assert!(host.refresh().unwrap());
    assert_eq!(host.registry().plugins().count(), 0);
    assert_eq!(registry.plugins().count(), 1, "who holds the old registry is served by it");
}

#[test]
fn a_watcher_finds_what_changes() {
    let dir = tempfile::tempdir().unwrap();
    let options = options_in(dir.path(), Limits::default());
    fs::create_dir(&options.plugin_dir).unwrap();
    let host = Arc::new(PluginHost::open(&options).unwrap());
    let watcher = Watcher::start(Arc::clone(&host), Duration::from_millis(20)).unwrap();
    let versions = versions();
    for (version, bytes) in &versions {
        replace(&options.plugin_dir, "debian.wasm", bytes);
        let started = Instant::now();
        while host.registry().plugins().next().is_none_or(|plugin| plugin.info().version != *version) {
            assert!(started.elapsed() < Duration::from_secs(60), "the watcher does not see it");
            thread::sleep(Duration::from_millis(10));
        }
    }
    let told = || retrace_plugin_host::HostStatus::read_all(&options.cache_dir).unwrap();
    let started = Instant::now();
    while told().first().is_none_or(|status| status.plugins[0].version != versions[1].0) {
        assert!(started.elapsed() < Duration::from_secs(60), "the state is not written");
        thread::sleep(Duration::from_millis(10));
    }
    drop(watcher);
    assert_eq!(told(), []);
}
