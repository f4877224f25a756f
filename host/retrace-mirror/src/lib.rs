//! Mirrors of package repositories: their metadata in the index, their packages fetched when a retrace needs them.
//!
//! [`Mirror::sync`] fills the index from metadata alone, [`Mirror::fetch`] gets one package, [`Mirror::resolve`] finds
//! and gets the packages that ship the files of a core, [`reach()`] tells which mirrors answer, [`publish()`] makes
//! repositories of what is kept, [`find()`] asks the index, [`status()`] tells how each repository is, [`Mirror::verify`]
//! digests what is kept again. Sources are local folders
//! and servers that speak http(s), ftp(s) or rsync, in rpm-md or Debian layout, or folders of packages without metadata;
//! [`Access`] says how an operator's ones are reached.
//!
//! Promises: what a repository's policy wants signed is verified before it is indexed or kept; sizes and checksums are
//! checked while data arrives, and never more is read than was announced; a package that changed under its name is reported, not taken; an index is replaced in one transaction, so a
//! run that is killed leaves the old one, and what it downloaded is used by the next; a location that a repository names
//! never leaves its base; a path or a name is a hint where to look, only a build-id decides.
//!
//! Not here: which repositories a release has (plugins know), unpacking (`retrace-package`, `retrace-chroot`), the index
//! itself (`retrace-store`).

mod access;
mod ahead;
mod archive;
mod budget;
mod checksum;
mod deb;
mod directory;
mod error;
mod expand;
mod fetch;
mod find;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod health;
mod incident;
mod keys;
mod location;
mod mappable;
mod mirror;
mod mirror_list;
mod options;
mod plan;
mod policy;
mod prune;
mod publish;
mod reach;
mod resolve;
mod revision;
mod rpm_md;
mod status;
mod sync;
mod transfer;
mod unpack;
mod verify;

#[cfg(test)]
mod tests;

pub use access::{Access, AccessRule, ClientCertificate, ProxyChoice, SshOptions};
pub use ahead::{Ahead, AheadProgress, AheadReport};
pub use archive::{has_named_mirrors, with_named_mirrors, with_own_mirrors};
pub use error::{MetadataError, MirrorError};
pub use expand::expand_mirror;
pub use find::{Answer, Hit, Kind, NoQuestion, PackageQuestion, Question, WhyNot, Within, find};
pub use mirror::Mirror;
pub use options::{Limits, MirrorOptions, Progress};
pub use plan::{Candidate, Plan, plan};
pub use policy::{Filter, Mode, Pattern, Policy, Rule, Signatures};
pub use prune::{MIN_AGE, PrunePlan, PruneReport, Unwanted};
pub use publish::{KEY_FILE, LeftOut, Publication, PublishError, PublishOptions, folder_of, publish};
pub use reach::{MirrorReach, RepositoryReach, reach};
pub use resolve::{Found, Member, Resolved, WantedModule};
/// Signs what is published.
pub use retrace_package::{SignError, Signer};
pub use status::{LastFailure, RepositoryStatus, status};
pub use sync::{Outcome, RepositoryReport, SyncReport};
pub use transfer::tls_config;
pub use verify::{Fault, Finding, Repair, VerifyOptions, VerifyReport};
