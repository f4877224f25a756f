//! Ids and values that the crates of Retrace share. No IO, no clock, no policy.
//!
//! Everything here is either a validated value (holding one means that it is valid) or plain data that
//! crosses a border: plugin answers, index rows, the result of a retrace. Parse at the border, pass the
//! type inwards, never check again inside.
//!
//! Not here: how any of it is read (`retrace-coredump`, `retrace-package`), stored (`retrace-store`) or
//! decided (`retrace-worker`).

mod architecture;
mod backtrace;
mod build_id;
mod digest;
mod failure;
mod package;
mod release;
mod repository;
pub mod signature;
mod task;
mod version;

pub use architecture::{Architecture, UnknownArchitecture};
pub use backtrace::{
    AnsweredFrom, BACKTRACE_SCHEMA, Backtrace, EngineComparison, EngineDifference, Evidence, FileState, Frame, Gap,
    GapReason, ModuleReport, PackageReport, ProcessReport, ReleaseCandidate, ReleaseReport, SignalReport, StepTiming,
    ThreadReport, Trust, Variable,
};
pub use build_id::{BuildId, InvalidBuildId};
pub use digest::{InvalidSha256, Sha256};
pub use failure::FailureReason;
pub use package::{MemberBuildId, PackageFormat, PackageId, PackageKind, Role, SignatureState};
pub use release::{Confidence, DistroId, InvalidReleaseId, Release, ReleaseGuess, ReleaseId, VersionId};
pub use repository::{
    Debugger, EnvironmentKind, KeyFile, RepositoryContent, RepositoryLayout, RepositorySpec, SignaturePolicy,
};
pub use signature::{CrashSignature, FunctionSignature, SIGNATURE_SCHEMA};
pub use task::{InvalidTaskId, TaskId, TaskKind, TaskState, TaskStatus};
pub use version::{compare_deb, compare_rpm};
