//! The main job: a real core becomes a backtrace, from packages that were mirrored and verified.

use std::collections::BTreeSet;

use retrace_tests::{Cli, MirrorServer, debian, rpm};
use retrace_types::{Evidence, FileState, GapReason, PackageKind, SignatureState};

use crate::view::{crashed, fedora, frame, functions, gaps, line_of, sync_rpm};

#[test]
fn a_debian_crash_has_lines_in_the_c_library_and_in_the_program() {
    let (Some(fixture), Some(cli)) = (debian(), Cli::new()) else { return };
    let server = MirrorServer::start(&fixture.repository);
    cli.sync(["debian", &fixture.version], &[server.url().to_owned()], std::slice::from_ref(&fixture.key))
        .expect_code(0);
    let run = cli.analyze(&fixture.crash, &["--format", "json"]);
    assert!(matches!(run.code, Some(0 | 3)), "{run}");
    let backtrace = run.backtrace();

    let thread = crashed(&backtrace);
    let names = functions(thread);
    assert!(names.iter().any(|name| name == "<signal handler called>"), "{names:?}");
    assert!(backtrace.threads.len() >= 3, "{} threads", backtrace.threads.len());
    for (function, file) in
        [("raise", "raise.c"), ("MagickPanicSignalHandler", "magick.c"), ("MogrifyImage", "command.c")]
    {
        let found = thread.frames.iter().find(|frame| {
            let names_it = frame.function.as_deref().is_some_and(|name| name.ends_with(function));
            names_it && frame.line.is_some() && frame.file.as_deref().is_some_and(|name| name.ends_with(file))
        });
        assert!(found.is_some(), "no frame of {function} in {file}: {:#?}", thread.frames);
    }
    for module in backtrace.modules.iter().filter(|module| module.file != FileState::NotNeeded) {
        assert!(module.file.is_known(), "{module:?}");
        assert!(module.build_id.is_some() && module.package.is_some(), "{module:?}");
    }
    let debug = backtrace.packages.iter().filter(|package| package.kind == PackageKind::DebugInfo);
    let debug: BTreeSet<_> = debug.map(|package| package.id.name.as_str()).collect();
    assert!(debug.contains("libc6-dbg") && debug.contains("graphicsmagick-dbg"), "{debug:?}");
    for package in &backtrace.packages {
        assert!(matches!(package.signature, SignatureState::Metadata { .. }), "{package:?}");
    }

    // Only packages that this core needs were fetched, and the second time none.
    let index = std::fs::read_dir(fixture.repository.join("pool/main")).unwrap().count();
    let fetched = server.hits(".deb");
    assert!(fetched >= backtrace.packages.len(), "{fetched} requests, {index} folders");
    server.forget_requests();
    let again = cli.analyze(&fixture.crash, &["--format", "json"]).backtrace();
    assert_eq!(server.requests(), []);
    assert_eq!(again.threads, backtrace.threads);
}

#[test]
fn a_cpp_crash_has_inline_frames_all_threads_and_locals() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let run = cli.analyze(&fixture.crash("crashd-null"), &["--format", "json"]).expect_code(0);
    let backtrace = run.backtrace();
    assert!(backtrace.complete);
    assert_eq!(backtrace.signal.as_ref().map(|signal| signal.name.as_str()), Some("SIGSEGV"));

    let thread = crashed(&backtrace);
    let handle = frame(thread, "crashd::Server::handle");
    assert!(!handle.inline);
    assert_eq!(handle.line, Some(line_of("crashd/libcrashd.cpp", "return weight_of(")));
    assert!(handle.module.as_deref().is_some_and(|module| module.ends_with("libcrashd.so.1")));
    let weight_of = frame(thread, "crashd::(anonymous namespace)::weight_of");
    assert!(weight_of.inline);
    assert_eq!(weight_of.line, Some(line_of("crashd/libcrashd.cpp", "nullptr: SIGSEGV")));
    let main = frame(thread, "main");
    assert_eq!(main.line, Some(line_of("crashd/main.cpp", "std::cout << serve(")));
    let how = main.locals.iter().find(|local| local.name == "how").expect("main has a local `how`");
    assert!(how.value.contains("null"), "{how:?}");

    assert_eq!(backtrace.threads.len(), 5);
    for thread in backtrace.threads.iter().filter(|thread| !thread.crashed) {
        assert!(frame(thread, "std::mutex::lock").inline);
        assert!(functions(thread).iter().any(|name| name.starts_with("clone")), "{:?}", functions(thread));
    }
    for package in &backtrace.packages {
        assert!(matches!(package.signature, SignatureState::Package { .. }), "{package:?}");
    }
}

