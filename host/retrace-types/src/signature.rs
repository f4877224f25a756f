//! When two crashes are the same: the crash signature `retrace-signature/1`.
//!
//! A crash has up to two signatures, both of the thread that crashed:
//!
//! - **Of addresses** ([`address_signature`]): build-id and offset of the innermost [`ADDRESS_FRAMES`] frames. It needs a stack
//!   walk and no symbol, so that a client can ask for it before it sends a core. Another build gives another one.
//! - **Of functions** ([`FunctionSignature`]): file name and function of the innermost [`FUNCTION_FRAMES`] frames that say
//!   something. It survives a rebuild, an update that does not touch these functions, and another load address.
//!
//! The rules for functions, in this order; a change of any of them needs a new [`SIGNATURE_SCHEMA`]:
//!
//! 1. The stack ends before the first frame that is a guess ([`Trust::Scan`]).
//! 2. Where the innermost frame sends a signal (`raise`, `abort`, `kill`, …) and the thread was in a signal handler, the
//!    handler only passed the signal on: the stack begins behind the frame that the kernel made.
//! 3. Names are normalised ([`normalize`]): no arguments, no template arguments, no symbol version, no suffix of an
//!    optimiser, no hash of a compiler.
//! 4. Noise is left out ([`is_noise`]): ways to abort, allocators, copying of memory and texts, what runtimes put around the
//!    program's own code.
//! 5. A frame without a name is `??` of its file. What follows itself counts once, so that the depth of a recursion
//!    makes no difference.
//! 6. A file counts by its name without folder, `.so` and version: `libc` for `/lib/libc.so.6`.
//!
//! Inlined functions count like others. Two builds that inline differently have one signature where both have debug
//! information, and two where one of them lacks it.
//!
//! Not here: hashes of other crash collectors, distances between signatures.

mod names;
mod noise;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256 as Hasher};

use crate::{BuildId, Frame, Sha256, ThreadReport, Trust};

pub use names::{module_name, normalize};
pub use noise::is_noise;

/// The rules that signatures were made by. Signatures of different rules are never equal.
pub const SIGNATURE_SCHEMA: &str = "retrace-signature/1";

/// Frames in the signature of addresses.
pub const ADDRESS_FRAMES: usize = 8;

/// Frames in the signature of functions.
pub const FUNCTION_FRAMES: usize = 5;

/// Where in which file a frame is. None for a program counter in no file, or in one without build-id.
pub type FrameAddress<'a> = Option<(&'a BuildId, u64)>;

/// What a crash has in common with others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashSignature {
    /// [`SIGNATURE_SCHEMA`].
    pub schema: String,
    /// Of addresses: the same build crashed at the same place. None if no frame lies in a file with a build-id.
    pub addresses: Option<Sha256>,
    /// Of functions: the same functions crashed. None if no frame has a name.
    pub functions: Option<FunctionSignature>,
}

/// The functions that crashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionSignature {
    /// SHA-256 of the schema and the frames.
    pub digest: Sha256,
    /// `file!function`, the innermost first; at least one and at most [`FUNCTION_FRAMES`].
    pub frames: Vec<String>,
}

impl CrashSignature {
    /// The signature of the thread that crashed.
    #[must_use]
    pub fn of(thread: &ThreadReport) -> Self {
        let frames = trusted(thread);
        let addresses = physical(frames).take(ADDRESS_FRAMES);
        Self {
            schema: SIGNATURE_SCHEMA.to_owned(),
            addresses: address_signature(addresses),
            functions: FunctionSignature::of(frames),
        }
    }

    /// What groups crashes: the functions, else the addresses.
    #[must_use]
    pub fn group(&self) -> Option<Sha256> {
        self.functions.as_ref().map(|functions| functions.digest).or(self.addresses)
    }
}

