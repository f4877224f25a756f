//! The result of a retrace: the contract for interface, API and tests.

use serde::{Deserialize, Serialize};

use crate::{
    Architecture, BuildId, Confidence, CrashSignature, DistroId, PackageId, PackageKind, ReleaseId, Sha256,
    SignatureState,
};

/// Value of [`Backtrace::schema`]. The number grows when a reader of the old one would misread the new one;
/// added fields do not change it.
pub const BACKTRACE_SCHEMA: &str = "retrace-backtrace/1";

/// Everything that one retrace found out. Serialized as `backtrace.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backtrace {
    /// [`BACKTRACE_SCHEMA`].
    pub schema: String,
    /// True when nothing is missing that could be had: there is no gap, or none but [`GapReason::NoLine`].
    pub complete: bool,
    /// The release that the packages were taken from.
    pub release: Option<ReleaseReport>,
    /// Architecture of the crashed process.
    pub architecture: Architecture,
    /// The crashed process.
    pub process: ProcessReport,
    /// The signal that ended it; none for a core made by a debugger.
    pub signal: Option<SignalReport>,
    /// Packages that files were taken from.
    pub packages: Vec<PackageReport>,
    /// Files mapped by the process that hold code.
    pub modules: Vec<ModuleReport>,
    /// Threads, the crashed one first, the others in the core's order.
    pub threads: Vec<ThreadReport>,
    /// What is missing that belongs to no single module or frame.
    pub gaps: Vec<Gap>,
    /// What made the frames: `gdb 13.1`.
    pub engine: String,
    /// How long each step took, in order.
    pub timings: Vec<StepTiming>,
    /// What the crash has in common with others; none in results of before there were signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<CrashSignature>,
    /// Set if the frames are those of an earlier crash that looked the same, and this one was not retraced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_from: Option<AnsweredFrom>,
    /// How the result of another engine differs, where two were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<EngineComparison>,
}

/// What two engines say of the same core, frame by frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineComparison {
    /// The engine that the frames of the result are compared with.
    pub engine: String,
    /// Frames of the result that were compared.
    pub frames: u64,
    /// Those of the same address, function and line.
    pub equal: u64,
    /// The first that are not.
    pub differences: Vec<EngineDifference>,
}

/// A frame that two engines see differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineDifference {
    /// Kernel thread id.
    pub tid: u32,
    /// Number of the frame, 0 for the innermost.
    pub frame: u32,
    /// What the debugger says.
    pub gdb: String,
    /// What our own engine says.
    pub native: String,
}

/// Where a result comes from that was not made from the core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredFrom {
    /// The group of the earlier crash.
    pub group: Sha256,
    /// What both crashes look like before their stacks are walked.
    pub fingerprint: Sha256,
}

impl Backtrace {
    /// The thread that took the signal.
    #[must_use]
    pub fn crashed_thread(&self) -> Option<&ThreadReport> {
        self.threads.iter().find(|thread| thread.crashed)
    }

    /// Every gap: of the whole, of each module, of each frame, in this order.
    pub fn all_gaps(&self) -> impl Iterator<Item = &Gap> {
        let modules = self.modules.iter().flat_map(|module| &module.gaps);
        let frames = self.threads.iter().flat_map(|thread| &thread.frames).filter_map(|frame| frame.gap.as_ref());
        self.gaps.iter().chain(modules).chain(frames)
    }
}

/// The release, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseReport {
    /// The release.
    pub id: ReleaseId,
    /// What it was decided from.
    pub evidence: Evidence,
    /// One line for people.
    pub reason: String,
    /// Every plugin's claim, those that did not count included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<ReleaseCandidate>,
}

/// A plugin's claim that the crash comes from a release of its distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseCandidate {
    /// The plugin.
    pub plugin: DistroId,
    /// Its version.
    pub plugin_version: String,
    /// Its digest.
    pub plugin_sha256: Sha256,
    /// The release that it claims.
    pub release: ReleaseId,
    /// How sure it is.
    pub confidence: Confidence,
    /// What was asked, and why the plugin thinks so, for people.
    pub reason: String,
}

/// What a release was decided from, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Text of the os-release file.
    OsRelease,
    /// Name and version of the crashed package.
    PackageName,
    /// Most build-ids of the core belong to packages of this release.
    BuildIds,
}

/// The crashed process, as the core describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessReport {
    /// Process id.
    pub pid: Option<u32>,
    /// Name of the program, at most 15 bytes (`TASK_COMM_LEN`).
    pub command: Option<String>,
    /// First 80 bytes of the command line.
    pub arguments: Option<String>,
    /// Path of the executable.
    pub executable: Option<String>,
}

/// A signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalReport {
    /// Number.
    pub number: i32,
    /// `SIGSEGV`; `SIG35` for one without a name.
    pub name: String,
    /// `si_code`.
    pub code: Option<i32>,
    /// `si_addr`, for faults.
    pub fault_address: Option<u64>,
}

/// A package that files were taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageReport {
    /// The package.
    pub id: PackageId,
    /// What it carries.
    pub kind: PackageKind,
    /// Digest of the package file.
    pub sha256: Sha256,
    /// What is known of its signature.
    pub signature: SignatureState,
    /// Repository it was mirrored from.
    pub repository: String,
}

