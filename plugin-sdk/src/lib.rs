//! Everything that a distribution plugin for Retrace needs, and nothing else.
//!
//! Most distributions need no code: [`declarative!`] makes a plugin of a TOML file, checked at compile time. Otherwise a
//! plugin is a type that implements [`Distribution`] and one line of [`export_plugin!`]:
//!
//! ```
//! # #![allow(dead_code)]
//! use retrace_plugin_sdk::prelude::*;
//!
//! pub struct Acme;
//!
//! impl Distribution for Acme {
//!     const ID: &'static str = "acme";
//!
//!     fn describe() -> Description {
//!         Description {
//!             id: Self::ID.into(),
//!             aliases: vec![],
//!             name: "Acme Linux".into(),
//!             format: PackageFormat::Rpm,
//!             plugin_version: env!("CARGO_PKG_VERSION").into(),
//!             annotations: vec![],
//!         }
//!     }
//!
//!     fn releases() -> Vec<ReleaseEntry> {
//!         vec![]
//!     }
//!
//!     fn parse_release(source: ReleaseSource) -> Result<Option<Release>, CallError> {
//!         let ReleaseSource::OsRelease(text) = source else { return Ok(None) };
//!         let os = OsRelease::parse(&text);
//!         if os.get("ID") != Some("acme") {
//!             return Ok(None);
//!         }
//!         let version = os.get("VERSION_ID").ok_or_else(|| CallError::MalformedInput("no VERSION_ID".into()))?;
//!         Err(CallError::UnsupportedRelease(format!("Acme Linux {version} is not known to this plugin")))
//!     }
//!
//!     fn repositories(release: Release, _arch: String) -> Result<Vec<Repository>, CallError> {
//!         Err(CallError::UnsupportedRelease(release.version))
//!     }
//! }
//!
//! retrace_plugin_sdk::export_plugin!(Acme);
//! ```
//!
//! The crate of a plugin is a `cdylib` (and an `rlib`, for its tests) with `#![cfg_attr(target_family = "wasm", no_std)]`,
//! built for `wasm32-wasip2`. Natively it is an ordinary Rust crate: `cargo test` calls the trait, and the feature
//! `testing` brings golden fixtures and a corpus of real texts. With the feature `std` a plugin may use `std`: then its
//! target is `wasm32-unknown-unknown`, whose `std` imports nothing.
//!
//! Promises: a plugin written with this crate imports nothing but the contract's `logging`, needs no `unsafe`, and a
//! panic reaches the host's log with its text and place. The contract itself, with grammar and limits of every value,
//! is `wit/distro.wit`.
//!
//! Not here: anything that touches the world (files, network, clock): the host acts, a plugin answers.
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "std", not(target_family = "wasm")))]
extern crate std;

#[doc(hidden)]
pub mod bindings;
pub mod build;
pub mod deb;
pub mod declared;
mod distribution;
mod expand;
mod grammar;
#[cfg(any(test, all(target_family = "wasm", not(feature = "std"))))]
#[expect(unsafe_code, reason = "an allocator hands out memory; each place has its argument")]
mod heap;
#[cfg(all(target_family = "wasm", feature = "std"))]
mod hook;
mod log;
pub mod names;
pub mod nevra;
mod os_release;
mod release_line;
#[cfg(all(target_family = "wasm", not(feature = "std")))]
mod runtime;
pub mod section;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub mod testing;

pub use bindings::exports::retrace::distro::distribution::{
    Confidence, DebSuite, Debugger, Description, Environment, KeyFile, PackageRef, ReleaseEntry, ReleaseGuess,
    ReleaseSource, Repository, RepositoryContent, RepositoryLayout, Signatures,
};
pub use bindings::kernel::exports::retrace::distro::kernel::KernelFiles;
pub use bindings::retrace::distro::types::{CallError, PackageFormat, PackageId, PackageKind, Release};
pub use build::Invalid;
#[doc(hidden)]
pub use distribution::Adapter;
pub use distribution::{Distribution, EnvironmentAdvice, Kernel};
pub use expand::expand_preview;
pub use log::{Level, log};
pub use os_release::OsRelease;
pub use release_line::ReleaseLine;
/// A distribution as a TOML file, checked at compile time. The form of the file: `docs/declarative.md`.
pub use retrace_plugin_sdk_macros::declarative;

/// What a plugin imports with one line: the contract's types, the trait, and the names of `alloc` that a crate without
/// `std` lacks.
pub mod prelude {
    pub use crate::{
        CallError, Confidence, DebSuite, Debugger, Description, Distribution, Environment, EnvironmentAdvice, Kernel,
        KernelFiles, KeyFile, Level, OsRelease, PackageFormat, PackageId, PackageKind, PackageRef, Release,
        ReleaseEntry, ReleaseGuess, ReleaseLine, ReleaseSource, Repository, RepositoryContent, RepositoryLayout,
        Signatures, deb, log, names, nevra,
    };
    pub use alloc::{
        borrow::ToOwned,
        format,
        string::{String, ToString},
        vec,
        vec::Vec,
    };
}
