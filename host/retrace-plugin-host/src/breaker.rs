//! Leaves a plugin alone that fails again and again, so that every job does not pay its deadline anew.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::Limits;

/// Counts the failures of one plugin. Pure: the caller brings the time.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: VecDeque<Instant>,
    /// Until when the plugin is left alone, and for how long that is.
    open: Option<(Instant, Duration)>,
    trips: u64,
}

impl Breaker {
    /// How long the plugin is still left alone; none if it may be asked.
    pub(crate) fn pause(&self, now: Instant) -> Option<Duration> {
        let (until, _) = self.open?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// How often it was degraded so far.
    pub(crate) fn trips(&self) -> u64 {
        self.trips
    }

    /// Takes note of a failure; true if it degrades the plugin.
    pub(crate) fn failed(&mut self, now: Instant, limits: &Limits) -> bool {
        if self.pause(now).is_some() {
            return false; // a call that began before
        }
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|first| now.duration_since(*first) > limits.breaker_window) {
            self.failures.pop_front();
        }
        let limit = usize::try_from(limits.breaker_failures.max(1)).unwrap_or(usize::MAX);
        if self.failures.len() < limit {
            return false;
        }
        self.failures.clear();
        // A plugin that did well for as long as it was left alone starts anew.
        let last = self.open.filter(|(until, pause)| now.saturating_duration_since(*until) < *pause);
        let pause = last.map_or(limits.breaker_pause, |(_, pause)| pause.saturating_mul(2));
        let pause = pause.min(limits.breaker_longest_pause);
        self.open = now.checked_add(pause).map(|until| (until, pause));
        self.trips = self.trips.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn five_failures_in_a_minute_open_it_for_longer_each_time() {
        let limits = Limits::default();
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let trip = |breaker: &mut Breaker, at: Instant| {
            for i in 0..4 {
                assert!(!breaker.failed(at + SECOND * i, &limits));
            }
            assert!(breaker.failed(at + SECOND * 4, &limits));
            breaker.pause(at + SECOND * 4).unwrap()
        };
        let mut at = start;
        for want in [300, 600, 1200, 2400, 3600, 3600] {
            let pause = trip(&mut breaker, at);
            assert_eq!(pause, SECOND * want);
            at += SECOND * 4;
            assert!(breaker.pause(at + pause - SECOND).is_some());
            assert_eq!(breaker.pause(at + pause), None);
            at += pause;
        }
        assert_eq!(breaker.trips(), 6);
        // An hour without a failure: the next pause is the first again.
        assert_eq!(trip(&mut breaker, at + SECOND * 3600), SECOND * 300);
    }

    #[test]
    fn seldom_failures_do_not_open_it() {
        let limits = Limits::default();
        let mut breaker = Breaker::default();
        let start = Instant::now();
        for i in 0..100 {
            assert!(!breaker.failed(start + SECOND * 16 * i, &limits));
        }
        assert_eq!(breaker.pause(start + SECOND * 1600), None);
    }

    #[test]
    fn failures_of_calls_that_began_before_count_no_further() {
        let limits = Limits { breaker_failures: 1, ..Limits::default() };
        let mut breaker = Breaker::default();
        let start = Instant::now();
        assert!(breaker.failed(start, &limits));
        assert!(!breaker.failed(start + SECOND, &limits));
        assert_eq!(breaker.trips(), 1);
    }
}
