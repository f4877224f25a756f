//! Loads distribution plugins, asks them within limits, and checks every answer.
//!
//! A plugin is a WebAssembly component for the world `plugin` of `wit/distro.wit`. Three ways in:
//! - [`PluginHost`] loads a folder of plugins and the [`library`] of installed ones, loads them anew when they change
//!   ([`Watcher`]), and hands out the [`Registry`] of the moment, which answers questions about distributions;
//! - [`Loader`] takes one component from its bytes to a [`Plugin`], whose [`Session`] asks it the contract's questions, or to
//!   a [`Guest`], which is called by JSON and tells what a call cost;
//! - [`inspect`] looks at a component without compiling or running any of it.
//!
//! Calls take microseconds and block the calling thread for at most the deadline of [`Limits`].
//!
//! Promises: a plugin has no files, network, clock, randomness or environment, because nothing but the contract's
//! `logging` can be imported; no call outlives its deadline (in processor time, to within one tick), its memory or its
//! answer's size; a trap fails that call alone; what comes back is checked against the contract before it becomes a value of
//! `retrace-types`, and one bad value drops the answer. What is compiled was found harmless by the static checks, and is
//! compiled by a child process with limits ([`Compiler::Child`]). A plugin that keeps failing is left alone for a while.
//!
//! Three layers of errors never mix: [`CallError`] is the plugin's answer about the caller's input, [`PluginFailure`] is
//! the plugin's defect, the other variants of [`PluginError`] are the operator's business.
//!
//! Not here: fetching what the answers name (`retrace-mirror`), keys of distributions (the host only checks that their paths
//! stay in the plugin's folder).

mod answer;
mod bindings;
mod breaker;
mod cache;
mod check;
mod compile;
pub mod conformance;
mod contract;
mod convert;
mod deadline;
mod engine;
mod error;
mod expand;
mod failures;
mod files;
mod function;
mod guest;
mod host;
mod input;
mod inspect;
mod json;
pub mod library;
mod limits;
mod loader;
mod plugin;
mod registry;
mod select;
mod session;
mod sources;
mod state;
mod status;
mod watch;

pub use answer::{Candidate, Claim, KernelFiles, NamedPackage, Outcome, PackageRef, ReleaseEntry, ReleaseSource};
pub use check::{Counts, NotAPlugin, WrongType};
pub use compile::{CompileError, Compiler, compile_child};
pub use contract::{CONTRACT_WIT, contract_version};
pub use engine::{EngineMode, FUEL_PER_MILLISECOND, PluginEngine};
pub use error::{CallError, FailureKind, PluginError, PluginFailure, ReleaseError};
pub use function::{Function, UnknownFunction};
pub use guest::{CallFailure, CallReport, CallStats, Guest, GuestJob};
pub use host::{HostOptions, PluginHost};
pub use inspect::{Export, FunctionType, Inspection, inspect, verify};
pub use json::InvalidInput;
pub use limits::{LimitRow, Limits};
pub use loader::Loader;
pub use plugin::{Origin, Plugin, PluginCounts, PluginInfo};
pub use registry::{Fault, Registry};
pub use select::{Selection, select};
pub use session::Session;
pub use state::LogLine;
pub use status::{FaultStatus, HostStatus, PluginStatus};
pub use watch::{POLL, Watcher};

/// Converts a random answer of each function of the contract, chosen by the bytes; for the fuzz target `answers`.
///
/// # Panics
/// If an answer that is accepted breaks a rule of the contract.
#[cfg(fuzzing)]
pub fn fuzz_answers(bytes: &[u8]) {
    convert::random::check(bytes, true);
}
