//! Memory of mirrors that failed: they are left alone for a while. It lives as long as the process.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::MirrorError;

/// Rest after the first failure; doubled for each one after it.
const FIRST_REST: Duration = Duration::from_secs(30);
/// Longest rest that is our own idea.
const LONGEST_REST: Duration = Duration::from_secs(15 * 60);
/// Longest rest that a server may wish.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 60 * 60);
/// Most servers that are remembered.
const MAX_SERVERS: usize = 4096;

/// Which servers failed, and until when they rest.
#[derive(Debug, Default)]
pub(crate) struct Health {
    ailing: HashMap<String, Ailing>,
}

#[derive(Debug)]
struct Ailing {
    failures: u32,
    until: Instant,
    rest: Rest,
}

/// Why a server is left alone, and how long still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) left: Duration,
    pub(crate) reason: String,
    /// The server asked for it (`Retry-After`): it is not to be asked before.
    pub(crate) is_wish: bool,
}

impl Health {
    /// Whether a server rests now.
    pub(crate) fn rest(&self, server: &str, now: Instant) -> Option<Rest> {
        let ailing = self.ailing.get(server)?;
        let left = ailing.until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(Rest { left, ..ailing.rest.clone() })
    }

    /// A server gave what it was asked for: what was before is forgotten.
    pub(crate) fn answered(&mut self, server: &str) {
        self.ailing.remove(server);
    }

    /// Notes a failure, if it is the server's and not that of one file.
    pub(crate) fn failed(&mut self, server: &str, error: &MirrorError, now: Instant) {
        let Some(wish) = blame(error) else { return };
        if self.ailing.len() >= MAX_SERVERS {
            self.ailing.retain(|_, ailing| ailing.until > now);
        }
        if self.ailing.len() >= MAX_SERVERS && !self.ailing.contains_key(server) {
            return;
        }
        let failures = self.ailing.get(server).map_or(0, |ailing| ailing.failures).saturating_add(1);
        let doubled = FIRST_REST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)));
        let own = doubled.min(LONGEST_REST);
        let left = wish.map_or(own, |wish| wish.min(LONGEST_WISH));
        let rest = Rest { left, reason: crate::error::chain(error), is_wish: wish.is_some() };
        self.ailing.insert(server.to_owned(), Ailing { failures, until: now + left, rest });
    }
}

/// Whether the server is to blame, and the pause that it asked for.
fn blame(error: &MirrorError) -> Option<Option<Duration>> {
    match error {
        MirrorError::Status { status: 429 | 500..=599, retry_after_seconds, .. } => {
            Some(retry_after_seconds.map(Duration::from_secs))
        }
        MirrorError::Http { source, .. } => (!source.is_redirect() && !source.is_builder()).then_some(None),
        MirrorError::Transport { passes: true, .. } | MirrorError::TooSlow { .. } => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after_seconds: Option<u64>) -> MirrorError {
        MirrorError::Status { url: "http://h/x".into(), status, retry_after_seconds }
    }

    #[test]
    fn rests_grow_end_and_are_forgotten_after_an_answer() {
        let (mut health, start) = (Health::default(), Instant::now());
        let seconds = |n| start + Duration::from_secs(n);
        assert_eq!(health.rest("h", start), None);
        health.failed("h", &status(503, None), start);
        let rest = health.rest("h", start).unwrap();
        assert_eq!((rest.left, rest.is_wish), (FIRST_REST, false));
        assert!(rest.reason.contains("503"), "{rest:?}");
        assert_eq!(health.rest("h", seconds(10)).unwrap().left, Duration::from_secs(20));
        assert_eq!(health.rest("h", seconds(30)), None);
        health.failed("h", &status(503, None), seconds(30));
        assert_eq!(health.rest("h", seconds(30)).unwrap().left, FIRST_REST * 2);
        for _ in 0..100 {
            health.failed("h", &status(503, None), start);
        }
        assert_eq!(health.rest("h", start).unwrap().left, LONGEST_REST);
        health.answered("h");
        assert_eq!(health.rest("h", start), None);
    }

    #[test]
    fn the_servers_wish_counts_within_a_day() {
        let (mut health, start) = (Health::default(), Instant::now());
        health.failed("h", &status(429, Some(3600)), start);
        let rest = health.rest("h", start).unwrap();
        assert_eq!((rest.left, rest.is_wish), (Duration::from_secs(3600), true));
        health.failed("h", &status(503, Some(u64::MAX)), start);
        assert_eq!(health.rest("h", start).unwrap().left, LONGEST_WISH);
    }

    #[test]
    fn a_missing_or_wrong_file_is_not_the_servers_illness_and_memory_is_bounded() {
        let (mut health, start) = (Health::default(), Instant::now());
        health.failed("h", &MirrorError::NotFound { url: "x".into() }, start);
        health.failed("h", &status(404, Some(60)), start);
        assert_eq!(health.rest("h", start), None);
        for n in 0..2 * MAX_SERVERS {
            health.failed(&n.to_string(), &status(500, None), start);
        }
        assert_eq!(health.ailing.len(), MAX_SERVERS);
        health.failed("new", &status(500, None), start + FIRST_REST);
        assert_eq!(health.ailing.len(), 1, "those that rest no more make room");
    }
}
