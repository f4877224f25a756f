//! What a worker says while it works on a task: a few lines, for who watches.

use jiff::Timestamp;
use retrace_types::TaskId;
use serde::{Deserialize, Serialize};

use crate::{Lease, Store, StoreError, rows, tasks::id_to_row};

/// Most steps that are kept of a task; older ones are forgotten.
pub const MAX_STEPS: usize = 64;

/// Longest text of a step, in bytes.
const MAX_STEP_BYTES: usize = 300;

/// Something that a worker began to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Counts the steps of a task, over all tries.
    pub number: u64,
    /// Which try it belongs to.
    pub attempt: u32,
    /// When it began, or was last heard of.
    pub at: Timestamp,
    /// What it is, in words.
    pub text: String,
    /// How much of it is done; none where that is not known.
    pub percent: Option<u8>,
}

impl Step {
    /// A step, its text made fit to be shown: one line, not too long.
    #[must_use]
    pub fn new(number: u64, attempt: u32, text: &str) -> Self {
        let mut shown = String::new();
        for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if shown.len() + c.len_utf8() > MAX_STEP_BYTES {
                break;
            }
            shown.push(c);
        }
        Self { number, attempt, at: Timestamp::now(), text: shown, percent: None }
    }
}

impl Store {
    /// Replaces what is known of a task's progress; of more than [`MAX_STEPS`] the last ones are kept.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], [`StoreError::Database`].
    pub async fn set_progress(&self, lease: &Lease, steps: &[Step]) -> Result<(), StoreError> {
        let steps = steps.get(steps.len().saturating_sub(MAX_STEPS)..).unwrap_or_default();
        let done = sqlx::query(
            "INSERT INTO task_progress (task_id, steps)
             SELECT id, $1 FROM tasks WHERE id = $2 AND lease_owner = $3 AND attempts = $4 AND finished_at IS NULL
             ON CONFLICT (task_id) DO UPDATE SET steps = excluded.steps",
        )
        .bind(rows::to_json(&steps))
        .bind(id_to_row(lease.task))
        .bind(&lease.owner)
        .bind(i64::from(lease.attempt))
        .execute(&self.database.pool)
        .await
        .map_err(StoreError::database("write a task's progress"))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease.task)) }
    }

    /// The last steps of a task, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::InvalidRow`].
    pub async fn progress(&self, task: TaskId) -> Result<Vec<Step>, StoreError> {
        let found: Result<Option<String>, _> = sqlx::query_scalar("SELECT steps FROM task_progress WHERE task_id = $1")
            .bind(id_to_row(task))
            .fetch_optional(&self.database.pool)
            .await;
        let found = found.map_err(StoreError::database("read a task's progress"))?;
        found.map_or(Ok(Vec::new()), |steps| rows::from_json("progress", &steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_one_short_line() {
        let step = Step::new(1, 1, &format!("a\nb\x1b{}", "ü".repeat(1000)));
        assert!(step.text.len() <= MAX_STEP_BYTES && step.text.starts_with("a b ü"), "{}", step.text);
    }
}
