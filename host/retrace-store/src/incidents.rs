//! Incidents: a package whose bytes changed under its name. Not an update: the known file stays, the new one is not taken.

use std::fmt;

use jiff::Timestamp;
use retrace_types::Sha256;
use sqlx::{Any, Row as _, Transaction, any::AnyRow};

use crate::{RepositoryKey, Store, StoreError, rows};

/// Most incidents that are kept for a repository. Who changes more packages than these under their names is told once.
pub(crate) const MAX_INCIDENTS: usize = 10_000;

/// What happened to a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentKind {
    /// Other bytes, as far as is known.
    Changed,
    /// The same header and payload; the signatures in front of them are others.
    Resigned,
}

impl IncidentKind {
    /// `changed` or `re-signed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Resigned => "re-signed",
        }
    }
}

/// What is known of the bytes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileIdentity {
    /// Digest, where metadata or a copy told it.
    pub sha256: Option<Sha256>,
    /// Size.
    pub size_bytes: Option<u64>,
}

impl FileIdentity {
    /// True if these are surely not the same bytes. Without two digests the sizes have to do.
    pub(crate) fn differs(self, other: Self) -> bool {
        match (self.sha256, other.sha256) {
            (Some(a), Some(b)) => a != b,
            _ => matches!((self.size_bytes, other.size_bytes), (Some(a), Some(b)) if a != b),
        }
    }
}

/// A package that was offered with other bytes than it is known with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Repository that offered it.
    pub repository: RepositoryKey,
    /// The package, as `name-[epoch:]version[-release].arch`.
    pub package: String,
    /// Path of the offered file below the mirror's base.
    pub location: String,
    /// What happened.
    pub kind: IncidentKind,
    /// The file that the index has.
    pub known: FileIdentity,
    /// The file that was not taken.
    pub offered: FileIdentity,
    /// What a comparison of the two files gave; none before there was one.
    pub finding: Option<String>,
    /// When the package was offered first with these bytes or others than the known ones.
    pub first_seen: Timestamp,
    /// When it was last.
    pub last_seen: Timestamp,
}

impl Incident {
    /// An incident of this moment.
    #[must_use]
    pub fn new(
        repository: RepositoryKey,
        package: String,
        location: String,
        known: FileIdentity,
        offered: FileIdentity,
    ) -> Self {
        let now = Timestamp::now();
        let (kind, finding) = (IncidentKind::Changed, None);
        Self { repository, package, location, kind, known, offered, finding, first_seen: now, last_seen: now }
    }
}

impl fmt::Display for FileIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sha256, self.size_bytes) {
            (Some(sha256), Some(bytes)) => write!(f, "sha256 {sha256}, {bytes} bytes"),
            (Some(sha256), None) => write!(f, "sha256 {sha256}"),
            (None, Some(bytes)) => write!(f, "{bytes} bytes"),
            (None, None) => f.write_str("unknown bytes"),
        }
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, location, kind, known, offered, finding, .. } = self;
        write!(f, "{package} was {}: {location} is offered with {offered}; known is {known}", kind.as_str())?;
        finding.as_ref().map_or(Ok(()), |finding| write!(f, "; {finding}"))
    }
}

impl Store {
    /// The incidents of a repository, the latest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn incidents(&self, repository: RepositoryKey) -> Result<Vec<Incident>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM incidents WHERE repository_id = $1 ORDER BY last_seen_at DESC, package, location",
        )
        .bind(repository.0)
        .fetch_all(&self.database.pool)
        .await
        .map_err(StoreError::database("list the incidents"))?;
        rows.iter().map(read_incident).collect()
    }

    /// Keeps an incident, or what was found out about one that is kept already. Beyond 10,000 for a repository nothing is
    /// kept.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn record_incident(&self, incident: &Incident) -> Result<(), StoreError> {
        const ACTION: &str = "note an incident";
        let mut transaction = self.database.begin(ACTION).await?;
        let mut incidents = [incident.clone()];
        record(&mut transaction, incident.repository, &mut incidents).await?;
        transaction.commit().await.map_err(StoreError::database(ACTION))
    }
}

