//! Debian repositories: `dists/<suite>/InRelease` and the indexes that it lists.
//!
//! Source of the formats: the repository format of the Debian wiki, deb822(5), deb-control(5), `apt_preferences`' notes on
//! `Valid-Until`.

mod contents;
mod packages;
mod paragraphs;
mod release;

pub(crate) use contents::read_contents;
pub(crate) use packages::read_packages;
pub(crate) use release::{IndexFile, ReleaseFile, strip_signature};