#[test]
fn a_c_crash_has_the_lines_of_the_version_that_crashed() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let backtrace = cli.analyze(&fixture.crash("will-crash-segv"), &["--format", "json"]).expect_code(0).backtrace();
    let thread = crashed(&backtrace);
    let names =
        ["label_len [inline]", "record_weight [inline]", "wc_sum_labels", "wc_do", "wc_do", "wc_do", "wc_do", "main"];
    assert_eq!(functions(thread)[..names.len()], names);
    for (function, text) in [
        ("label_len", "while (*p++) n++;"),
        ("record_weight", "return label_len(record)"),
        ("wc_sum_labels", "sum += record_weight(record);"),
    ] {
        assert_eq!(frame(thread, function).line, Some(line_of("will-crash/wcbuckets.c", text)), "{function}");
    }
    let good =
        frame(thread, "wc_do").locals.iter().find(|local| local.name == "good").expect("wc_do has a local `good`");
    assert!(good.value.contains("alpha"), "{good:?}");
}

#[test]
fn an_uncaught_exception_names_the_library_without_debuginfo() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let backtrace = cli.analyze(&fixture.crash("crashd-throw"), &["--format", "json"]).expect_code(3).backtrace();
    let handle = frame(crashed(&backtrace), "crashd::Server::handle");
    assert_eq!(handle.line, Some(line_of("crashd/libcrashd.cpp", "if (checked) return")));
    let library = backtrace.modules.iter().find(|module| module.path.contains("libstdc++")).expect("it is mapped");
    assert_eq!((library.file, library.debuginfo), (FileState::Matched, FileState::Missing));
    assert!(library.gaps.iter().any(|gap| gap.reason == GapReason::DebuginfoUnknown), "{:?}", library.gaps);
    for (reason, subject) in gaps(&backtrace) {
        assert!(reason == GapReason::DebuginfoUnknown, "{reason:?} {subject}");
    }
}

#[test]
fn an_endless_recursion_is_cut_and_says_so() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let run = cli.analyze(&fixture.crash("will-crash-overflow"), &["--format", "json"]);
    assert!(matches!(run.code, Some(0 | 3)), "{run}");
    let backtrace = run.backtrace();
    let thread = crashed(&backtrace);
    assert!(thread.frames.len() >= 2000, "{} frames", thread.frames.len());
    assert!(functions(thread)[..2000].iter().all(|name| name.starts_with("overflow")));
    // About 2,040 frames of 4 KiB fill the stack of 8 MiB.
    assert!(functions(thread).iter().any(|name| name == "main") || !backtrace.complete);
}

#[test]
fn the_release_is_found_by_build_ids_when_nothing_tells_it() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let core = fixture.crash("will-crash-segv").core;
    let run = cli.run(["analyze".as_ref(), core.as_os_str(), "--format".as_ref(), "json".as_ref()]).expect_code(0);
    let backtrace = run.backtrace();
    let release = backtrace.release.as_ref().expect("a release");
    assert_eq!((release.id.to_string().as_str(), release.evidence), ("fedora-40", Evidence::BuildIds));
    assert_eq!(backtrace.process.executable.as_deref(), Some("/usr/bin/will-crash"));
}

#[test]
fn without_a_mirror_the_result_says_which_command_helps() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    let backtrace = cli.analyze(&fixture.crash("will-crash-segv"), &["--format", "json"]).expect_code(3).backtrace();
    let gap = backtrace.gaps.iter().find(|gap| gap.reason == GapReason::NotMirrored).expect("a gap of the whole");
    assert!(gap.action.contains("retrace mirror sync fedora 40"), "{gap:?}");
    assert_eq!(backtrace.threads.len(), 4);
    let program = backtrace.modules.iter().find(|module| module.path == "/usr/bin/will-crash").expect("it is mapped");
    assert!(program.build_id.is_some());
}

