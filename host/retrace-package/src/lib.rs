//! Reads `.rpm` and `.deb` packages: header, file list, build-ids, single members, signatures.
//!
//! A package is hostile until the opposite is proven. What the crate promises:
//!
//! * Only a [`VerifiedPackage`] is unpacked or scanned; it can be had from a good signature ([`verify_rpm`]), from a
//!   digest in metadata that was verified ([`verify_digest`]), or from the record of an earlier verification
//!   ([`recorded`]).
//! * [`extract`] hands the bytes of wanted members to a [`Sink`] in one streaming pass and stops as soon as it has them
//!   all; no file is ever written under a name that a package chose.
//! * [`FileCache`] keeps what was unpacked. A file stands there only under the build-id that its own ELF note states, so
//!   matching is never left to who uses it.
//! * Work and memory are bounded by [`Limits`], never by a size that the package claims. No input makes it panic.
//! * A signature counts if its hash is strong (MD5, SHA-1 and RIPEMD-160 are refused, and with them the SHA-1 header
//!   signatures of RPM packages built before about 2012), and if its key could sign and was neither expired nor
//!   revoked when it was made.
//!
//! Not here: repository metadata (`retrace-mirror`), where packages are kept (`retrace-store`), and which build-id a
//! crash needs. The readers of the header, of cpio, tar and ar and of ELF notes are this crate's own: each is small, and
//! the libraries for them allocate what a header claims or read a member whole.

mod archive;
mod build_ids;
mod cache;
mod certificate;
mod cpio;
mod deb;
mod decompress;
mod elf;
mod error;
mod extract;
mod header;
mod keyring;
mod limits;
mod links;
mod payload;
mod rpm;
mod rpm_facts;
mod rpm_header;
mod scan;
mod sign;
mod signature;
mod tar;
mod verify;

pub use build_ids::build_id_of_path;
pub use cache::{CacheError, Cached, FileCache, FillRequest, Shrunk, Trust};
pub use deb::read_deb_control;
pub use elf::{AltLink, elf_build_id, elf_section, gnu_debugaltlink};
pub use error::PackageError;
pub use extract::{Extracted, Sink, Wanted, extract};
pub use header::{Header, read_header};
pub use keyring::Keyring;
pub use limits::Limits;
pub use retrace_types::{MemberBuildId, Role};
pub use rpm_facts::{Change, Comparison, Dependency, FileKind, MAX_CHANGES, PackagedFile, RpmFacts, read_rpm_facts};
pub use scan::scan_build_ids;
pub use sign::{MAX_SECRET_KEY_BYTES, SignError, Signer};
pub use signature::{SignedText, verify_cleartext, verify_detached, verify_detached_now};
pub use verify::{VerifiedPackage, recorded, rpm_content_sha256, verify_digest, verify_rpm};