impl FunctionSignature {
    fn of(frames: &[Frame]) -> Option<Self> {
        let frames = behind_handler(frames);
        let entries = |with_noise: bool| {
            let mut entries: Vec<String> = Vec::new();
            let mut named = false;
            for frame in frames.iter().filter(|frame| !frame.signal_handler) {
                let function = frame.function.as_deref().map(normalize).filter(|name| !name.is_empty());
                if !with_noise && function.as_deref().is_some_and(is_noise) {
                    continue;
                }
                let module = frame.module.as_deref().map(module_name).unwrap_or_default();
                let entry = format!("{module}!{}", function.as_deref().unwrap_or("??"));
                if entries.last() == Some(&entry) {
                    continue;
                }
                if entries.len() == FUNCTION_FRAMES {
                    break;
                }
                named |= function.is_some();
                entries.push(entry);
            }
            named.then_some(entries)
        };
        // A stack of noise alone is still told apart from others.
        let frames = entries(false).or_else(|| entries(true))?;
        let digest = digest("functions", frames.iter().map(String::as_str));
        Some(Self { digest, frames })
    }
}

/// The signature of a stack of addresses, the innermost first; what is behind [`ADDRESS_FRAMES`] does not count. Inlined
/// functions have no frame of their own here. The offset is the program counter less the load address, as `addr2line` counts
/// it, and of callers the return address as it stands on the stack. None if no frame lies in a file with a build-id.
#[must_use]
pub fn address_signature<'a>(frames: impl IntoIterator<Item = FrameAddress<'a>>) -> Option<Sha256> {
    address_digest("addresses", frames.into_iter().take(ADDRESS_FRAMES))
}

/// As [`address_signature`], of every frame: equal only for the same stack of the same builds. None also if a frame is a
/// guess or lies in no file with a build-id: then nothing is known for certain.
#[must_use]
pub fn stack_digest(thread: &ThreadReport) -> Option<Sha256> {
    let is_certain = |frame: &Frame| frame.trust != Trust::Scan && frame.build_id.is_some() && frame.offset.is_some();
    let certain = thread.frames.iter().all(is_certain);
    if certain { address_digest("stack", physical(&thread.frames)) } else { None }
}

fn address_digest<'a>(kind: &'static str, frames: impl Iterator<Item = FrameAddress<'a>>) -> Option<Sha256> {
    let mut known = false;
    let line = |frame: FrameAddress<'a>| match frame {
        Some((build_id, offset)) => {
            known = true;
            format!("{build_id}+{offset:x}")
        }
        None => "?".to_owned(),
    };
    let lines: Vec<_> = frames.map(line).collect();
    known.then(|| digest(kind, lines.iter().map(String::as_str)))
}

/// SHA-256 of the schema, what is signed, and the lines, each with its newline. No line holds one.
fn digest<'a>(kind: &'a str, lines: impl Iterator<Item = &'a str>) -> Sha256 {
    let mut hasher = Hasher::new();
    for line in [SIGNATURE_SCHEMA, kind].into_iter().chain(lines) {
        hasher.update(line);
        hasher.update("\n");
    }
    Sha256::from_bytes(hasher.finalize().into())
}

/// The frames before the first guess.
fn trusted(thread: &ThreadReport) -> &[Frame] {
    let guess = thread.frames.iter().position(|frame| frame.trust == Trust::Scan);
    guess.and_then(|index| thread.frames.get(..index)).unwrap_or(&thread.frames)
}

fn physical(frames: &[Frame]) -> impl Iterator<Item = FrameAddress<'_>> {
    frames.iter().filter(|frame| !frame.inline).map(|frame| frame.build_id.as_ref().zip(frame.offset))
}

/// Rule 2.
fn behind_handler(frames: &[Frame]) -> &[Frame] {
    let first = frames.first().and_then(|frame| frame.function.as_deref()).map(normalize);
    let handler = frames.iter().position(|frame| frame.signal_handler);
    match (first, handler) {
        (Some(name), Some(index)) if noise::sends_signal(&name) => frames.get(index + 1..).unwrap_or_default(),
        _ => frames,
    }
}

#[cfg(test)]
mod tests;
