//! What is known about a finished task, written in the transaction that finishes it: exactly once, and never without it.

use jiff::Timestamp;
use retrace_types::{
    Architecture, BuildId, CrashSignature, FailureReason, FunctionSignature, PackageId, ReleaseId, Role,
    SIGNATURE_SCHEMA, Sha256, StepTiming, TaskId,
};
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction, any::AnyRow};

use crate::{
    Outcome, Store, StoreError,
    database::Dialect,
    groups,
    repositories::{read_architecture, read_release},
    rows, statistics,
    tasks::id_to_row,
    terms,
};

const ACTION: &str = "note what is known about a task";

/// Most bytes of a text that came from a client or a core.
const MAX_TEXT_BYTES: usize = 512;

/// What is known about a finished task. Texts over 512 bytes are cut.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finding {
    /// Release that the packages were taken from.
    pub release: Option<ReleaseId>,
    /// Architecture of the process.
    pub architecture: Option<Architecture>,
    /// Package of the program: `name-[epoch:]version[-release].arch` where the build-id told it, else what the client said.
    pub package: Option<String>,
    /// The package that the build-id told.
    pub package_id: Option<PackageId>,
    /// Path of the program.
    pub executable: Option<String>,
    /// Name of the signal.
    pub signal: Option<String>,
    /// Why the task failed; none if it did not.
    pub reason: Option<FailureReason>,
    /// Signatures of the crashed thread.
    pub signature: Option<CrashSignature>,
    /// The result was taken from the group of another crash.
    pub from_group: bool,
    /// How long each step took.
    pub steps: Vec<StepTiming>,
    /// What no package was found for.
    pub missing: Vec<MissingBuildId>,
    /// Packages that files were taken from: name and version.
    pub required: Vec<(String, String)>,
    /// A result that answers the next crash that looks the same.
    pub answer: Option<Answer>,
}

/// A file that no package was found for, or whose debug information none was found for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingBuildId {
    /// Its build-id.
    pub build_id: BuildId,
    /// The file, or its debug information.
    pub role: Role,
    /// Its path in the process.
    pub path: String,
}

/// The names of a kept result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the crash looks like before its stack is walked; none if that is not certain enough.
    pub fingerprint: Option<Sha256>,
    /// Its whole stack: the name of the result.
    pub stack: Sha256,
}

/// What is known about a task that was finished, as it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Release that the packages were taken from.
    pub release: Option<ReleaseId>,
    /// Architecture of the process.
    pub architecture: Option<Architecture>,
    /// Package of the program.
    pub package: Option<String>,
    /// Path of the program.
    pub executable: Option<String>,
    /// Name of the signal.
    pub signal: Option<String>,
    /// Why the task failed.
    pub reason: Option<FailureReason>,
    /// Signatures.
    pub signature: CrashSignature,
    /// Its group.
    pub group: Option<Sha256>,
    /// The result was taken from the group.
    pub from_group: bool,
    /// From the first lease to the end, in milliseconds.
    pub duration_ms: Option<u64>,
    /// How long each step took.
    pub steps: Vec<StepTiming>,
}

impl Finding {
    /// Nothing is known but why the task failed.
    #[must_use]
    pub fn failure(reason: FailureReason) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }

    /// Name of the package.
    #[must_use]
    pub fn package_name(&self) -> Option<&str> {
        self.package_id.as_ref().map(|id| id.name.as_str()).or_else(|| self.package.as_deref().map(name_of_nvr))
    }

    /// Texts within their limit and without what a database refuses.
    fn tidied(&self) -> Self {
        let tidy = |text: &Option<String>| text.as_deref().map(tidy).filter(|text| !text.is_empty());
        Self {
            package: tidy(&self.package),
            executable: tidy(&self.executable),
            signal: tidy(&self.signal),
            ..self.clone()
        }
    }
}

/// The name in `name-version-release`: what stands before the second last dash that a digit follows.
fn name_of_nvr(nvr: &str) -> &str {
    let mut parts = nvr.rsplitn(3, '-');
    let (_release, version, name) = (parts.next(), parts.next(), parts.next());
    match (name, version) {
        (Some(name), Some(version)) if version.contains(|c: char| c.is_ascii_digit()) => name,
        _ => nvr,
    }
}

/// At most [`MAX_TEXT_BYTES`], no control characters.
pub(crate) fn tidy(text: &str) -> String {
    let mut tidied: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT_BYTES).collect();
    while tidied.len() > MAX_TEXT_BYTES {
        tidied.pop();
    }
    tidied
}

impl Store {
    /// What is known about a finished task; none if it is not finished, or from before this was noted.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn known(&self, task: TaskId) -> Result<Option<Known>, StoreError> {
        let found = sqlx::query("SELECT * FROM findings WHERE task_id = $1")
            .bind(id_to_row(task))
            .fetch_optional(&self.database.pool)
            .await;
        found.map_err(StoreError::database("read what is known about a task"))?.as_ref().map(read_known).transpose()
    }
}

