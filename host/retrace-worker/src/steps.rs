//! What a retrace says of its progress, on its way into the store: bounded, and without making the retrace wait.

use std::sync::{Mutex, PoisonError};

use retrace_store::{MAX_STEPS, Step};
use retrace_types::TaskStatus;
use tokio::sync::watch;

/// Takes down each step; whoever keeps the lease writes them into the store from time to time.
pub(crate) struct Steps {
    status: watch::Sender<TaskStatus>,
    said: watch::Sender<()>,
    attempt: u32,
    steps: Mutex<Vec<Step>>,
}

/// Tells that something is to be written.
pub(crate) struct News {
    pub(crate) statuses: watch::Receiver<TaskStatus>,
    pub(crate) said: watch::Receiver<()>,
}

impl Steps {
    /// `known` are the steps of earlier tries: numbers go on behind them.
    pub(crate) fn new(attempt: u32, known: Vec<Step>) -> (Self, News) {
        let (status, statuses) = watch::channel(TaskStatus::Analyze);
        let (sender, said) = watch::channel(());
        (Self { status, said: sender, attempt, steps: Mutex::new(known) }, News { statuses, said })
    }

    /// Where the task is.
    pub(crate) fn status_now(&self) -> TaskStatus {
        *self.status.borrow()
    }

    /// All that is worth keeping.
    pub(crate) fn now(&self) -> Vec<Step> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the task is now.
    pub(crate) fn status(&self, status: TaskStatus) {
        self.status.send_if_modified(|last| std::mem::replace(last, status) != status);
    }

    /// A new step begins.
    pub(crate) fn step(&self, message: &str) {
        tracing::debug!("{message}");
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let number = steps.last().map_or(1, |last| last.number.saturating_add(1));
        steps.push(Step::new(number, self.attempt, message));
        let surplus = steps.len().saturating_sub(MAX_STEPS);
        steps.drain(..surplus);
        drop(steps);
        self.said.send_replace(());
    }

    /// Of the file that is on its way, `done` bytes of `total` are here.
    pub(crate) fn bytes(&self, done: u64, total: Option<u64>) {
        let Some(percent) = total.and_then(|total| done.saturating_mul(100).checked_div(total)) else { return };
        let percent = u8::try_from(percent.min(100)).unwrap_or(100);
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = steps.last_mut().filter(|last| last.percent != Some(percent)) {
            last.percent = Some(percent);
            drop(steps);
            self.said.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_over_all_tries_and_bounded() {
        let (steps, _news) = Steps::new(2, vec![Step::new(7, 1, "Reading the core")]);
        for _ in 0..MAX_STEPS * 2 {
            steps.step("Unpacking");
        }
        let kept = steps.now();
        assert_eq!((kept.len(), kept.last().unwrap().number), (MAX_STEPS, 7 + 2 * MAX_STEPS as u64));
        assert_eq!(kept.last().unwrap().attempt, 2);
    }

    #[test]
    fn bytes_become_percent_of_the_last_step() {
        let (steps, mut news) = Steps::new(1, Vec::new());
        steps.bytes(1, Some(2));
        steps.step("Fetching");
        news.said.mark_unchanged();
        for (done, total, want) in
            [(1, Some(4), Some(25)), (9, Some(4), Some(100)), (5, None, Some(100)), (0, Some(0), Some(100))]
        {
            steps.bytes(done, total);
            assert_eq!(steps.now().last().unwrap().percent, want);
        }
        assert!(news.said.has_changed().unwrap());
    }
}
