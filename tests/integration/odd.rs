//! Cores that are hard to trace.

use retrace_tests::{Cli, OddFixture, Run, odd, rpm};
use retrace_types::{FileState, GapReason};

use crate::view::{crashed, fedora, frame, functions, gaps, line_of};

/// A result for the crash, with the C library's packages and those of the odd programs mirrored.
fn analyze(name: &str) -> Option<(Cli, &'static OddFixture, Run)> {
    let (odd, rpm, cli) = (odd()?, rpm()?, Cli::new()?);
    let mut mirrors = fedora(&rpm.repository("base"), &rpm.repository("debuginfo"));
    mirrors.push(format!("updates={}", odd.repository("base").display()));
    mirrors.push(format!("updates-debuginfo={}", odd.repository("debuginfo").display()));
    cli.sync(["fedora", "40"], &mirrors, &[rpm.key(), odd.key()]).expect_code(0);
    let run = cli.analyze(&odd.crash(name), &["--format", "json"]);
    assert!(matches!(run.code, Some(0 | 3)), "{name}: {run}");
    Some((cli, odd, run))
}

#[test]
fn a_recursion_of_two_thousand_calls_is_whole() {
    let Some((_cli, _, run)) = analyze("deep") else { return };
    let backtrace = run.expect_code(0).backtrace();
    let names = functions(crashed(&backtrace));
    assert_eq!(names.iter().filter(|name| *name == "descend").count(), 2000);
    assert_eq!(names.get(2000).map(String::as_str), Some("main"));
}

#[test]
fn a_stack_continues_through_a_signal_handler_on_its_own_stack() {
    let Some((cli, odd, run)) = analyze("handler") else { return };
    let backtrace = run.expect_code(0).backtrace();
    let thread = crashed(&backtrace);
    let names = functions(thread);
    let handler = names.iter().position(|name| name == "<signal handler called>").expect("a signal frame");
    assert_eq!(names[handler - 1], "handle");
    assert_eq!(names[handler + 1..handler + 3], ["fault", "odd_visit"]);
    assert_eq!(names.last().map(String::as_str), Some("main"));
    assert_eq!(frame(thread, "fault").line, Some(line_of("odd/handler.c", "int fault(volatile int *nowhere)")));
    assert_eq!(frame(thread, "odd_visit").line, Some(line_of("odd/visit.c", "return function(where) + 1;")));

    // Nothing on the handler's stack told that the library would be needed: the debugger did.
    let out = cli.path("out");
    cli.analyze(&odd.crash("handler"), &["--out", out.to_str().expect("UTF-8")]).expect_code(0);
    let log = std::fs::read_to_string(out.join("log")).expect("the log");
    assert!(log.contains("libodd-visit.so.1, which no stack pointed into: once more with all files"), "{log}");
}

#[test]
fn what_no_stack_points_into_is_matched_and_not_unpacked() {
    let Some((cli, odd, run)) = analyze("unused") else { return };
    let backtrace = run.expect_code(0).backtrace();
    let library = backtrace.modules.iter().find(|module| module.path.ends_with("libodd-visit.so.1")).expect("mapped");
    assert_eq!((library.file, library.debuginfo), (FileState::Unused, FileState::Unused), "{library:?}");
    assert!(library.package.is_some() && library.build_id.is_some(), "{library:?}");

    // Who asks for the sysroot gets all of it.
    let sysroot = cli.path("sysroot");
    cli.analyze(&odd.crash("unused"), &["--keep-sysroot", sysroot.to_str().expect("UTF-8")]).expect_code(0);
    assert!(sysroot.join("root/usr/lib64/libodd-visit.so.1").is_file());
}

#[test]
fn a_static_executable_needs_no_library() {
    let Some((_cli, _, run)) = analyze("static") else { return };
    let backtrace = run.backtrace();
    assert_eq!(functions(crashed(&backtrace))[..2], ["fault", "main"]);
    assert_eq!(
        frame(crashed(&backtrace), "fault").line,
        Some(line_of("odd/static.c", "int fault(volatile int *nowhere)"))
    );
    assert_eq!(backtrace.threads.len(), 3);
    let files: Vec<_> = backtrace.modules.iter().filter(|module| module.file != FileState::NotNeeded).collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn a_library_without_build_id_is_a_gap_with_that_reason() {
    let Some((_cli, _, run)) = analyze("anonymous") else { return };
    let backtrace = run.expect_code(3).backtrace();
    let library = backtrace.modules.iter().find(|module| module.path.ends_with("libodd.so.1")).expect("it is mapped");
    assert_eq!((library.build_id.as_ref(), library.file), (None, FileState::Missing));
    assert!(library.gaps.iter().any(|gap| gap.reason == GapReason::NoBuildId), "{:?}", gaps(&backtrace));
    let thread = crashed(&backtrace);
    assert_eq!(frame(thread, "fault").line, Some(line_of("odd/anonymous_user.c", "static int fault(int value)")));
}

#[test]
fn minidebuginfo_names_functions_where_debuginfo_is_missing() {
    let Some((_cli, _, run)) = analyze("mini") else { return };
    let backtrace = run.expect_code(3).backtrace();
    let names = functions(crashed(&backtrace));
    assert!(names[0].starts_with("known_by_minidebuginfo") && names[1].starts_with("caller"), "{names:?}");
    assert!(
        gaps(&backtrace).iter().any(|(reason, _)| *reason == GapReason::DebuginfoUnknown),
        "{:?}",
        gaps(&backtrace)
    );
}

#[test]
fn debug_information_that_dwz_moved_is_found() {
    let Some((_cli, _, run)) = analyze("twin") else { return };
    let backtrace = run.expect_code(0).backtrace();
    let main = frame(crashed(&backtrace), "main");
    assert_eq!(main.line, Some(line_of("odd/twin_one.cpp", "twin.age(")));
    let twin = main.locals.iter().find(|local| local.name == "twin").expect("main has a local `twin`");
    // Its type's definition is in the supplementary file.
    assert!(twin.value.contains("ages"), "{twin:?}");
}

#[test]
fn a_core_of_four_gibibytes_takes_little_memory() {
    let Some((_cli, _, run)) = analyze("big") else { return };
    assert!(run.peak_memory_kib < 200 * 1024, "{} KiB", run.peak_memory_kib);
    let backtrace = run.expect_code(0).backtrace();
    assert_eq!(functions(crashed(&backtrace))[..2], ["fault", "main"]);
}
