//! Lists that are read page by page.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use super::Problem;

/// Entries of a page where the request does not say.
const DEFAULT_LIMIT: u32 = 50;

/// Most entries of a page.
pub(crate) const MAX_LIMIT: u32 = 500;

/// Longest cursor that is read, in bytes.
const MAX_CURSOR_BYTES: usize = 1024;

/// Which part of a list. It can be flattened into the query of an area: the limit is text for that, since a flattened number
/// cannot be read from a query.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Most entries of the answer: 1 to 500, 50 where it is absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// `next_cursor` of the page before; absent: the first page.
    cursor: Option<Cursor>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Where the next page begins; null: this is the last one.
    pub(crate) next_cursor: Option<Cursor>,
}

/// A place in a list. Clients take it as it comes: it is JSON in hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub(crate) struct Cursor(String);

impl PageQuery {
    /// # Errors
    /// The limit is no number, or out of range.
    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        let Some(text) = &self.limit else { return Ok(DEFAULT_LIMIT) };
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.ok_or_else(|| Problem::invalid(format!("limit: want a number from 1 to {MAX_LIMIT}")))
    }

    /// The place that the cursor names; none: the first page.
    ///
    /// # Errors
    /// The cursor was not made by [`Cursor::new`] from a value of this type.
    pub(crate) fn place<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        self.cursor.as_ref().map(Cursor::read).transpose()
    }
}

impl Cursor {
    pub(crate) fn new(place: &impl Serialize) -> Self {
        // Serialization of our own plain data cannot fail; a cursor of nothing is refused when it is read.
        Self(hex::encode(serde_json::to_vec(place).unwrap_or_default()))
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let bytes = if self.0.len() > MAX_CURSOR_BYTES { None } else { hex::decode(&self.0).ok() };
        let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        place.ok_or_else(|| Problem::invalid("cursor: use next_cursor of the page before, as it came"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        let query = |cursor: &str| PageQuery { limit: None, cursor: Some(Cursor(cursor.to_owned())) };
        let cursor = Cursor::new(&(5_u64, "a".to_owned()));
        assert_eq!(query(&cursor.0).place::<(u64, String)>().unwrap(), Some((5, "a".to_owned())));
        assert_eq!(PageQuery::default().place::<u64>().unwrap(), None);
        for wrong in ["", "zz", "7b", &"30".repeat(2000)] {
            assert!(query(wrong).place::<(u64, String)>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_is_a_number_within_bounds() {
        let query = |limit: &str| PageQuery { limit: Some(limit.to_owned()), cursor: None };
        assert_eq!(PageQuery::default().limit().unwrap(), DEFAULT_LIMIT);
        assert_eq!(query("500").limit().unwrap(), 500);
        for wrong in ["0", "501", "-1", "x", ""] {
            assert!(query(wrong).limit().is_err(), "{wrong}");
        }
    }
}
