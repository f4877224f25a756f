//! The host on real components: those of `plugins/` and those of `tests/plugins/bad/`, both built by `make plugins`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed; clippy exempts functions marked as tests, but not their helpers"
)]

mod agreement;
mod bad;
mod calls;
mod conformance;
mod files;
mod good;
mod inspect;
mod optional;
mod rebuilds;
mod reload;
mod support;