/// Whether a file that the debugger needs is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// There, and its build-id is the module's.
    Matched,
    /// Known: a package of this build-id is there. Not unpacked, for nothing in the process's stacks points into it.
    Unused,
    /// Not there; the module's gaps say why.
    Missing,
    /// Nobody needs it: the kernel's vdso lies in the core itself.
    NotNeeded,
}

impl FileState {
    /// True if the file that has the module's build-id is known, whether it was unpacked or not.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self, Self::Matched | Self::Unused)
    }
}

/// A mapped file that holds code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleReport {
    /// Path as the kernel knew it.
    pub path: String,
    /// First address.
    pub start: u64,
    /// Address behind the last one.
    pub end: u64,
    /// Build-id, read from the core.
    pub build_id: Option<BuildId>,
    /// Package that ships the file.
    pub package: Option<PackageId>,
    /// The file itself.
    pub file: FileState,
    /// Its separate debug information.
    pub debuginfo: FileState,
    /// What is missing.
    pub gaps: Vec<Gap>,
}

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadReport {
    /// Kernel thread id.
    pub tid: u32,
    /// True for the thread that took the signal.
    pub crashed: bool,
    /// Innermost frame first.
    pub frames: Vec<Frame>,
}

/// One frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// 0 for the innermost.
    pub number: u32,
    /// Program counter.
    pub pc: u64,
    /// Function name, demangled.
    pub function: Option<String>,
    /// Source file as the debug information names it.
    pub file: Option<String>,
    /// Line in [`Frame::file`], counted from 1.
    pub line: Option<u32>,
    /// True for a function that was inlined into the next frame's.
    pub inline: bool,
    /// True for the frame that the kernel made to call a signal handler.
    pub signal_handler: bool,
    /// How the frame was found.
    pub trust: Trust,
    /// Path of the module that holds the program counter.
    pub module: Option<String>,
    /// Build-id of that module.
    pub build_id: Option<BuildId>,
    /// Program counter less the module's load address, as tools of the binary count it.
    pub offset: Option<u64>,
    /// Arguments, in the order of the declaration.
    pub arguments: Vec<Variable>,
    /// Local variables.
    pub locals: Vec<Variable>,
    /// What is missing.
    pub gap: Option<Gap>,
}

/// How far a frame can be trusted, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// From the registers that the kernel stored.
    Context,
    /// From call frame information of a matched file.
    Cfi,
    /// From the call sites of the debug information: the function had left by a jump into the next one (tail call).
    CallSite,
    /// From the chain of frame pointers, or by reading the function's prologue.
    FramePointer,
    /// A guess: something on the stack that looks like a return address.
    Scan,
}

/// A variable and its value, as the debugger prints them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Name in the source.
    pub name: String,
    /// Value, shortened where it is long.
    pub value: String,
    /// Why there is no value: for `<optimized out>`, one clause for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Something that is missing or not right: why, what it concerns, and what would mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// What it concerns: a build-id, a package, a path, a mirror.
    pub subject: String,
    /// One sentence for people.
    pub message: String,
    /// What to do about it.
    pub action: String,
}

/// Why something is missing. Programs compare these; people read [`Gap::message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// No plugin knows the release, or more than one claims it.
    ReleaseUnknown,
    /// Several releases are possible, and nothing decides between them.
    ReleaseAmbiguous,
    /// The release has no mirrored repository.
    NotMirrored,
    /// The core holds no build-id for the module.
    NoBuildId,
    /// No mirrored package ships a file with this build-id.
    PackageUnknown,
    /// The package is known but could not be fetched or verified.
    PackageUnavailable,
    /// No mirrored package ships debug information for this build-id.
    DebuginfoUnknown,
    /// The package does not hold the file that the index names.
    FileMissing,
    /// The file at hand has another build-id than the core.
    BuildIdMismatch,
    /// The debug information refers to a supplementary file (dwz) that is not there.
    SupplementaryMissing,
    /// The address lies in no module.
    NoModule,
    /// The module has no symbols for the address.
    NoSymbols,
    /// The function is known, and its debug information is there but has no line for the address: start-up code,
    /// assembler. Nothing is missing.
    NoLine,
    /// The stack ends before its outermost frame.
    StackIncomplete,
    /// The core is shorter than its headers say.
    CoreTruncated,
    /// The debugger reported something that makes its output doubtful.
    Debugger,
    /// A limit cut the result.
    Limit,
    /// The frames are those of an earlier crash that looked the same; values and other threads were not looked at.
    AnsweredFromGroup,
}

/// Duration of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepTiming {
    /// Name: `facts`, `release`, `packages`, `files`, `backtrace`.
    pub step: String,
    /// Wall-clock time.
    pub milliseconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_document_are_kebab_case() {
        let text = serde_json::to_string(&[GapReason::BuildIdMismatch, GapReason::NoModule]).unwrap();
        assert_eq!(text, r#"["build-id-mismatch","no-module"]"#);
        assert_eq!(serde_json::to_string(&Trust::FramePointer).unwrap(), r#""frame-pointer""#);
    }
}
