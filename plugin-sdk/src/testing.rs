//! Tests of plugins, natively: golden fixtures, the corpus of real texts, and answers to compare a component with.
//!
//! ```no_run
//! # use retrace_plugin_sdk::prelude::*;
//! # retrace_plugin_sdk::declarative!(pub struct Acme = "tests/declared/acme.toml";);
//! use retrace_plugin_sdk::testing::{Corpus, Native, fixtures};
//!
//! #[test]
//! fn fixtures_are_answered() {
//!     fixtures::check(&Native::of::<Acme>(), concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
//! }
//!
//! #[test]
//! fn real_texts_are_recognised_and_foreign_ones_are_not() {
//!     Corpus::shipped().check(&Native::of::<Acme>());
//! }
//! ```
//!
//! [`value`] maps the contract's types to JSON and back (`docs/fixtures.md`), [`Native`] asks a type by the names of the
//! contract, [`fixtures`] and [`corpus`] compare answers with what is wanted.
//! Not here: running components (`retrace plugin test`).
//!
//! Only natively, with the feature `testing`: a plugin names it in `[dev-dependencies]`.

pub mod corpus;
pub mod fixtures;
mod native;
pub mod value;

pub use corpus::Corpus;
pub use native::Native;
