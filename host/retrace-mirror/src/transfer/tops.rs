//! Copies of top files (`repomd.xml`, `InRelease`), so that one small request tells whether there is news. They are no
//! more trusted than what a server sends: whoever reads one checks it as if it had just come.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{checksum, location::Remote};

/// Longest sign that is kept, in bytes.
const MAX_SIGN_BYTES: usize = 1024;
const FIRST_LINE: &str = "retrace-top 1";

/// A top file, and the signs by which its server tells whether it has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Top {
    pub(super) data: Vec<u8>,
    pub(super) signs: Signs,
}

/// What a server says of a version of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// `ETag` of http.
    pub(super) etag: Option<String>,
    /// `Last-Modified` of http; time and size of ftp and rsync.
    pub(super) modified: Option<String>,
}

impl Signs {
    /// Signs that fit a line; longer or stranger ones are no signs.
    pub(super) fn new(etag: Option<&str>, modified: Option<&str>) -> Self {
        let keep = |text: &str| {
            let is_fit = text.len() <= MAX_SIGN_BYTES && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
            is_fit.then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        Self { etag: etag.and_then(keep), modified: modified.and_then(keep) }
    }

    fn is_empty(&self) -> bool {
        self.etag.is_none() && self.modified.is_none()
    }
}

/// The copy of the last time, if it is whole.
pub(super) fn read(download_dir: &Path, remote: &Remote, limit_bytes: u64) -> Option<Top> {
    let path = path(download_dir, remote);
    if path.metadata().ok()?.len() > limit_bytes.saturating_add(8192) {
        return None;
    }
    parse(&std::fs::read(path).ok()?)
}

fn parse(copy: &[u8]) -> Option<Top> {
    let mut parts = copy.splitn(5, |byte| *byte == b'\n');
    let mut line = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    (line()? == FIRST_LINE).then_some(())?;
    let (etag, modified, sha256) = (line()?.to_owned(), line()?.to_owned(), line()?.to_owned());
    let data = parts.next()?.to_vec();
    (checksum::sha256(&data).to_string() == sha256).then_some(())?;
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Some(Top { data, signs: Signs { etag: some(&etag), modified: some(&modified) } })
}

/// Keeps a copy; a disk that is full costs a request the next time, nothing else.
pub(super) fn write(download_dir: &Path, remote: &Remote, top: &Top) {
    let path = path(download_dir, remote);
    if top.signs.is_empty() {
        let _ = std::fs::remove_file(path);
        return;
    }
    let sign = |sign: &Option<String>| sign.clone().unwrap_or_default();
    let (etag, modified) = (sign(&top.signs.etag), sign(&top.signs.modified));
    let head = format!("{FIRST_LINE}\n{etag}\n{modified}\n{}\n", checksum::sha256(&top.data));
    let written = tempfile::NamedTempFile::new_in(download_dir.join("tops")).and_then(|mut file| {
        file.write_all(head.as_bytes())?;
        file.write_all(&top.data)?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    });
    if let Err(error) = written {
        tracing::debug!(path = %path.display(), %error, "a copy of a top file cannot be kept");
    }
}

fn path(download_dir: &Path, remote: &Remote) -> PathBuf {
    download_dir.join("tops").join(checksum::sha256(remote.to_string().as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::{Base, Place};

    #[test]
    fn a_copy_is_read_back_and_a_damaged_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tops")).unwrap();
        let Place::Remote(remote) = Base::parse("http://h/repomd.xml").unwrap().root().clone() else { panic!() };
        let top = Top { data: b"a\nb\0\xff\n".to_vec(), signs: Signs::new(Some("\"x y\""), None) };
        assert_eq!(read(dir.path(), &remote, 100), None);
        write(dir.path(), &remote, &top);
        assert_eq!(read(dir.path(), &remote, 100), Some(top.clone()));
        let path = path(dir.path(), &remote);
        let copy = std::fs::read(&path).unwrap();
        for at in 0..copy.len() {
            let mut damaged = copy.clone();
            damaged[at] = b'~';
            assert_ne!(parse(&damaged).map(|top| top.data), Some(b"~".to_vec()));
            assert!(parse(&damaged).is_none_or(|found| found.data == top.data), "byte {at}");
            assert_eq!(parse(&copy[..at]), None, "cut at {at}");
        }
        write(dir.path(), &remote, &Top { signs: Signs::default(), ..top });
        assert!(!path.exists());
    }

    #[test]
    fn strange_signs_are_none() {
        let signs = Signs::new(Some("a\nb"), Some(&"x".repeat(2000)));
        assert_eq!(signs, Signs::default());
        assert_eq!(Signs::new(Some(" \"x\" "), Some("")).etag.as_deref(), Some("\"x\""));
    }
}
