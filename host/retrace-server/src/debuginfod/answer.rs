//! An open file as a response: headers, conditions, ranges, and a body that is read as it is sent.

use std::{
    fs::File,
    io::SeekFrom,
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use retrace_package::{Cached, elf_section};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::{
    Miss,
    place::{Place, Verification},
    range::{Part, part},
};

/// A file up to this size is read at once, on the thread that opened it.
const SMALL_BYTES: u64 = 64 * 1024;
/// Bytes of a larger one that are in memory at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Caches may keep a file for long: what has a build-id does not change. What another server said may be mended there.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=604800");
const KEPT_FROM_UPSTREAM: HeaderValue = HeaderValue::from_static("public, max-age=3600");

const SIZE: HeaderName = HeaderName::from_static("x-debuginfod-size");
const FILE: HeaderName = HeaderName::from_static("x-debuginfod-file");
const ARCHIVE: HeaderName = HeaderName::from_static("x-debuginfod-archive");
const VERIFICATION: HeaderName = HeaderName::from_static("x-retrace-verification");

/// A file that can be sent.
#[derive(Debug)]
pub(super) struct Served {
    content: Content,
    /// The bytes of the answer in the file: all, or a section.
    place: Range<u64>,
    modified: SystemTime,
    etag: String,
    name: String,
    archive: Option<String>,
    verification: Verification,
}

#[derive(Debug)]
enum Content {
    /// All bytes of the answer.
    Small(Bytes),
    Large(File),
}

impl Served {
    /// Reads what the head of the answer needs, and the body if it is small. May block.
    pub(super) fn read(cached: Cached, place: &Place, section: Option<&str>) -> Result<Self, Miss> {
        let Cached { mut file, .. } = cached;
        let metadata = file.metadata().map_err(|_| Miss::Lost)?;
        let bytes = match section {
            Some(name) => elf_section(&mut file, name).map_err(|_| Miss::Lost)?.ok_or(Miss::NoSection)?,
            None => 0..metadata.len(),
        };
        let size = bytes.end.saturating_sub(bytes.start);
        let content = match usize::try_from(size) {
            Ok(length) if size <= SMALL_BYTES => {
                let mut buffer = vec![0; length];
                file.read_exact_at(&mut buffer, bytes.start).map_err(|_| Miss::Lost)?;
                Content::Small(buffer.into())
            }
            _ => Content::Large(file),
        };
        // Of one file; another copy of the same package unpacked elsewhere has another.
        let etag = format!("\"{:x}-{:x}-{:x}-{:x}\"", metadata.mtime(), metadata.mtime_nsec(), bytes.start, size);
        Ok(Self {
            content,
            place: bytes,
            modified: metadata.modified().unwrap_or(UNIX_EPOCH),
            etag,
            name: place.name.clone(),
            archive: place.archive.clone(),
            verification: place.verification,
        })
    }

    pub(super) fn into_response(self, method: &Method, request: &HeaderMap) -> Response {
        let size = self.place.end.saturating_sub(self.place.start);
        let mut head = HeaderMap::new();
        self.describe(size, &mut head);
        if self.is_known(request) {
            return (StatusCode::NOT_MODIFIED, head).into_response();
        }
        let wanted = match request.get(header::RANGE).and_then(|range| range.to_str().ok()) {
            // A range is defined for GET only.
            Some(range) if method == Method::GET && self.may_be_continued(request) => part(range, size),
            _ => Part::All,
        };
        let (status, wanted) = match wanted {
            Part::All => (StatusCode::OK, 0..size),
            Part::Some(wanted) => {
                let last = wanted.end.saturating_sub(1);
                insert(&mut head, header::CONTENT_RANGE, &format!("bytes {}-{last}/{size}", wanted.start));
                (StatusCode::PARTIAL_CONTENT, wanted)
            }
            Part::Unsatisfiable => {
                insert(&mut head, header::CONTENT_RANGE, &format!("bytes */{size}"));
                head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                return (StatusCode::RANGE_NOT_SATISFIABLE, head).into_response();
            }
        };
        let length = wanted.end.saturating_sub(wanted.start);
        head.insert(header::CONTENT_LENGTH, length.into());
        if method == Method::HEAD {
            return (status, head, Body::empty()).into_response();
        }
        metrics::counter!("retrace_debuginfod_bytes_total").increment(length);
        (status, head, self.body(wanted)).into_response()
    }

    fn describe(&self, size: u64, head: &mut HeaderMap) {
        let from_upstream = matches!(self.verification, Verification::Upstream | Verification::UpstreamUnchecked);
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        head.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        head.insert(header::CACHE_CONTROL, if from_upstream { KEPT_FROM_UPSTREAM } else { KEPT });
        insert(head, header::LAST_MODIFIED, &http_date(self.modified));
        insert(head, header::ETAG, &self.etag);
        head.insert(SIZE, size.into());
        insert(head, FILE, &self.name);
        if let Some(archive) = &self.archive {
            insert(head, ARCHIVE, archive);
        }
        insert(head, VERIFICATION, self.verification.as_str());
    }

    /// RFC 9110, 13.2.2: `If-None-Match` counts, and `If-Modified-Since` only without it.
    fn is_known(&self, request: &HeaderMap) -> bool {
        let text = |name| request.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if let Some(known) = text(header::IF_NONE_MATCH) {
            let weak = |tag: &str| tag.trim().trim_start_matches("W/") == self.etag;
            return known.trim() == "*" || known.split(',').any(weak);
        }
        // As clients send back what they got; dates are not read.
        text(header::IF_MODIFIED_SINCE).is_some_and(|since| since.trim() == http_date(self.modified))
    }

    /// `If-Range` names the file that the client has a part of. A date is too coarse to tell files apart.
    fn may_be_continued(&self, request: &HeaderMap) -> bool {
        request.get(header::IF_RANGE).is_none_or(|of| of.as_bytes() == self.etag.as_bytes())
    }

    fn body(self, wanted: Range<u64>) -> Body {
        match self.content {
            Content::Small(bytes) => {
                let part = usize::try_from(wanted.start).ok().zip(usize::try_from(wanted.end).ok());
                let part = part.filter(|(start, end)| start <= end && *end <= bytes.len());
                part.map_or_else(Body::empty, |(start, end)| Body::from(bytes.slice(start..end)))
            }
            Content::Large(file) => {
                let start = self.place.start.saturating_add(wanted.start);
                let length = wanted.end.saturating_sub(wanted.start);
                let opening = async move {
                    let mut file = tokio::fs::File::from_std(file);
                    file.set_max_buf_size(CHUNK_BYTES);
                    file.seek(SeekFrom::Start(start)).await?;
                    Ok::<_, std::io::Error>(ReaderStream::with_capacity(file.take(length), CHUNK_BYTES))
                };
                Body::from_stream(futures_util::stream::once(opening).try_flatten())
            }
        }
    }
}

/// What cannot be a header is left out: names come from packages.
fn insert(head: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        head.insert(name, value);
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`: RFC 9110, 5.6.7.
fn http_date(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use retrace_package::Trust;
    use retrace_types::Role;

    use super::*;
    use crate::debuginfod::{
        Outcome,
        place::{Entry, Found},
    };

    /// A file of so many bytes, each the lowest byte of its offset.
    fn served(size: u64) -> (tempfile::NamedTempFile, Served) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..size).map(|at| at.to_le_bytes()[0]).collect();
        std::fs::write(file.path(), bytes).unwrap();
        let cached = Cached { path: file.path().to_owned(), file: File::open(file.path()).unwrap() };
        let build_id = "aabbcc".parse().unwrap();
        let place = Place {
            found: Found::Here(Entry::Elf { build_id, role: Role::Debuginfo, trust: Trust::Verified }),
            name: "bash.debug".to_owned(),
            archive: Some("bash-debuginfo\n.rpm".to_owned()),
            verification: Verification::Signed,
            how: Outcome::Hit,
        };
        let served = Served::read(cached, &place, None).unwrap();
        (file, served)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    async fn body(response: Response) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn parts_are_sent_of_small_and_of_large_files() {
        for size in [1000, 300_000] {
            for (range, status, want) in [
                ("bytes=0-", 206, 0..size),
                ("bytes=10-19", 206, 10..20),
                ("bytes=-5", 206, size - 5..size),
                ("bytes=0-0", 206, 0..1),
                ("bytes=0-1,5-6", 200, 0..size),
            ] {
                let response = served(size).1.into_response(&Method::GET, &headers(&[("range", range)]));
                assert_eq!(response.status().as_u16(), status, "{range} of {size}");
                assert_eq!(response.headers()["content-length"], (want.end - want.start).to_string());
                assert_eq!(response.headers()["x-debuginfod-size"], size.to_string());
                let bytes: Vec<u8> = want.map(|at| at.to_le_bytes()[0]).collect();
                assert!(body(response).await == bytes, "{range} of {size}");
            }
            let response = served(size).1.into_response(&Method::GET, &headers(&[("range", "bytes=900000-")]));
            assert_eq!(response.status().as_u16(), 416);
            assert_eq!(response.headers()["content-range"], format!("bytes */{size}"));
        }
    }

    #[tokio::test]
    async fn heads_and_conditions_are_answered_without_a_body() {
        let (file, first) = served(1000);
        let response = first.into_response(&Method::HEAD, &headers(&[("range", "bytes=0-1")]));
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-length"]),
            (200, &"1000".parse().unwrap())
        );
        let head = response.headers().clone();
        assert!(!head.contains_key("x-debuginfod-archive"), "a name that is no header is left out");
        assert_eq!(
            (&head["x-debuginfod-file"], &head["x-retrace-verification"]),
            (&"bash.debug".parse().unwrap(), &"signed".parse().unwrap())
        );
        assert!(body(response).await.is_empty());

        let (etag, date) = (head["etag"].to_str().unwrap(), head["last-modified"].to_str().unwrap());
        let again = || {
            let cached = Cached { path: file.path().to_owned(), file: File::open(file.path()).unwrap() };
            let (_, like) = served(1);
            let place = Place {
                found: Found::Here(Entry::Beside { build_id: "aabbcc".parse().unwrap(), name: String::new() }),
                name: like.name,
                archive: like.archive,
                verification: like.verification,
                how: Outcome::Hit,
            };
            Served::read(cached, &place, None).unwrap()
        };
        let cases: [(&[(&'static str, &str)], u16); 8] = [
            (&[("if-none-match", etag)], 304),
            (&[("if-none-match", "\"x\", W/\"y\"")], 200),
            (&[("if-none-match", "*")], 304),
            (&[("if-modified-since", date)], 304),
            (&[("if-none-match", "\"x\""), ("if-modified-since", date)], 200),
            (&[("range", "bytes=5-"), ("if-range", etag)], 206),
            (&[("range", "bytes=5-"), ("if-range", "\"other\"")], 200),
            (&[("range", "bytes=5-"), ("if-range", date)], 200),
        ];
        for (request, status) in cases {
            let response = again().into_response(&Method::GET, &headers(request));
            assert_eq!(response.status().as_u16(), status, "{request:?}");
        }
    }

    #[test]
    fn dates_are_written_as_the_standard_says() {
        let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(http_date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
