//! When another server is asked, and when it is left alone.

use std::time::{Duration, Instant};

/// Failures in a row after which a server is left alone: one may be chance.
const MAX_FAILURES: u32 = 3;

/// What a server did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It gave another file than it was asked for, or one without end: once is enough.
    Lie,
    /// It failed, or was too slow.
    Failure,
}

#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    denied_until: Option<Instant>,
}

impl Health {
    pub(super) fn may_ask(&self, now: Instant) -> bool {
        self.denied_until.is_none_or(|until| now >= until)
    }

    /// Notes how a request ended; a fault may keep the server from being asked for `deny`.
    pub(super) fn note(&mut self, fault: Option<Fault>, now: Instant, deny: Duration) {
        let failures = match fault {
            None => 0,
            Some(Fault::Failure) => self.failures.saturating_add(1),
            Some(Fault::Lie) => MAX_FAILURES,
        };
        // After the time is over one more failure is enough: the count stays.
        self.failures = failures.min(MAX_FAILURES);
        self.denied_until = if failures >= MAX_FAILURES { now.checked_add(deny) } else { None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_left_alone_after_a_lie_or_three_failures() {
        const DENY: Duration = Duration::from_secs(600);
        let start = Instant::now();
        let mut health = Health::default();
        for fault in [Some(Fault::Failure), Some(Fault::Failure), None, Some(Fault::Failure), Some(Fault::Failure)] {
            health.note(fault, start, DENY);
            assert!(health.may_ask(start));
        }
        health.note(Some(Fault::Failure), start, DENY);
        assert!(!health.may_ask(start) && !health.may_ask(start + DENY / 2));
        assert!(health.may_ask(start + DENY));
        health.note(Some(Fault::Failure), start + DENY, DENY);
        assert!(!health.may_ask(start + DENY), "it has not mended its ways");
        health.note(None, start + DENY * 2, DENY);
        assert!(health.may_ask(start + DENY * 2));
        health.note(Some(Fault::Lie), start, DENY);
        assert!(!health.may_ask(start));
    }
}
