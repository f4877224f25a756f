//! Entrances of the fuzz targets in `fuzz/`, which see no more of the crate than anybody else. Only built for them.
//!
//! Each takes any bytes as what a client sent, and panics if what comes out breaks a rule that the rest relies on.

use std::{net::SocketAddr, path::Path};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    archive::{self, ArchiveLimits, Format},
    checkpackage,
    client::{Client, Connection},
    create,
};

/// Small, so that it is reached.
const LIMIT_BYTES: u64 = 1 << 20;

/// An archive behind a byte that chooses its format; `dir` is an empty folder, which is not emptied.
pub fn archive(bytes: &[u8], dir: &Path) {
    let Some((choice, content)) = bytes.split_first() else { return };
    let Some(format) = Format::ALL.get(usize::from(*choice) % Format::ALL.len()) else { return };
    let (file, crash) = (dir.join("archive"), dir.join("crash"));
    let written = std::fs::write(&file, content).and_then(|()| std::fs::create_dir(&crash));
    let limits = ArchiveLimits { max_unpacked_bytes: LIMIT_BYTES, free_bytes: LIMIT_BYTES };
    let unpacked = written.is_ok() && archive::unpack(&file, *format, &crash, limits).is_ok();
    let entries: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().flatten().collect();
    assert!(entries.len() <= 2, "something was written beside the folder");
    let mut total = 0;
    for entry in std::fs::read_dir(&crash).into_iter().flatten().flatten() {
        let metadata = entry.metadata();
        assert!(metadata.as_ref().is_ok_and(std::fs::Metadata::is_file), "{entry:?} is no plain file");
        total += metadata.map_or(0, |metadata| metadata.len());
    }
    assert!(!unpacked || total <= LIMIT_BYTES, "{total} bytes were unpacked");
}

/// Lines `name: value` of a request.
pub fn headers(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(32) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts.next().and_then(|value| HeaderValue::from_bytes(value).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    checkpackage::read_headers(&headers);
    create::read_headers(&headers);
    let loopback = Connection { peer: SocketAddr::from(([127, 0, 0, 1], 9)), tls: false };
    let stranger = Connection { peer: SocketAddr::from(([192, 0, 2, 1], 9)), tls: false };
    let trusted: Vec<_> = ["127.0.0.0/8"].iter().filter_map(|network| network.parse().ok()).collect();
    let _ = Client::behind(loopback, &headers, &trusted);
    assert_eq!(Client::behind(stranger, &headers, &trusted).address, stranger.peer.ip());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_archive_is_unpacked_within_its_folder_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            super::archive(&bytes, tempfile::tempdir().unwrap().path());
        }

        #[test]
        fn any_headers_are_read_or_refused(
            lines in proptest::collection::vec(
                ("(x-task-type|content-type|content-length|x-forwarded-for|x-package-nvr|x-os-release|x-corefiledirectory)", "\\PC{0,40}"), 0..6)
        ) {
            let text: String = lines.into_iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
            super::headers(text.as_bytes());
        }
    }
}
