//! Tokens of the API: made once, told once, stored as a digest.

use jiff::Timestamp;
use retrace_types::{Sha256, TaskId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256 as Hasher};
use sqlx::{Row as _, any::AnyRow};

use crate::{Store, StoreError, rows, tasks::id_to_row};

/// What every token begins with, so that scanners of leaked secrets know it.
pub const TOKEN_PREFIX: &str = "rtr_";

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// Random bytes of a token's id, which is no secret.
const ID_BYTES: usize = 6;

/// Longest name of a token, in bytes.
pub const MAX_TOKEN_NAME_BYTES: usize = 100;

/// How exactly it is known when a token was last used: each use is not worth a write.
const USE_PRECISION_MS: i64 = 60_000;

/// What a token allows. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Send crashes.
    Submit,
    /// Read all tasks.
    Read,
    /// Cancel, restart and delete all tasks, and set priorities.
    Operate,
    /// Manage tokens.
    Admin,
}

impl Role {
    /// From the least to the most.
    pub const ALL: [Self; 4] = [Self::Submit, Self::Read, Self::Operate, Self::Admin];

    /// As it is written in JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Submit => 0,
            Self::Read => 1,
            Self::Operate => 2,
            Self::Admin => 3,
        }
    }

    fn from_number(number: i64) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|role| role.number() == number);
        found.ok_or_else(|| StoreError::invalid("role", number))
    }
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Names it where it is listed or revoked.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; none: never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute; none: never.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Store {
    /// Makes a token; returns it with its secret, which cannot be had again.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Random`].
    pub async fn create_token(
        &self,
        name: &str,
        role: Role,
        expires_at: Option<Timestamp>,
    ) -> Result<(Token, String), StoreError> {
        let secret = format!("{TOKEN_PREFIX}{}", hex::encode(random::<TOKEN_BYTES>()?));
        let id = hex::encode(random::<ID_BYTES>()?);
        let created_at = rows::timestamp(rows::now_ms())?;
        let token =
            Token { id, name: name.to_owned(), role, created_at, expires_at, last_used_at: None, revoked_at: None };
        sqlx::query(
            "INSERT INTO tokens (id, name, role, sha256, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&token.id)
        .bind(&token.name)
        .bind(role.number())
        .bind(digest(&secret).as_bytes().as_slice())
        .bind(created_at.as_millisecond())
        .bind(expires_at.map(Timestamp::as_millisecond))
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("make a token"))?;
        Ok((token, secret))
    }

    /// The token with this secret, if it is valid now; notes that it was used.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn use_token(&self, secret: &str) -> Result<Option<Token>, StoreError> {
        let now = rows::now_ms();
        // By its digest: how long the look-up takes tells nothing about the secret.
        let row = sqlx::query(
            "SELECT * FROM tokens
             WHERE sha256 = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(digest(secret).as_bytes().as_slice())
        .bind(now)
        .fetch_optional(&self.database.pool)
        .await
        .map_err(StoreError::database("look up a token"))?;
        let Some(token) = row.as_ref().map(read_token).transpose()? else { return Ok(None) };
        let known = token.last_used_at.map_or(i64::MIN, Timestamp::as_millisecond);
        if known < now.saturating_sub(USE_PRECISION_MS) {
            sqlx::query("UPDATE tokens SET last_used_at = $1 WHERE id = $2")
                .bind(now)
                .bind(&token.id)
                .execute(&self.database.pool)
                .await
                .map_err(StoreError::database("note the use of a token"))?;
        }
        Ok(Some(token))
    }

    /// All tokens, also those that are not valid any more, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let rows = sqlx::query("SELECT * FROM tokens ORDER BY created_at, id").fetch_all(&self.database.pool).await;
        rows.map_err(StoreError::database("list the tokens"))?.iter().map(read_token).collect()
    }

    /// Id of the token that a task was sent with; none also if there is no such task.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn token_of_task(&self, task: TaskId) -> Result<Option<String>, StoreError> {
        let found = sqlx::query_scalar("SELECT token_id FROM tasks WHERE id = $1 AND token_id IS NOT NULL")
            .bind(id_to_row(task))
            .fetch_optional(&self.database.pool);
        found.await.map_err(StoreError::database("read the token of a task"))
    }

    /// Ends a token now; false if there is no such token. One that was revoked before stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn revoke_token(&self, id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE tokens SET revoked_at = coalesce(revoked_at, $1) WHERE id = $2")
            .bind(rows::now_ms())
            .bind(id)
            .execute(&self.database.pool)
            .await
            .map_err(StoreError::database("revoke a token"))?;
        Ok(done.rows_affected() == 1)
    }
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Random(error.to_string()))?;
    Ok(bytes)
}

/// A secret is random: one round of SHA-256 is enough.
fn digest(secret: &str) -> Sha256 {
    Sha256::from_bytes(Hasher::digest(secret.as_bytes()).into())
}

fn read_token(row: &AnyRow) -> Result<Token, StoreError> {
    let time = |column: &str| row.get::<Option<i64>, _>(column).map(rows::timestamp).transpose();
    Ok(Token {
        id: row.get("id"),
        name: row.get("name"),
        role: Role::from_number(row.get("role"))?,
        created_at: rows::timestamp(row.get("created_at"))?,
        expires_at: time("expires_at")?,
        last_used_at: time("last_used_at")?,
        revoked_at: time("revoked_at")?,
    })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::testing::{Test, on_both_databases};

    on_both_databases!(a_token_is_known_by_its_secret_alone, a_token_that_expired_or_was_revoked_is_none,);

    async fn a_token_is_known_by_its_secret_alone(test: Test) {
        let store = &test.store;
        let (token, secret) = store.create_token("ci", Role::Read, None).await.unwrap();
        assert!(secret.starts_with(TOKEN_PREFIX) && secret.len() == TOKEN_PREFIX.len() + 64);
        let used = store.use_token(&secret).await.unwrap().unwrap();
        assert_eq!(used, token);
        for wrong in [&token.id, "", TOKEN_PREFIX, secret.get(..40).unwrap()] {
            assert_eq!(store.use_token(wrong).await.unwrap(), None);
        }
        let listed = store.tokens().await.unwrap();
        assert!(listed.iter().all(|listed| listed.last_used_at.is_some()), "{listed:?}");
    }

    async fn a_token_that_expired_or_was_revoked_is_none(test: Test) {
        let store = &test.store;
        let past = Timestamp::now() - SignedDuration::from_secs(1);
        let (_, expired) = store.create_token("old", Role::Admin, Some(past)).await.unwrap();
        assert_eq!(store.use_token(&expired).await.unwrap(), None);
        let (token, secret) = store.create_token("lost", Role::Admin, None).await.unwrap();
        assert!(store.revoke_token(&token.id).await.unwrap() && store.revoke_token(&token.id).await.unwrap());
        assert!(!store.revoke_token("nobody").await.unwrap());
        assert_eq!(store.use_token(&secret).await.unwrap(), None);
    }
}