/// Notes what is known about a task that the transaction has just finished.
pub(crate) async fn record(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    task: TaskId,
    outcome: &Outcome,
    finding: &Finding,
) -> Result<(), StoreError> {
    let failed = || StoreError::database(ACTION);
    let mut finding = finding.tidied();
    let message = match outcome {
        Outcome::Success => None,
        Outcome::Failure { message } => {
            finding.reason = finding.reason.or(Some(FailureReason::Internal));
            Some(message.as_str())
        }
    };
    let row = sqlx::query("SELECT created_at, started_at, finished_at FROM tasks WHERE id = $1")
        .bind(id_to_row(task))
        .fetch_one(&mut **transaction)
        .await
        .map_err(failed())?;
    let times = Times {
        created_at: row.get(0),
        started_at: row.get(1),
        finished_at: row.get::<Option<i64>, _>(2).unwrap_or_else(rows::now_ms),
    };
    let functions = finding.signature.as_ref().and_then(|signature| signature.functions.as_ref());
    let addresses = finding.signature.as_ref().and_then(|signature| signature.addresses);
    let group = finding.signature.as_ref().and_then(CrashSignature::group);
    let before = forget_earlier(transaction, task).await?;
    sqlx::query(
        "INSERT INTO findings (task_id, release, architecture, package, executable, signal, reason, addresses, functions,
             frames, group_id, from_group, duration_ms, steps)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(id_to_row(task))
    .bind(finding.release.as_ref().map(ToString::to_string))
    .bind(finding.architecture.map(Architecture::as_str))
    .bind(finding.package.as_deref())
    .bind(finding.executable.as_deref())
    .bind(finding.signal.as_deref())
    .bind(finding.reason.map(FailureReason::as_str))
    .bind(addresses.as_ref().map(bytes))
    .bind(functions.map(|functions| bytes(&functions.digest)))
    .bind(rows::to_json(&functions.map(|functions| functions.frames.as_slice()).unwrap_or_default()))
    .bind(group.as_ref().map(bytes))
    .bind(i64::from(finding.from_group))
    .bind(times.duration_ms())
    .bind(rows::to_json(&finding.steps))
    .execute(&mut **transaction)
    .await
    .map_err(failed())?;
    insert_terms(transaction, dialect, task, &times, &finding, message).await?;
    if let Some(group) = &group {
        let is_new = before.as_ref().is_none_or(|earlier| earlier.as_deref() != Some(bytes(group)));
        groups::count(transaction, group, &finding, times.finished_at, is_new).await?;
    }
    match before {
        // It was counted when it was finished first.
        Some(_) => Ok(()),
        None => statistics::count(transaction, &finding, &times).await,
    }
}

/// Of a task that was finished before and started again: forgets what was known, and gives its group. None if this is the
/// first time.
async fn forget_earlier(
    transaction: &mut Transaction<'_, Any>,
    task: TaskId,
) -> Result<Option<Option<Vec<u8>>>, StoreError> {
    let earlier = sqlx::query("DELETE FROM findings WHERE task_id = $1 RETURNING group_id")
        .bind(id_to_row(task))
        .fetch_optional(&mut **transaction)
        .await
        .map_err(StoreError::database(ACTION))?;
    if earlier.is_some() {
        sqlx::query("DELETE FROM task_terms WHERE task_id = $1")
            .bind(id_to_row(task))
            .execute(&mut **transaction)
            .await
            .map_err(StoreError::database(ACTION))?;
    }
    Ok(earlier.map(|row| row.get(0)))
}

/// When a task was made, first leased and finished.
pub(crate) struct Times {
    pub(crate) created_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: i64,
}

impl Times {
    pub(crate) fn duration_ms(&self) -> Option<i64> {
        self.started_at.map(|started| self.finished_at.saturating_sub(started).max(0))
    }
}

async fn insert_terms(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    task: TaskId,
    times: &Times,
    finding: &Finding,
    message: Option<&str>,
) -> Result<(), StoreError> {
    let terms = terms::of_finding(finding, message);
    let statement =
        format!("INSERT INTO task_terms (term, created_at, task_id) VALUES {}", dialect.values(terms.len(), 3));
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for term in terms {
        query = query.bind(term).bind(times.created_at).bind(id_to_row(task));
    }
    query.execute(&mut **transaction).await.map(drop).map_err(StoreError::database(ACTION))
}

pub(crate) fn bytes(digest: &Sha256) -> &[u8] {
    digest.as_bytes().as_slice()
}

/// Reads the columns of the table `findings`.
pub(crate) fn read_known(row: &AnyRow) -> Result<Known, StoreError> {
    let text = |column: &'static str| row.get::<Option<String>, _>(column);
    let digest = |column: &'static str| row.get::<Option<Vec<u8>>, _>(column).as_deref().map(rows::digest).transpose();
    let reason = |name: String| FailureReason::from_name(&name).ok_or_else(|| StoreError::invalid("reason", name));
    let frames = rows::from_json("frames", row.get("frames"))?;
    let functions = digest("functions")?.map(|digest| FunctionSignature { digest, frames });
    Ok(Known {
        release: text("release").as_deref().map(read_release).transpose()?,
        architecture: text("architecture").as_deref().map(read_architecture).transpose()?,
        package: text("package"),
        executable: text("executable"),
        signal: text("signal"),
        reason: text("reason").map(reason).transpose()?,
        signature: CrashSignature { schema: SIGNATURE_SCHEMA.to_owned(), addresses: digest("addresses")?, functions },
        group: digest("group_id")?,
        from_group: row.get::<i64, _>("from_group") != 0,
        duration_ms: row.get::<Option<i64>, _>("duration_ms").map(rows::size_from_row).transpose()?,
        steps: rows::from_json("steps", row.get("steps"))?,
    })
}

/// Milliseconds since the epoch of a time.
pub(crate) fn to_ms(time: Timestamp) -> i64 {
    time.as_millisecond()
}

#[cfg(test)]
pub(crate) mod tests;
