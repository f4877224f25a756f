//! Calls by JSON, their cost, and instances that live for a whole job.

use std::{path::Path, sync::Arc};

use retrace_plugin_host::{
    CallFailure, Compiler, EngineMode, FailureKind, Function, Limits, Loader, PluginError, PluginHost, ReleaseSource,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{bad, component, corpus, host_with, options_in, shipped};

fn loader(mode: EngineMode) -> (Loader, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let loader = Loader::new(mode, &Limits::default(), &dir.path().join("cache"), Compiler::InProcess).unwrap();
    (loader, dir)
}

#[test]
fn json_and_types_give_the_same_answers() {
    let host = shipped();
    let debian = host.plugin(&"debian".parse().unwrap()).unwrap();
    for (name, text) in corpus() {
        let typed = debian.session().parse_release(&ReleaseSource::OsRelease(text.clone())).unwrap();
        let report = debian.guest().call(Function::ParseRelease, &json!({ "source": { "os-release": text } }));
        let answer = report.answer.unwrap();
        assert_eq!(
            answer["ok"]["version"].as_str(),
            typed.as_ref().map(|release| release.id.version.as_str()),
            "{name}"
        );
        assert_eq!(
            answer["ok"]["minor"].as_str(),
            typed.as_ref().and_then(|release| release.minor.as_deref()),
            "{name}"
        );
        assert_eq!(report.stats.fuel, None);
        assert!(report.stats.peak_memory_bytes > 0);
    }
    let by_name =
        debian.guest().call(Function::ParseFileNames, &json!({ "names": ["bash_5.2.15-2+b7_amd64.deb", "x"] }));
    let by_order = debian.guest().call(Function::ParseFileNames, &json!([["bash_5.2.15-2+b7_amd64.deb", "x"]]));
    let answer = by_name.answer.unwrap();
    assert_eq!(answer, by_order.answer.unwrap());
    assert_eq!(answer["ok"][0]["kind"], "binary");
    assert_eq!(answer["ok"][1], Value::Null);
    assert_eq!(debian.guest().call(Function::Describe, &json!({})).answer.unwrap()["id"], "debian");
}

#[test]
fn an_input_that_does_not_fit_is_told_where() {
    let host = shipped();
    let guest = host.plugins().next().unwrap().guest();
    let release = json!({ "distro": "debian", "version": "12", "rolling": false });
    let cases = [
        (Function::ParseRelease, json!({ "source": "os-release" }), "source.os-release: needs a value"),
        (
            Function::ParseRelease,
            json!({ "source": { "elf": "x" } }),
            "source: want one of os-release, release-line, named",
        ),
        (Function::ParseRelease, json!({ "text": "x" }), "there is no parameter \"text\"; there are source"),
        (Function::ParseRelease, json!([]), "input: want a list of 1 values (source), got 0"),
        (Function::Repositories, json!({ "release": release, "arch": 5 }), "arch: want a text"),
        (Function::Repositories, json!({ "release": {}, "arch": "x" }), "release.distro: want a text"),
        (Function::ParseFileNames, json!({ "names": [7] }), "names[0]: want a text"),
        (
            Function::FormatFileName,
            json!({ "subject": { "name": "a", "epoch": -1, "version": "1", "arch": "x", "kind": "binary" } }),
            "subject.epoch: want a whole number from 0 to 4294967295",
        ),
    ];
    for (function, input, want) in cases {
        match guest.call(function, &input).answer {
            Err(CallFailure::Input(error)) => assert!(error.to_string().contains(want), "{error}"),
            other => panic!("{input}: {other:?}"),
        }
    }
    let kernel = guest.call(Function::KernelFor, &json!({ "version": "6", "arch": "x86_64" })).answer;
    assert_eq!(kernel.is_err(), !guest.exports(Function::KernelFor));
}

#[test]
fn measured_calls_cost_the_same_each_time_and_more_for_more() {
    let (loader, _dir) = loader(EngineMode::Measured);
    let plugin = loader.plugin(&component("retrace_plugin_debian"), Path::new("debian.wasm")).unwrap();
    let fuel = |text: &str| {
        let report = plugin.guest().call(Function::ParseRelease, &json!({ "source": { "os-release": text } }));
        report.answer.unwrap();
        report.stats.fuel.unwrap()
    };
    let text = "ID=debian\nVERSION_ID=12\n";
    let first = fuel(text);
    assert!(first > 1_000, "{first}");
    assert_eq!(fuel(text), first);
    assert!(fuel(&text.repeat(50)) > first);
}

#[test]
fn a_measured_endless_loop_ends_when_its_fuel_is_used() {
    let (loader, _dir) = loader(EngineMode::Measured);
    let plugin = loader.plugin(&component("examples/bad_calls"), Path::new("bad.wasm")).unwrap();
    let report = plugin.guest().call(Function::ParseRelease, &json!({ "source": { "named": ["loop", ""] } }));
    assert_eq!(report.answer.unwrap_err(), CallFailure::Plugin(FailureKind::Deadline));
    assert_eq!(report.stats.fuel, Some(100 * retrace_plugin_host::FUEL_PER_MILLISECOND));
}

#[test]
fn the_log_of_a_call_comes_with_its_report() {
    let host = bad();
    let guest = host.plugins().next().unwrap().guest();
    let report = guest.call(Function::ParseRelease, &json!({ "source": { "named": ["flood", ""] } }));
    assert_eq!((report.stats.log.len(), report.stats.log_lines_dropped), (64, 936));
    assert_eq!(report.stats.log[0].text, "\\u{1b}[31mflood\\u{a}");
}

#[test]
fn a_job_answers_as_fresh_instances_do_and_gets_over_a_failure() {
    let host = shipped();
    let names: Vec<_> = (0..40).map(|i| format!("bash_5.2.{i}-2_amd64.deb")).collect();
    for plugin in host.plugins() {
        let mut job = plugin.job();
        for chunk in names.chunks(3) {
            assert_eq!(job.parse_file_names(chunk).unwrap(), plugin.session().parse_file_names(chunk).unwrap());
        }
    }
    let host = bad();
    let mut job = host.plugins().next().unwrap().job();
    let named = |name: &str| ReleaseSource::Named { name: name.to_owned(), text: String::new() };
    assert!(matches!(job.parse_release(&named("panic")), Err(PluginError::Failure(_))));
    assert_eq!(job.parse_release(&named("good")).unwrap(), None);
}

#[test]
fn a_job_gets_a_new_instance_after_its_calls() {
    let limits = Limits { job_calls: 2, ..Limits::default() };
    let host = host_with(&[("debian.wasm", &component("retrace_plugin_debian"))], limits);
    let mut job = host.plugins().next().unwrap().guest().job();
    let mut peaks = Vec::new();
    for _ in 0..3 {
        // Garbage stays in the instance until it is retired: its memory shows which instance answered.
        let text = "x".repeat(60_000);
        let report = job.call(Function::ParseRelease, &json!({ "source": { "os-release": text } }));
        report.answer.unwrap();
        peaks.push(report.stats.peak_memory_bytes);
    }
    assert_eq!(peaks[0], peaks[2], "{peaks:?}");
}

#[test]
fn a_failure_says_how_to_repeat_it_and_keeps_its_input() {
    let host = bad();
    let mut session = host.plugins().next().unwrap().session();
    let source = ReleaseSource::Named { name: "panic".to_owned(), text: "\u{1b}".to_owned() };
    let Err(PluginError::Failure(failure)) = session.parse_release(&source) else { panic!() };
    let input = failure.input.clone().unwrap();
    let command = failure.reproduce();
    assert!(
        command.contains("retrace plugin call") && command.contains("bad.wasm parse-release --json @"),
        "{command}"
    );
    assert!(command.ends_with(input.to_str().unwrap()), "{command}");
    let input: Value = serde_json::from_str(&std::fs::read_to_string(input).unwrap()).unwrap();
    let again = host.plugins().next().unwrap().guest().call(Function::ParseRelease, &input);
    assert_eq!(again.answer.unwrap_err(), CallFailure::Plugin(failure.kind));
}

#[test]
fn a_plugin_that_keeps_failing_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { breaker_failures: 3, ..Limits::default() };
    let options = options_in(dir.path(), limits);
    std::fs::create_dir(&options.plugin_dir).unwrap();
    std::fs::write(options.plugin_dir.join("bad.wasm"), component("examples/bad_calls")).unwrap();
    let host = Arc::new(PluginHost::load(&options).unwrap());
    let source = |name: &str| ReleaseSource::Named { name: name.to_owned(), text: String::new() };
    for _ in 0..3 {
        assert!(host.registry().select_by_text(&source("panic")).decision.is_err());
    }
    let registry = host.registry();
    let counts = registry.plugins().next().unwrap().counts();
    assert_eq!((counts.failures, counts.trips), (3, 1));
    assert!(counts.degraded_for.is_some());
    let refused = registry.plugins().next().unwrap().session().parse_release(&source("good")).unwrap_err();
    assert!(matches!(refused, PluginError::Degraded { failures: 3, .. }), "{refused}");
    let selection = registry.select_by_text(&source("good"));
    assert!(selection.decision.unwrap_err().to_string().contains("failed 3 times"), "the job's reason names it");
    assert_eq!(registry.plugins().next().unwrap().counts().calls, counts.calls, "nobody asked it");

    // A refresh without a new file does not make it forget.
    host.refresh().unwrap();
    assert!(host.registry().plugins().next().unwrap().counts().degraded_for.is_some());
    let status = retrace_plugin_host::HostStatus::of(&host);
    assert!(status.plugins[0].degraded_until.is_some());
    status.write(&options.cache_dir).unwrap();
    assert_eq!(retrace_plugin_host::HostStatus::read_all(&options.cache_dir).unwrap(), [status]);
}
