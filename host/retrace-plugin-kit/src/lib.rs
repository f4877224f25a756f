//! What an author of a distribution plugin uses beside the SDK.
//!
//! [`templates`] gives a new plugin's files, [`build`] makes a component from a folder in any of four languages,
//! [`component`] turns a core module into a component, [`MANIFEST`] names the file that says what a component is, and [`contract`] is the text of the contract with the bindings
//! that are generated from it.
//!
//! Promises: a new plugin never replaces a file; a build leaves either a checked component at one documented place or an
//! error that says which tool to install; no author needs another tool than the compiler of the language.
//!
//! Not here: whether the result is a good plugin (`retrace-plugin-host` checks it), installing and signing it.

pub mod build;
pub mod component;
pub mod contract;
mod error;
mod language;
mod section;
pub mod templates;

pub use error::KitError;
pub use language::Language;
pub use section::MANIFEST;
