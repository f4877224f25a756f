//! Which imperfection gets which reason.

use retrace_coredump::NoBuildId;
use retrace_types::{PackageId, PackageKind, Sha256, SignatureState};

use super::*;

fn module(path: &str, kind: ModuleKind) -> Module {
    Module {
        path: path.to_owned(),
        start: 0x1000,
        end: 0x2000,
        kind,
        build_id: Err(NoBuildId::NoNote),
        load_bias: Some(0x400),
        referenced: true,
    }
}

fn gap(reason: GapReason) -> Gap {
    Gap { reason, subject: "s".into(), message: "m".into(), action: "a".into() }
}

fn state(module: &Module, has_file: bool, gaps: Vec<(Role, Gap)>) -> ModuleState<'_> {
    ModuleState { module, package: None, debug_package: None, left_out: false, has_file, has_debuginfo: false, gaps }
}

fn frame(pc: u64, function: Option<&str>, line: Option<u32>, trust: Trust) -> RawFrame {
    RawFrame {
        pc,
        function: function.map(ToOwned::to_owned),
        file: line.map(|_| "x.c".to_owned()),
        line,
        inline: false,
        signal_handler: false,
        trust,
        arguments: Vec::new(),
        locals: Vec::new(),
    }
}

#[test]
fn a_frame_has_the_deepest_reason_for_what_it_lacks() {
    let library = module("/lib/x.so", ModuleKind::File);
    let vdso = module("[vdso]", ModuleKind::Vdso);
    let unknown = || {
        vec![(Role::Executable, gap(GapReason::PackageUnknown)), (Role::Debuginfo, gap(GapReason::DebuginfoUnknown))]
    };
    let reason = |raw: &RawFrame, state: ModuleState<'_>| {
        frame_report(raw, 0, std::slice::from_ref(&state)).gap.map(|gap| gap.reason)
    };
    let whole = frame(0x1100, Some("f"), Some(3), Trust::Cfi);
    let no_line = frame(0x1100, Some("f"), None, Trust::Cfi);
    let bare = frame(0x1100, None, None, Trust::Cfi);
    let wild = frame(0x9999, None, None, Trust::Cfi);

    assert_eq!(reason(&whole, state(&library, true, unknown())), None);
    assert_eq!(reason(&bare, state(&library, false, unknown())), Some(GapReason::PackageUnknown));
    assert_eq!(reason(&bare, state(&library, true, unknown())), Some(GapReason::DebuginfoUnknown));
    assert_eq!(reason(&bare, state(&library, true, Vec::new())), Some(GapReason::NoSymbols));
    assert_eq!(reason(&no_line, state(&library, true, Vec::new())), Some(GapReason::NoLine));
    assert_eq!(reason(&wild, state(&library, true, Vec::new())), Some(GapReason::NoModule));
    assert_eq!(reason(&bare, state(&vdso, false, Vec::new())), None);
    let guess = frame(0x1100, Some("f"), Some(3), Trust::Scan);
    assert_eq!(reason(&guess, state(&library, true, Vec::new())), Some(GapReason::StackIncomplete));
}

#[test]
fn a_frame_counts_its_offset_from_the_load_address() {
    let library = module("/lib/x.so", ModuleKind::File);
    let report = frame_report(&frame(0x1100, None, None, Trust::Cfi), 4, &[state(&library, true, Vec::new())]);
    assert_eq!((report.number, report.offset, report.module.as_deref()), (4, Some(0xd00), Some("/lib/x.so")));
}

#[test]
fn missing_debug_information_counts_only_where_a_stack_passes() {
    let library = module("/lib/x.so", ModuleKind::File);
    let gaps = || vec![(Role::Debuginfo, gap(GapReason::DebuginfoUnknown))];
    assert!(module_report(state(&library, true, gaps()), false).gaps.is_empty());
    assert_eq!(module_report(state(&library, true, gaps()), true).gaps.len(), 1);
    let missing = vec![(Role::Executable, gap(GapReason::PackageUnknown))];
    assert_eq!(module_report(state(&library, false, missing), false).gaps.len(), 1);
    let vdso = module("[vdso]", ModuleKind::Vdso);
    let report = module_report(state(&vdso, false, gaps()), true);
    assert_eq!((report.file, report.gaps.len()), (FileState::NotNeeded, 0));
}

#[test]
fn a_module_that_was_left_out_is_no_gap_and_neither_is_its_missing_debug_information() {
    let library = module("/lib/x.so", ModuleKind::File);
    let gaps = vec![(Role::Debuginfo, gap(GapReason::DebuginfoUnknown))];
    let package = Some(PackageReport {
        id: PackageId {
            name: "x".into(),
            epoch: None,
            version: "1".into(),
            release: Some("1".into()),
            arch: "x86_64".into(),
        },
        kind: PackageKind::Binary,
        sha256: Sha256::from_bytes([0; 32]),
        signature: SignatureState::Off,
        repository: "main".into(),
    });
    let report = module_report(ModuleState { left_out: true, package, ..state(&library, false, gaps) }, false);
    assert_eq!((report.file, report.debuginfo, report.gaps.len()), (FileState::Unused, FileState::Missing, 0));
}

#[test]
fn what_the_debugger_says_is_told_once() {
    let is_known = |path: &str| path == "/known";
    let reason = |warning| debugger_gap(&warning, &is_known).map(|gap| gap.reason);
    assert_eq!(reason(GdbWarning::MissingFile("/known".into())), None);
    assert_eq!(reason(GdbWarning::MissingFile("/other".into())), Some(GapReason::Debugger));
    assert_eq!(reason(GdbWarning::Mismatch("/other".into())), Some(GapReason::Debugger));
    assert_eq!(reason(GdbWarning::MissingSupplementary("/x".into())), Some(GapReason::SupplementaryMissing));
    assert_eq!(reason(GdbWarning::ThreadLibrary), None);
}

#[test]
fn a_stack_that_ends_early_says_so_at_its_last_frame() {
    let library = module("/lib/x.so", ModuleKind::File);
    let raw = RawThread {
        tid: 7,
        frames: vec![frame(0x1100, Some("f"), Some(1), Trust::Context), frame(0x1200, Some("g"), Some(2), Trust::Cfi)],
        stop_reason: Some("previous frame identical to this frame (corrupt stack?)".into()),
        truncated: false,
    };
    let thread = thread_report(&raw, Some(7), &[state(&library, true, Vec::new())]);
    assert!(thread.crashed);
    let reasons: Vec<_> = thread.frames.iter().map(|frame| frame.gap.as_ref().map(|gap| gap.reason)).collect();
    assert_eq!(reasons, [None, Some(GapReason::StackIncomplete)]);
}
