//! Arguments and locals of a frame: which there are, where they lie, what they hold, printed as gdb prints them.
//!
//! [`variables`] is all that a stack walker calls. It reads registers, memory and the calling frame through
//! [`FrameContext`], and debug information through [`Units`].
//! Promises: debug information is hostile input, so every size, count, depth and number of steps is bounded by
//! [`Options`] and by constants beside what they bound; no value is made up: what the program did not keep is
//! `<optimized out>` with the reason as the variable's note, and what a caller passed counts only if its call site is
//! one of the function that runs.
//! Not here: which frames there are, and names of functions.

mod context;
pub(crate) mod dies;
pub(crate) mod entry_values;
mod expression;
mod print;
mod scope;
mod tail_calls;
mod types;
pub(crate) mod units;
mod value;
mod variables;

pub use context::{Caller, FrameContext, Function, Reader, SymbolAt, Unreadable};
pub use units::Units;
pub use variables::{Options, Place, Variables, variables};
