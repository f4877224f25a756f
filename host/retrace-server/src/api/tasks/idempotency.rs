//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a request that is repeated with it makes no
//! second task, and its answer is the first one's.
//!
//! The password is not stored: it is made from the key, which only the client has, and a salt.

use axum::http::HeaderMap;
use retrace_types::Sha256;
use sha2::{Digest as _, Sha256 as Hasher};

use crate::api::{ApiResult, Caller, Problem};

/// Longest key, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// A key of this caller.
pub(crate) struct Key {
    /// What the store knows it by.
    pub(crate) sha256: Sha256,
    text: String,
}

impl Key {
    /// The key of a request, if it has one.
    ///
    /// # Errors
    /// It is no text in quotes, or too long.
    pub(crate) fn of(headers: &HeaderMap, caller: &Caller) -> ApiResult<Option<Self>> {
        let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        // The draft has a string in quotes; many clients leave them away.
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let usable = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
        if text.is_empty() || text.len() > MAX_KEY_BYTES || !text.chars().all(usable) {
            return Err(Problem::invalid(format!(
                "Idempotency-Key: want 1 to {MAX_KEY_BYTES} letters, digits or signs in quotes, such as a UUID"
            )));
        }
        let sha256 = digest(&[caller.sender().as_bytes(), text.as_bytes()]);
        Ok(Some(Self { sha256, text: text.to_owned() }))
    }

    /// The password of the task: 128 bits.
    pub(crate) fn password(&self, salt: &[u8]) -> String {
        let digest = digest(&[b"password of a task", salt, self.text.as_bytes()]).to_string();
        digest.get(..32).unwrap_or_default().to_owned()
    }
}

/// Names a request: the same one again gives the same.
pub(crate) fn request(what: &str, body: &Sha256) -> Sha256 {
    digest(&[what.as_bytes(), body.as_bytes()])
}

/// Each part with its length, so that no two lists of parts are one text.
fn digest(parts: &[&[u8]]) -> Sha256 {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    Sha256::from_bytes(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_need_key_and_salt() {
        let key = |text: &str| Key { sha256: digest(&[]), text: text.to_owned() };
        assert_eq!(key("a").password(b"1"), key("a").password(b"1"));
        assert_ne!(key("a").password(b"1"), key("b").password(b"1"));
        assert_ne!(key("a").password(b"1"), key("a").password(b"2"));
        assert_eq!(key("a").password(b"1").len(), 32);
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }
}
