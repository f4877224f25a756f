//! Deadlines in processor time: on a busy machine a call of microseconds may wait long for a processor, which is no defect
//! of the plugin. A limit on the clock on the wall stays behind it.

use std::{
    fs,
    time::{Duration, Instant},
};

use wasmtime::{Store, UpdateDeadline};

use crate::engine::TICK;

/// How much longer than its deadline a call may take on the clock on the wall.
const WALL_FACTOR: u32 = 20;

/// Starts the time of a call anew. The guest is interrupted when it has used `limit` of processor time, to within one tick;
/// where the system does not tell the processor time, after `limit` on the clock.
pub(crate) fn start<T: 'static>(store: &mut Store<T>, limit: Duration) {
    let mut watch = Watch { limit, started: Instant::now(), at_first_tick: None };
    store.epoch_deadline_callback(move |_| Ok(watch.tick(watch.started.elapsed(), processor_time())));
    // Most calls are over before the first tick, and cost nothing here.
    store.set_epoch_deadline(1);
}

struct Watch {
    limit: Duration,
    started: Instant,
    /// On the first tick: time on the clock, and processor time of this thread.
    at_first_tick: Option<(Duration, Option<Duration>)>,
}

impl Watch {
    fn tick(&mut self, wall: Duration, processor: Option<Duration>) -> UpdateDeadline {
        let (first_wall, first_processor) = *self.at_first_tick.get_or_insert((wall, processor));
        let used = match (processor, first_processor) {
            // What was used before the first tick is not known, but at most one tick.
            (Some(now), Some(first)) => now.saturating_sub(first).saturating_add(first_wall.min(TICK)),
            _ => wall,
        };
        if used >= self.limit || wall >= self.limit.saturating_mul(WALL_FACTOR) {
            return UpdateDeadline::Interrupt;
        }
        let left = self.limit.saturating_sub(used).as_millis() / TICK.as_millis();
        UpdateDeadline::Continue(u64::try_from(left).unwrap_or(1).max(1))
    }
}

/// Processor time of the calling thread. Source: proc(5), `schedstat`, first field, nanoseconds.
fn processor_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Ticks that are granted, or none for an interrupt.
    fn granted(update: UpdateDeadline) -> Option<u64> {
        match update {
            UpdateDeadline::Continue(ticks) => Some(ticks),
            _ => None,
        }
    }

    fn watch() -> Watch {
        Watch { limit: MS * 100, started: Instant::now(), at_first_tick: None }
    }

    #[test]
    fn a_loop_ends_after_its_processor_time() {
        let mut watch = watch();
        assert_eq!(granted(watch.tick(MS * 8, Some(MS * 500))), Some(9));
        assert_eq!(granted(watch.tick(MS * 98, Some(MS * 590))), Some(1));
        assert_eq!(granted(watch.tick(MS * 108, Some(MS * 600))), None);
    }

    #[test]
    fn a_call_that_waits_for_a_processor_goes_on_until_the_clock_runs_out() {
        let mut watch = watch();
        assert_eq!(granted(watch.tick(MS * 300, Some(MS * 500))), Some(9));
        assert_eq!(granted(watch.tick(MS * 1900, Some(MS * 501))), Some(8));
        assert_eq!(granted(watch.tick(MS * 2000, Some(MS * 502))), None);
    }

    #[test]
    fn the_clock_counts_where_processor_time_is_unknown() {
        let mut watch = watch();
        assert_eq!(granted(watch.tick(MS * 10, None)), Some(9));
        assert_eq!(granted(watch.tick(MS * 100, None)), None);
    }

    #[test]
    fn this_system_tells_the_processor_time() {
        assert!(processor_time().is_some());
    }
}
