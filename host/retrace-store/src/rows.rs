//! Conversions between columns and values. A row is read as carefully as any input.

use std::io::Write as _;

use jiff::Timestamp;
use retrace_types::Sha256;
use serde::{Serialize, de::DeserializeOwned};

use crate::StoreError;

/// Most parameters in one statement; SQLite allows 32,766, PostgreSQL 65,535.
pub(crate) const MAX_PARAMETERS: usize = 30_000;

pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

pub(crate) fn timestamp(ms: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(ms).map_err(|_| StoreError::invalid("time", ms))
}

pub(crate) fn digest(bytes: &[u8]) -> Result<Sha256, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::invalid("digest", hex::encode(bytes)))?;
    Ok(Sha256::from_bytes(bytes))
}

/// Sizes are below 2^63 on every file system.
pub(crate) fn size_to_row(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(crate) fn size_from_row(bytes: i64) -> Result<u64, StoreError> {
    u64::try_from(bytes).map_err(|_| StoreError::invalid("size", bytes))
}

/// Appends a number with sign and leading zeros, `digits` bytes: SQL takes it out of a record again.
pub(crate) fn push_decimal(records: &mut Vec<u8>, number: i64, digits: usize) {
    // Writing to a Vec cannot fail.
    let _ = write!(records, "{number:0digits$}");
}

/// Serialization of our own plain data cannot fail; a null is refused when it is read.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::invalid(what, text))
}
