//! The one place that spawns programs.
//!
//! Promises, for every program started here: no shell; nothing of our environment; standard input is empty or a
//! file; its own process group, which is killed as a whole when the time is up, when the future or the [`Child`] is dropped, and on
//! panic; output kept up to a limit, the rest read and dropped; resource limits set before its first instruction.
//!
//! A program that leaves its process group (`setsid`) escapes the kill; what may do so runs inside a sandbox with its
//! own PID namespace (`retrace-chroot`).
//!
//! Not here: which programs run, and what their output means.

mod child;
mod error;
mod group;
mod invocation;
mod limits;
mod program;
mod run;
mod runner;

pub use child::{Child, spawn};
pub use error::ProcessError;
pub use invocation::Invocation;
pub use limits::Limits;
pub use program::find_program;
pub use run::{Ending, Output, capture, run};
pub use runner::{Answer, Runner, ScriptedRunner, SystemRunner};
