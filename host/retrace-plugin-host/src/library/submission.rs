//! What is handed in to be installed: a component with its signature, as single files or in one tar.
//!
//! The tar of `retrace plugin pack` is reproducible: equal input, equal bytes. It holds exactly the names of the library's
//! layout, flat, so a hostile one has no way out: any other name, kind or size is refused, and nothing is unpacked to disk.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{
    LibraryError, Signer, Trust,
    layout::{self, MAX_TEXT_BYTES, METADATA, SIGNATURE, WASM},
};

/// Bytes of headers and padding of a tar beside its three members.
const TAR_FRAME_BYTES: u64 = 64 << 10;
/// Members of a tar; one more than it may have, to be able to say so.
const MAX_MEMBERS: usize = 4;
/// Mode of every member.
const MODE: u32 = 0o644;

/// A plugin with what came with it. Nothing of it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Where it was read from, for messages.
    pub path: PathBuf,
    /// The component.
    pub wasm: Vec<u8>,
    /// Its detached signature.
    pub signature: Option<Vec<u8>>,
    /// `plugin.toml`: what the author wrote about it.
    pub metadata: Option<String>,
}

/// Files beside the plugin, where they do not have the usual names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Companions<'a> {
    /// The signature; usually `FILE.asc`, if there is one.
    pub signature: Option<&'a Path>,
    /// The metadata; usually `plugin.toml` in the same folder, if there is one.
    pub metadata: Option<&'a Path>,
}

impl Submission {
    /// Reads a component with its companions, or a tar of `retrace plugin pack`: the content tells which. A component has
    /// at most `limit` bytes.
    ///
    /// # Errors
    /// A file cannot be read or is too large, or the tar is none of ours.
    pub fn read(path: &Path, companions: Companions<'_>, limit: u64) -> Result<Self, LibraryError> {
        let whole = limit.saturating_add(2 * MAX_TEXT_BYTES).saturating_add(TAR_FRAME_BYTES);
        let bytes = layout::read_followed(path, whole).map_err(LibraryError::io(path))?;
        if is_tar(&bytes) {
            return Self::unpack(path, &bytes, limit);
        }
        check_size(path, &bytes, limit)?;
        let text = |named: Option<&Path>, usual: PathBuf| match named {
            Some(named) => layout::read_followed(named, MAX_TEXT_BYTES).map(Some).map_err(LibraryError::io(named)),
            None if usual.exists() => {
                layout::read_followed(&usual, MAX_TEXT_BYTES).map(Some).map_err(LibraryError::io(usual))
            }
            None => Ok(None),
        };
        let mut usual_signature = path.as_os_str().to_owned();
        usual_signature.push(".asc");
        let signature = text(companions.signature, usual_signature.into())?;
        let metadata = text(companions.metadata, path.with_file_name(METADATA))?;
        let metadata = metadata.map(|bytes| utf8(path, METADATA, bytes)).transpose()?;
        Ok(Self { path: path.to_owned(), wasm: bytes, signature, metadata })
    }

    fn unpack(path: &Path, bytes: &[u8], limit: u64) -> Result<Self, LibraryError> {
        let bad = |why: String| LibraryError::BadPack { path: path.to_owned(), why };
        let io = |error: std::io::Error| bad(error.to_string());
        let mut found = Self { path: path.to_owned(), wasm: Vec::new(), signature: None, metadata: None };
        let mut seen: Vec<String> = Vec::new();
        let mut archive = tar::Archive::new(bytes);
        // Raw: headers that change the meaning of others (long names, pax records) are refused, not obeyed.
        for entry in archive.entries().map_err(io)?.raw(true).take(MAX_MEMBERS) {
            let mut entry = entry.map_err(io)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let limit = match name.as_str() {
                WASM => limit,
                SIGNATURE | METADATA => MAX_TEXT_BYTES,
                _ => return Err(bad(format!("it holds {name:?}"))),
            };
            if entry.header().entry_type() != tar::EntryType::Regular {
                return Err(bad(format!("{name} is no regular file")));
            }
            if entry.size() > limit {
                return Err(bad(format!("{name} has more than {limit} bytes")));
            }
            if seen.contains(&name) {
                return Err(bad(format!("{name} is there twice")));
            }
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(io)?;
            if u64::try_from(content.len()).ok() != Some(entry.size()) {
                return Err(bad(format!("{name} is cut off")));
            }
            match name.as_str() {
                WASM => found.wasm = content,
                SIGNATURE => found.signature = Some(content),
                _ => found.metadata = Some(utf8(path, METADATA, content)?),
            }
            seen.push(name);
        }
        if !seen.iter().any(|name| name == WASM) {
            return Err(bad(format!("it holds no {WASM}")));
        }
        Ok(found)
    }

