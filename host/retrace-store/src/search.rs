//! Lists of tasks, the newest first, page by page.

use jiff::Timestamp;
use retrace_types::TaskId;
use sqlx::{AssertSqlSafe, Row as _};

use crate::{
    Known, Store, StoreError, Task, Term,
    findings::{read_known, to_ms},
    rows,
    tasks::{id_to_row, read_task},
};

const ACTION: &str = "list tasks";

/// Most terms of one search.
pub const MAX_TERMS: usize = 16;

/// How far the tasks with a term are counted, to begin with the rarest one.
const MAX_COUNT: i64 = 2000;

/// Which tasks are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskSearch {
    /// All of these; tasks that are not finished have none. At most [`MAX_TERMS`]: what is more does not count.
    pub terms: Vec<Term>,
    /// Where they are; none: anywhere.
    pub pending: Option<Pending>,
    /// Made at this time or later.
    pub since: Option<Timestamp>,
    /// Made before this time.
    pub until: Option<Timestamp>,
    /// The last task of the page before.
    pub after: Option<TaskPosition>,
}

/// Where tasks are that are not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Any of the others.
    Any,
    /// Being uploaded.
    Uploading,
    /// In the queue.
    Waiting,
    /// A worker has it.
    Running,
}

/// Where a task stands in the list, which new tasks do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskPosition {
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// The task.
    pub task: TaskId,
}

/// A task of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundTask {
    /// The task.
    pub task: Task,
    /// True if a worker has it.
    pub running: bool,
    /// What is known of it, if it is finished.
    pub known: Option<Known>,
}

impl FoundTask {
    /// Where the next page begins.
    #[must_use]
    pub fn position(&self) -> TaskPosition {
        TaskPosition { created_ms: to_ms(self.task.created_at), task: self.task.id }
    }
}

impl Store {
    /// At most `limit` tasks, the newest first. A page costs steps along an index; with several terms that are frequent each
    /// and rare together it costs a look-up for each task that has the rarest of them.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn find_tasks(&self, search: &TaskSearch, limit: u32) -> Result<Vec<FoundTask>, StoreError> {
        let mut terms: Vec<_> = search.terms.iter().take(MAX_TERMS).map(Term::to_row).collect();
        terms.sort_unstable();
        terms.dedup();
        self.rarest_first(&mut terms).await?;

        let now = rows::now_ms();
        let mut numbers = vec![now];
        let mut parameter = |number: i64| {
            numbers.push(number);
            format!("${}", numbers.len())
        };
        let mut conditions = Vec::new();
        // The columns that lead: those of the index that is walked.
        let (from, created_at, id) = match terms.split_first() {
            Some((first, others)) => {
                conditions.push(format!("d.term = {}", parameter(*first)));
                for other in others {
                    // As a value, not as EXISTS: PostgreSQL would join all tasks of the one with all of the other.
                    conditions.push(format!(
                        "(SELECT o.term FROM task_terms o WHERE o.term = {} AND o.created_at = d.created_at
                          AND o.task_id = d.task_id) IS NOT NULL",
                        parameter(*other)
                    ));
                }
                ("task_terms d CROSS JOIN tasks t", "d.created_at", "d.task_id")
            }
            None => ("tasks t", "t.created_at", "t.id"),
        };
        conditions.extend(search.pending.map(|pending| pending.condition().to_owned()));
        if let Some(since) = search.since {
            conditions.push(format!("{created_at} >= {}", parameter(to_ms(since))));
        }
        if let Some(until) = search.until {
            conditions.push(format!("{created_at} < {}", parameter(to_ms(until))));
        }
        if let Some(after) = search.after {
            let (created, task) = (parameter(after.created_ms), parameter(id_to_row(after.task)));
            conditions.push(format!("({created_at}, {id}) < ({created}, {task})"));
        }
        if !terms.is_empty() {
            // One that was started again still has the terms of before.
            conditions.push("t.id = d.task_id AND t.finished_at IS NOT NULL".to_owned());
        }
        let limit = parameter(limit.into());
        let condition = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
        let statement = format!(
            "SELECT t.*, f.*, CAST(CASE WHEN t.finished_at IS NULL AND t.submitted_at IS NOT NULL
                 AND t.lease_expires_at > $1 THEN 1 ELSE 0 END AS BIGINT) AS running
             FROM {from} LEFT JOIN findings f ON f.task_id = t.id WHERE {condition}
             ORDER BY {created_at} DESC, {id} DESC LIMIT {limit}"
        );
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for number in numbers {
            query = query.bind(number);
        }
        let found = query.fetch_all(&self.database.pool).await.map_err(StoreError::database(ACTION))?;
        let read = |row: &sqlx::any::AnyRow| {
            let task = read_task(row)?;
            let is_known = task.finished_at.is_some() && row.get::<Option<i64>, _>("task_id").is_some();
            let known = is_known.then(|| read_known(row)).transpose()?;
            Ok(FoundTask { running: row.get::<i64, _>("running") != 0, known, task })
        };
        found.iter().map(read).collect()
    }

    /// Brings the term with the fewest tasks to the front: the others are looked up for each of its tasks.
    async fn rarest_first(&self, terms: &mut [i64]) -> Result<(), StoreError> {
        if terms.len() < 2 {
            return Ok(());
        }
        let mut rarest = (i64::MAX, 0);
        for (index, term) in terms.iter().enumerate() {
            let count = sqlx::query_scalar(
                "SELECT count(*) FROM (SELECT 1 AS one FROM task_terms WHERE term = $1 LIMIT $2) counted",
            )
            .bind(*term)
            .bind(MAX_COUNT)
            .fetch_one(&self.database.pool)
            .await;
            let count: i64 = count.map_err(StoreError::database(ACTION))?;
            rarest = rarest.min((count, index));
        }
        terms.swap(0, rarest.1);
        Ok(())
    }
}

impl Pending {
    /// `$1` is now.
    fn condition(self) -> &'static str {
        match self {
            Self::Any => "t.finished_at IS NULL",
            Self::Uploading => "t.finished_at IS NULL AND t.submitted_at IS NULL",
            Self::Waiting => {
                "t.finished_at IS NULL AND t.submitted_at IS NOT NULL
                 AND (t.lease_expires_at IS NULL OR t.lease_expires_at <= $1)"
            }
            Self::Running => "t.finished_at IS NULL AND t.submitted_at IS NOT NULL AND t.lease_expires_at > $1",
        }
    }
}

#[cfg(test)]
mod tests;
