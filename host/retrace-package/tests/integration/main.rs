//! Packages made by the real tools, and packages that no tool would make.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed, which is what it is for; the lints' own exception ends at helpers"
)]

mod deb;
mod facts;
mod hostile;
mod keys;
mod real;
mod retired;
mod rpm;
mod sign;
mod signatures;
mod support;