    /// Checks the signature over the component.
    ///
    /// # Errors
    /// [`LibraryError::Unsigned`], [`LibraryError::UnknownSigner`] or [`LibraryError::Signature`].
    pub fn verify(&self, trust: &Trust) -> Result<Signer, LibraryError> {
        match &self.signature {
            Some(signature) => trust.verify(&self.wasm, signature),
            None => Err(LibraryError::Unsigned { path: self.path.clone() }),
        }
    }

    /// The tar for sites without a network: the same submission gives the same bytes.
    ///
    /// # Errors
    /// Writing to memory failed, which only happens when there is none left.
    pub fn pack(&self) -> Result<Vec<u8>, LibraryError> {
        let mut members = vec![(WASM, self.wasm.as_slice())];
        members.extend(self.metadata.as_deref().map(|text| (METADATA, text.as_bytes())));
        members.extend(self.signature.as_deref().map(|bytes| (SIGNATURE, bytes)));
        members.sort_by_key(|(name, _)| *name);
        let mut builder = tar::Builder::new(Vec::new());
        let io = LibraryError::io(&self.path);
        let write = members.into_iter().try_for_each(|(name, bytes)| {
            let mut header = tar::Header::new_ustar();
            header.set_path(name)?;
            header.set_size(u64::try_from(bytes.len()).map_err(std::io::Error::other)?);
            header.set_mode(MODE);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_cksum();
            builder.append(&header, bytes)
        });
        write.and_then(|()| builder.into_inner()).map_err(io)
    }
}

/// A component starts with `\0asm`, a tar with a name; the magic of POSIX tar stands at byte 257.
fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar") && !bytes.starts_with(b"\0asm")
}

fn check_size(path: &Path, bytes: &[u8], limit: u64) -> Result<(), LibraryError> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size <= limit { Ok(()) } else { Err(LibraryError::TooLarge { path: path.to_owned(), limit }) }
}

fn utf8(path: &Path, name: &str, bytes: Vec<u8>) -> Result<String, LibraryError> {
    let bad = |_| LibraryError::BadMetadata { path: path.to_owned(), why: format!("{name} is not UTF-8") };
    String::from_utf8(bytes).map_err(bad)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn submission() -> Submission {
        Submission {
            path: "x.tar".into(),
            wasm: b"\0asm and more".to_vec(),
            signature: Some(b"-----BEGIN PGP SIGNATURE-----".to_vec()),
            metadata: Some("id = 'x'\n".to_owned()),
        }
    }

    fn unpack(bytes: &[u8]) -> Result<Submission, LibraryError> {
        Submission::unpack(Path::new("x.tar"), bytes, 1 << 20)
    }

    /// A tar with these members.
    fn tar(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in members {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_pack_is_reproducible_and_comes_back_whole() {
        let whole = submission();
        let bytes = whole.pack().unwrap();
        assert_eq!(bytes, whole.clone().pack().unwrap());
        assert!(is_tar(&bytes));
        assert_eq!(unpack(&bytes).unwrap(), whole);
        let alone = Submission { signature: None, metadata: None, ..whole };
        assert_eq!(unpack(&alone.pack().unwrap()).unwrap(), alone);
    }

    #[test]
    fn hostile_tars_are_refused() {
        use tar::EntryType as Kind;
        let wasm = (WASM, Kind::Regular, b"\0asm".as_slice());
        let cases: [(&str, Vec<u8>); 9] = [
            ("path out", tar(&[("../plugin.wasm", Kind::Regular, b"x"), wasm])),
            ("absolute path", tar(&[("/plugin.wasm", Kind::Regular, b"x")])),
            ("link", tar(&[(WASM, Kind::Symlink, b"")])),
            ("hard link", tar(&[wasm, (SIGNATURE, Kind::Link, b"")])),
            ("folder", tar(&[(WASM, Kind::Directory, b"")])),
            ("twice", tar(&[wasm, wasm])),
            ("long name", tar(&[("././@LongLink", Kind::GNULongName, b"plugin.wasm\0"), wasm])),
            ("pax", tar(&[("plugin.toml", Kind::XHeader, b"30 path=/etc/cron.d/evil\n"), wasm])),
            ("no plugin", tar(&[(METADATA, Kind::Regular, b"")])),
        ];
        for (what, bytes) in cases {
            assert!(matches!(unpack(&bytes), Err(LibraryError::BadPack { .. })), "{what}");
        }
        let large = tar(&[(WASM, Kind::Regular, &vec![0; (1 << 20) + 1])]);
        assert!(matches!(unpack(&large), Err(LibraryError::BadPack { .. })));
        let claims = tar(&[wasm]);
        assert!(unpack(&claims[..514]).is_err(), "cut off");
    }

    proptest! {
        #[test]
        fn damaged_packs_never_panic(at in 0_usize..3_000, byte: u8, cut in 0_usize..3_000) {
            let mut bytes = submission().pack().unwrap();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            let _ = unpack(&bytes);
        }
    }
}
