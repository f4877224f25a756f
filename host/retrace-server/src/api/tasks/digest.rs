//! Digests of content (RFC 9530): `Content-Digest: sha-256=:…:`.

use axum::http::HeaderMap;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use retrace_types::Sha256;

use crate::api::{ApiResult, Problem, ProblemKind};

/// The SHA-256 that a header names; none without the header.
///
/// # Errors
/// The header names only digests that are not known here, or is no dictionary of digests.
pub(crate) fn expected(headers: &HeaderMap, name: &str) -> ApiResult<Option<Sha256>> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let unusable =
        || Problem::invalid(format!("{name}: want sha-256=: and the digest in base64 and a colon (RFC 9530)"));
    for value in headers.get_all(name) {
        for member in value.to_str().map_err(|_| unusable())?.split(',') {
            let Some((algorithm, digest)) = member.trim().split_once('=') else { return Err(unusable()) };
            if algorithm == "sha-256" {
                return read(digest).map(Some).ok_or_else(unusable);
            }
        }
    }
    Err(unusable())
}

fn read(digest: &str) -> Option<Sha256> {
    let text = digest.strip_prefix(':')?.strip_suffix(':')?;
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    Some(Sha256::from_bytes(bytes.try_into().ok()?))
}

/// # Errors
/// The digest is another one than was said.
pub(crate) fn check(name: &str, expected: Option<Sha256>, found: &Sha256) -> ApiResult<()> {
    match expected {
        Some(expected) if expected != *found => Err(Problem::new(
            ProblemKind::DigestMismatch,
            format!(
                "{name}: the content has the SHA-256 {found}; it was damaged on its way, or the digest is of something else"
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_the_standard_writes_them() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("Content-Digest", axum::http::HeaderValue::from_static(value));
            expected(&headers, "Content-Digest").map(|digest| digest.map(|digest| digest.to_string()))
        };
        let hello = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let good = "sha-512=:YQ==:, sha-256=:WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=:";
        assert_eq!(read(good).unwrap().as_deref(), Some(hello));
        for wrong in ["", "md5=:YQ==:", "sha-256=YQ==", "sha-256=:YQ==:", "sha-256", "sha-256=:!:"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(expected(&HeaderMap::new(), "Content-Digest").unwrap().is_none());
    }
}
