//! Which results are kept, what of them, and for which crash.

use retrace_coredump::{Module, ModuleKind, NoBuildId};
use retrace_types::{Architecture, CrashSignature, FileState, Trust, Variable};

use super::*;

const SECRET: &str = "hunter2";

fn id(n: u8) -> BuildId {
    BuildId::from_bytes(&[n; 20]).unwrap()
}

fn frame(number: u32, module: u8, offset: u64) -> Frame {
    Frame {
        number,
        pc: 0x7000_0000 + offset,
        function: Some(format!("f{number}")),
        file: Some("x.c".to_owned()),
        line: Some(number + 1),
        inline: false,
        signal_handler: false,
        trust: Trust::Cfi,
        module: Some(format!("/home/{SECRET}/m{module}")),
        build_id: Some(id(module)),
        offset: Some(offset),
        arguments: vec![Variable { name: "password".to_owned(), value: SECRET.to_owned(), note: None }],
        locals: vec![Variable { name: "copy".to_owned(), value: SECRET.to_owned(), note: None }],
        gap: None,
    }
}

fn result() -> Backtrace {
    let frames = vec![frame(0, 1, 0x10), frame(1, 2, 0x20)];
    let other = ThreadReport { tid: 2, crashed: false, frames: vec![frame(0, 3, 0x30)] };
    let module = |n: u8| ModuleReport {
        path: format!("/m{n}"),
        start: 0x7000_0000,
        end: 0x7000_1000,
        build_id: Some(id(n)),
        package: None,
        file: FileState::Matched,
        debuginfo: FileState::Matched,
        gaps: Vec::new(),
    };
    let mut backtrace = Backtrace {
        schema: BACKTRACE_SCHEMA.to_owned(),
        complete: true,
        release: None,
        architecture: Architecture::X86_64,
        process: ProcessReport {
            pid: Some(1),
            command: Some(SECRET.to_owned()),
            arguments: Some(SECRET.to_owned()),
            executable: Some(SECRET.to_owned()),
        },
        signal: None,
        packages: Vec::new(),
        modules: vec![module(1), module(2), module(3)],
        threads: vec![ThreadReport { tid: 1, crashed: true, frames }, other],
        gaps: Vec::new(),
        engine: "gdb".to_owned(),
        timings: Vec::new(),
        signature: None,
        answered_from: None,
        comparison: None,
    };
    backtrace.signature = backtrace.crashed_thread().map(CrashSignature::of);
    backtrace
}

/// The core of this test's own process, with modules as a core names them.
fn facts(modules: &[(u8, u64)], pc: u64) -> CoreFacts {
    let modules = modules.iter().map(|(n, start)| Module {
        path: format!("/own/m{n}"),
        start: *start,
        end: start + 0x1000,
        kind: ModuleKind::File,
        build_id: Ok::<_, NoBuildId>(id(*n)),
        load_bias: Some(*start),
        referenced: true,
    });
    crate::fingerprint::tests::facts(modules.collect(), pc, &[])
}

#[test]
fn what_is_kept_says_nothing_of_the_process() {
    let (kept, document) = keep(&result()).unwrap();
    assert_eq!(Some(kept.group), result().signature.unwrap().group());
    assert_eq!((document.threads.len(), document.modules.len()), (1, 2), "of the crashed thread");
    let mut text = serde_json::to_string(&document).unwrap();
    // The path of a module stands in its frames until they are those of the next process.
    text = text.replace(&format!("/home/{SECRET}/m"), "");
    assert!(!text.contains(SECRET), "{text}");
}

#[test]
fn only_what_is_certain_and_complete_is_kept() {
    let changed = |change: &dyn Fn(&mut Backtrace)| {
        let mut backtrace = result();
        change(&mut backtrace);
        keep(&backtrace).is_some()
    };
    assert!(changed(&|_| {}));
    assert!(!changed(&|backtrace| backtrace.complete = false));
    assert!(!changed(&|backtrace| backtrace.signature = None));
    assert!(!changed(&|backtrace| backtrace.threads[0].frames[1].trust = Trust::Scan));
    assert!(!changed(&|backtrace| backtrace.threads[0].frames[1].build_id = None));
    assert!(!changed(&|backtrace| backtrace.threads[0].frames[1].signal_handler = true));
    let from = AnsweredFrom { group: Sha256::from_bytes([0; 32]), fingerprint: Sha256::from_bytes([0; 32]) };
    assert!(!changed(&|backtrace| backtrace.answered_from = Some(from.clone())), "no answer from an answer");
}

#[test]
fn an_answer_has_the_addresses_and_paths_of_its_own_process() {
    let adapted = |modules: &[(u8, u64)], pc| {
        let kept = keep(&result()).unwrap();
        adapt(kept, Sha256::from_bytes([9; 32]), &facts(modules, pc), Some("/own/m1".to_owned()))
    };
    let modules = [(1, 0x1000), (2, 0x9000)];
    let answer = adapted(&modules, 0x1010).unwrap();
    let frames: Vec<_> =
        answer.threads[0].frames.iter().map(|frame| (frame.pc, frame.module.clone().unwrap())).collect();
    assert_eq!(frames, [(0x1010, "/own/m1".to_owned()), (0x9020, "/own/m2".to_owned())]);
    assert!(!serde_json::to_string(&answer).unwrap().contains(SECRET));
    assert!(!answer.complete && answer.answered_from.is_some());
    assert_eq!(answer.signature, result().signature);
    insta::assert_snapshot!(text(&answer));

    assert!(adapted(&modules, 0x1011).is_none(), "it crashed elsewhere");
    assert!(adapted(&[(1, 0x1000)], 0x1010).is_none(), "a module is missing");
    assert!(adapted(&[(1, 0x1000), (2, 0x9000), (2, 0xa000)], 0x1010).is_none(), "one is there twice");
}
