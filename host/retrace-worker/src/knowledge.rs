//! What the store is told of a finished task.

use std::collections::HashSet;

use retrace_chroot::ChrootError;
use retrace_coredump::CoreError;
use retrace_store::{Answer, Finding, MissingBuildId};
use retrace_types::{Backtrace, FailureReason, FileState, ModuleReport, Role, Sha256};

use crate::{Analysis, AnalyzeError, AnalyzeRequest};

/// What a result tells; `kept` is the name of what was kept of it.
pub(crate) fn of_result(analysis: &Analysis, request: &AnalyzeRequest, kept: Option<Sha256>) -> Finding {
    let backtrace = &analysis.backtrace;
    let executable = backtrace.process.executable.clone();
    let of_program = |module: &&ModuleReport| Some(&module.path) == executable.as_ref();
    let package_id = backtrace.modules.iter().find(of_program).and_then(|module| module.package.clone());
    Finding {
        release: backtrace.release.as_ref().map(|release| release.id.clone()),
        architecture: Some(backtrace.architecture),
        package: package_id.as_ref().map(ToString::to_string).or_else(|| request.package.clone()),
        package_id,
        executable,
        signal: backtrace.signal.as_ref().map(|signal| signal.name.clone()),
        reason: None,
        signature: backtrace.signature.clone(),
        from_group: backtrace.answered_from.is_some(),
        steps: backtrace.timings.clone(),
        missing: missing(backtrace),
        required: backtrace.packages.iter().map(|used| (used.id.name.clone(), used.id.full_version())).collect(),
        answer: kept.map(|stack| Answer { fingerprint: analysis.fingerprint, stack }),
    }
}

/// What is known of a task that failed: what the client said, and why.
pub(crate) fn of_failure(reason: FailureReason, request: &AnalyzeRequest) -> Finding {
    Finding { package: request.package.clone(), executable: request.executable.clone(), ..Finding::failure(reason) }
}

/// Files that no package has, and debug information that is missing where a stack passes through.
fn missing(backtrace: &Backtrace) -> Vec<MissingBuildId> {
    let frames = backtrace.threads.iter().flat_map(|thread| &thread.frames);
    let on_stack: HashSet<_> = frames.filter_map(|frame| frame.module.as_deref()).collect();
    let of_module = |module: &ModuleReport| {
        let role = match (module.file, module.debuginfo) {
            (FileState::Missing, _) => Role::Executable,
            (_, FileState::Missing) if on_stack.contains(module.path.as_str()) => Role::Debuginfo,
            _ => return None,
        };
        Some(MissingBuildId { build_id: module.build_id.clone()?, role, path: module.path.clone() })
    };
    backtrace.modules.iter().filter_map(of_module).collect()
}

/// A kind of task that nothing can be done with.
#[derive(Debug, thiserror::Error)]
#[error("kernel dumps are not supported yet: send the core of a process")]
pub(crate) struct Unsupported;

/// What statistics count a failure as.
pub(crate) fn reason_of(error: &anyhow::Error) -> FailureReason {
    if error.is::<Unsupported>() {
        return FailureReason::Unsupported;
    }
    match error.downcast_ref() {
        Some(AnalyzeError::Core { source, .. }) => match source {
            CoreError::Kernel(_) | CoreError::Machine { .. } => FailureReason::Unsupported,
            CoreError::Write(_) => FailureReason::Storage,
            _ => FailureReason::NotACore,
        },
        Some(AnalyzeError::Open { .. }) => FailureReason::NotACore,
        Some(AnalyzeError::WorkDir { .. } | AnalyzeError::Store(_) | AnalyzeError::Mirror(_)) => FailureReason::Storage,
        Some(AnalyzeError::Chroot(ChrootError::TimedOut { .. })) => FailureReason::Limit,
        Some(AnalyzeError::Chroot(ChrootError::Io { .. })) => FailureReason::Storage,
        Some(AnalyzeError::Chroot(_)) => FailureReason::Debugger,
        Some(AnalyzeError::Hook(_)) => FailureReason::Hook,
        Some(AnalyzeError::StepLost { .. }) => FailureReason::Internal,
        // What is left is fetching and reading the upload.
        None => FailureReason::Storage,
    }
}