#[test]
fn a_withheld_package_is_named_with_its_build_id_and_the_fix() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    // The same file names, other build-ids: nothing of it may be used.
    sync_rpm(&cli, fixture, "wrong-version", "debuginfo").expect_code(0);
    let crash = fixture.crash("crashd-null");
    let run = cli.analyze(&crash, &["--format", "json"]).expect_code(3);
    let backtrace = run.backtrace();
    for path in ["/usr/sbin/crashd", "/usr/lib64/libcrashd.so.1"] {
        let module = backtrace.modules.iter().find(|module| module.path == path).expect("it is mapped");
        assert_eq!(module.file, FileState::Missing, "{module:?}");
        let id = module.build_id.as_ref().expect("the core has it").to_string();
        let gap = module.gaps.iter().find(|gap| gap.reason == GapReason::PackageUnknown).expect("a gap");
        assert!(gap.subject.contains(&id) || gap.message.contains(&id), "{gap:?}");
        assert!(!gap.action.is_empty());
    }
    assert!(!backtrace.packages.iter().any(|package| package.id.version == "2.1"), "{:?}", backtrace.packages);
    // What can be had is there: the C library is matched, the core itself is read.
    assert!(
        backtrace.modules.iter().any(|module| module.path.ends_with("libc.so.6") && module.file == FileState::Matched)
    );
    assert_eq!(backtrace.threads.len(), 5);

    let text = cli.analyze(&crash, &[]).expect_code(3);
    assert!(text.stdout.contains("crashd"), "{text}");
}

#[test]
fn missing_debuginfo_is_a_gap_of_the_modules_on_the_stack() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    sync_rpm(&cli, fixture, "base", "no-debuginfo").expect_code(0);
    let backtrace = cli.analyze(&fixture.crash("will-crash-segv"), &["--format", "json"]).expect_code(3).backtrace();
    let program = backtrace.modules.iter().find(|module| module.path == "/usr/bin/will-crash").expect("it is mapped");
    assert_eq!((program.file, program.debuginfo), (FileState::Matched, FileState::Missing));
    assert!(program.gaps.iter().any(|gap| gap.reason == GapReason::DebuginfoUnknown), "{:?}", program.gaps);
    // MiniDebugInfo still names the functions.
    assert!(functions(crashed(&backtrace)).iter().any(|name| name == "main"), "{:?}", functions(crashed(&backtrace)));
}

#[test]
fn a_compressed_core_gives_the_same_result() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let mut crash = fixture.crash("will-crash-segv");
    let plain = cli.analyze(&crash, &["--format", "json"]).expect_code(0).backtrace();
    let original = crash.core.clone();
    for program in ["gzip", "xz", "zstd", "lz4", "bzip2"] {
        let out = std::fs::File::create(cli.path(program)).unwrap();
        let fast = ["-1", "-c", "-q"].iter().take(if program == "lz4" { 2 } else { 3 });
        let status = std::process::Command::new(program).args(fast).arg(&original).stdout(out).status().unwrap();
        assert!(status.success(), "{program}");
        crash.core = cli.path(program);
        let unpacked = cli.analyze(&crash, &["--format", "json"]).expect_code(0).backtrace();
        assert_eq!(unpacked.threads, plain.threads, "{program}");
    }
}

#[test]
fn the_files_of_a_result_agree() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    sync_rpm(&cli, fixture, "base", "debuginfo").expect_code(0);
    let out = cli.path("result");
    let run = cli
        .analyze(&fixture.crash("crashd-null"), &["--format", "json", "--out", out.to_str().unwrap()])
        .expect_code(0);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let stored: retrace_types::Backtrace = serde_json::from_str(&read("backtrace.json")).unwrap();
    assert_eq!(stored, run.backtrace());
    let text = read("backtrace.txt");
    assert!(text.contains("crashd::Server::handle") && text.contains("libcrashd.cpp"), "{text}");
    assert!(read("log").lines().count() > 3);
}

#[test]
fn four_analyses_at_once_share_one_download() {
    let (Some(fixture), Some(cli)) = (rpm(), Cli::new()) else { return };
    let packages = MirrorServer::start(fixture.repository("base"));
    let debuginfo = MirrorServer::start(fixture.repository("debuginfo"));
    let mirrors = fedora(packages.url().as_ref(), debuginfo.url().as_ref());
    cli.sync(["fedora", "40"], &mirrors, &[fixture.key()]).expect_code(0);
    let crash = fixture.crash("will-crash-segv");
    let mut running: Vec<_> = (0..4).map(|_| cli.start(["analyze".as_ref(), crash.core.as_os_str()])).collect();
    for analysis in &mut running {
        let status = analysis.wait(std::time::Duration::from_secs(120)).expect("it ends");
        let log = std::fs::read_to_string(&analysis.log).unwrap();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("wc_sum_labels"), "{log}");
    }
}