/// Keeps these incidents of one repository. Of what is kept already with the same bytes, kind, finding and first time are
/// taken over where nothing new was found.
pub(crate) async fn record(
    transaction: &mut Transaction<'_, Any>,
    repository: RepositoryKey,
    incidents: &mut [Incident],
) -> Result<(), StoreError> {
    const ACTION: &str = "note an incident";
    // A finding is of two files: it ends when another one is offered.
    const STATEMENT: &str = "INSERT INTO incidents (repository_id, package, location, kind, known_sha256, known_bytes,
            offered_sha256, offered_bytes, finding, first_seen_at, last_seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (repository_id, package, location) DO UPDATE SET
            kind = CASE WHEN excluded.finding IS NULL AND incidents.finding IS NOT NULL
                AND coalesce(incidents.offered_sha256, '') = coalesce(excluded.offered_sha256, '')
                AND coalesce(incidents.offered_bytes, -1) = coalesce(excluded.offered_bytes, -1)
                THEN incidents.kind ELSE excluded.kind END,
            finding = CASE WHEN excluded.finding IS NULL
                AND coalesce(incidents.offered_sha256, '') = coalesce(excluded.offered_sha256, '')
                AND coalesce(incidents.offered_bytes, -1) = coalesce(excluded.offered_bytes, -1)
                THEN incidents.finding ELSE excluded.finding END,
            known_sha256 = excluded.known_sha256, known_bytes = excluded.known_bytes,
            offered_sha256 = excluded.offered_sha256, offered_bytes = excluded.offered_bytes,
            last_seen_at = excluded.last_seen_at
        RETURNING *";
    if incidents.is_empty() {
        return Ok(());
    }
    let failed = StoreError::database;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM incidents WHERE repository_id = $1")
        .bind(repository.0)
        .fetch_one(&mut **transaction)
        .await
        .map_err(failed(ACTION))?;
    let room = MAX_INCIDENTS.saturating_sub(usize::try_from(count).unwrap_or(MAX_INCIDENTS));
    for incident in incidents.iter_mut().take(room) {
        let text = |sha256: Option<Sha256>| sha256.map(|sha256| sha256.to_string());
        let row = sqlx::query(STATEMENT)
            .bind(repository.0)
            .bind(&incident.package)
            .bind(&incident.location)
            .bind(incident.kind.as_str())
            .bind(text(incident.known.sha256))
            .bind(incident.known.size_bytes.map(rows::size_to_row))
            .bind(text(incident.offered.sha256))
            .bind(incident.offered.size_bytes.map(rows::size_to_row))
            .bind(&incident.finding)
            .bind(incident.first_seen.as_millisecond())
            .bind(incident.last_seen.as_millisecond())
            .fetch_one(&mut **transaction)
            .await
            .map_err(failed(ACTION))?;
        *incident = read_incident(&row)?;
    }
    Ok(())
}

fn read_incident(row: &AnyRow) -> Result<Incident, StoreError> {
    let kind: String = row.get("kind");
    let found = [IncidentKind::Changed, IncidentKind::Resigned].into_iter().find(|known| known.as_str() == kind);
    let identity = |sha256: &str, bytes: &str| {
        let sha256: Option<String> = row.get(sha256);
        let bytes: Option<i64> = row.get(bytes);
        let sha256 =
            sha256.map(|text| text.parse().map_err(|_| StoreError::invalid("digest", text.as_str()))).transpose()?;
        Ok::<_, StoreError>(FileIdentity { sha256, size_bytes: bytes.map(rows::size_from_row).transpose()? })
    };
    Ok(Incident {
        repository: RepositoryKey(row.get("repository_id")),
        package: row.get("package"),
        location: row.get("location"),
        kind: found.ok_or_else(|| StoreError::invalid("kind", &kind))?,
        known: identity("known_sha256", "known_bytes")?,
        offered: identity("offered_sha256", "offered_bytes")?,
        finding: row.get("finding"),
        first_seen: rows::timestamp(row.get("first_seen_at"))?,
        last_seen: rows::timestamp(row.get("last_seen_at"))?,
    })
}
