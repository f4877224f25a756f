//! What one server process remembers of those who ask: how much, how often wrongly, and what is under way.
//!
//! In memory: each server counts for itself, and forgets when it starts anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::{ApiOptions, tasks::ActiveUploads};

/// Most senders that are told apart; beyond that, new ones share one count.
const MAX_SENDERS: usize = 50_000;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The state of the API in this process.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) requests: Counter,
    pub(crate) submits: Counter,
    failures: Counter,
    pub(crate) uploads: ActiveUploads,
    /// Places for streams of events.
    pub(crate) streams: Arc<Semaphore>,
}

impl Guard {
    pub(crate) fn new(options: &ApiOptions) -> Self {
        Self {
            requests: Counter::default(),
            submits: Counter::default(),
            failures: Counter::default(),
            uploads: ActiveUploads::default(),
            streams: Arc::new(Semaphore::new(options.max_event_streams)),
        }
    }

    /// # Errors
    /// Too many wrong tokens and passwords came from this network: how long to wait before another is looked at.
    pub(crate) fn check_failures(&self, network: &str, options: &ApiOptions) -> Result<(), Duration> {
        self.failures.check(network, failures(options))
    }

    /// Counts and logs a wrong token or password.
    pub(crate) fn count_failure(&self, network: &str, options: &ApiOptions) {
        tracing::info!(network, "a wrong token or password");
        metrics::counter!("retrace_wrong_credentials_total").increment(1);
        // Counted in vain: the next one is not looked at anyway.
        let _ = self.failures.take(network, failures(options));
    }
}

fn failures(options: &ApiOptions) -> Quota {
    Quota { amount: options.failures_per_minute, window: MINUTE }
}

/// So many in a time, refilled steadily.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) amount: u32,
    pub(crate) window: Duration,
}

/// What is left of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) amount: u64,
    /// Until all of it is there again.
    pub(crate) full_in: Duration,
}

/// Counts against a quota for each sender: a token bucket, kept as the time at which the bucket will be full again.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    full_at: Mutex<HashMap<String, Instant>>,
}

impl Counter {
    /// Takes one, or says how long to wait for it.
    pub(crate) fn take(&self, sender: &str, quota: Quota) -> Result<Left, Duration> {
        self.take_at(sender, quota, Instant::now())
    }

    /// Whether one could be taken.
    pub(crate) fn check(&self, sender: &str, quota: Quota) -> Result<(), Duration> {
        let (now, map) = (Instant::now(), self.full_at.lock().unwrap_or_else(PoisonError::into_inner));
        let full_at = map.get(sender).copied().unwrap_or(now);
        after_one_more(full_at, quota, now).map(|_| ())
    }

    fn take_at(&self, sender: &str, quota: Quota, now: Instant) -> Result<Left, Duration> {
        let mut map = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= MAX_SENDERS && !map.contains_key(sender) {
            map.retain(|_, full_at| *full_at > now);
        }
        let known = map.len() < MAX_SENDERS || map.contains_key(sender);
        let sender = if known { sender } else { "" };
        let full_at = map.get(sender).copied().unwrap_or(now);
        let full_at = after_one_more(full_at, quota, now)?;
        map.insert(sender.to_owned(), full_at);
        let full_in = full_at.saturating_duration_since(now);
        let step = step(quota).as_nanos().max(1);
        let left = quota.window.saturating_sub(full_in).as_nanos() / step;
        Ok(Left { amount: u64::try_from(left).unwrap_or(u64::MAX), full_in })
    }
}

/// Time in which one comes back.
fn step(quota: Quota) -> Duration {
    quota.window.checked_div(quota.amount).unwrap_or(Duration::MAX)
}

fn after_one_more(full_at: Instant, quota: Quota, now: Instant) -> Result<Instant, Duration> {
    let missing = full_at.saturating_duration_since(now).checked_add(step(quota));
    let Some(missing) = missing.filter(|_| quota.amount > 0) else { return Err(quota.window) };
    match missing.checked_sub(quota.window) {
        Some(wait) if !wait.is_zero() => Err(wait),
        _ => Ok(now + missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { amount: 3, window: Duration::from_secs(60) };

    #[test]
    fn a_quota_is_spent_and_comes_back_steadily() {
        let (counter, start) = (Counter::default(), Instant::now());
        let left = |seconds| counter.take_at("a", QUOTA, start + Duration::from_secs(seconds)).map(|left| left.amount);
        assert_eq!([left(0), left(0), left(0)], [Ok(2), Ok(1), Ok(0)]);
        assert_eq!(left(0), Err(Duration::from_secs(20)));
        assert_eq!(left(15), Err(Duration::from_secs(5)), "asking in vain costs nothing");
        assert_eq!(left(20), Ok(0));
        assert_eq!(left(3600), Ok(2), "never more than the quota");
        assert!(counter.take_at("b", QUOTA, start).is_ok(), "each sender has its own");
    }

    #[test]
    fn nothing_is_allowed_where_the_quota_is_nothing() {
        let none = Quota { amount: 0, window: MINUTE };
        assert_eq!(Counter::default().take("a", none), Err(MINUTE));
        assert_eq!(Counter::default().check("a", none), Err(MINUTE));
    }

    #[test]
    fn senders_that_never_end_take_bounded_memory() {
        let (counter, now) = (Counter::default(), Instant::now());
        for number in 0..MAX_SENDERS + 10 {
            let _ = counter.take_at(&number.to_string(), QUOTA, now);
        }
        assert!(counter.full_at.lock().unwrap().len() <= MAX_SENDERS + 1);
        assert!(counter.take_at("another", QUOTA, now).is_err(), "the late ones share one count");
        assert!(counter.take_at("another", QUOTA, now + MINUTE).is_ok());
    }
}
