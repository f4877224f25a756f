//! Bandwidth, and connections to one server.

use std::{
    collections::HashMap,
    num::{NonZeroU64, NonZeroUsize},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::lock;

/// What may be made up after a pause.
const SLACK: Duration = Duration::from_millis(100);

/// Holds transfers to a number of bytes in a second, all together.
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: Option<NonZeroU64>,
    /// When what was spent is paid.
    paid: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self { bytes_per_second, paid: Mutex::default() }
    }

    pub(super) fn bytes_per_second(&self) -> Option<NonZeroU64> {
        self.bytes_per_second
    }

    /// Waits until so many bytes may have come.
    pub(super) async fn spend(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        let until = {
            let mut paid = lock(&self.paid);
            let now = Instant::now();
            let earliest = now.checked_sub(SLACK).unwrap_or(now);
            let nanos = (bytes as u64).saturating_mul(1_000_000_000) / rate;
            let until = paid.unwrap_or(earliest).max(earliest) + Duration::from_nanos(nanos);
            *paid = Some(until);
            until
        };
        tokio::time::sleep_until(until).await;
    }
}

/// Counts connections by server.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<HashMap<String, Arc<Semaphore>>>);

/// A connection that is counted.
pub(super) type Permit = Option<OwnedSemaphorePermit>;

impl Hosts {
    /// Waits for a free connection. The first repository that asks for a server says how many there are.
    pub(super) async fn permit(&self, server: &str, most: NonZeroUsize) -> Permit {
        let semaphore = {
            let mut hosts = lock(&self.0);
            hosts.retain(|name, semaphore| name == server || Arc::strong_count(semaphore) > 1);
            Arc::clone(hosts.entry(server.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(most.get()))))
        };
        // Nobody closes it.
        semaphore.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_rate_is_kept_over_all_transfers() {
        let throttle = Throttle::new(NonZeroU64::new(10_000));
        let start = Instant::now();
        tokio::join!(
            async {
                for _ in 0..10 {
                    throttle.spend(100).await;
                }
            },
            async {
                throttle.spend(1000).await;
            }
        );
        let seconds = start.elapsed().as_secs_f64();
        assert!(seconds >= 0.095, "2000 bytes at 10 kB/s, 100 ms of slack: {seconds}");
    }

    #[tokio::test]
    async fn no_more_connections_than_allowed() {
        let hosts = Hosts::default();
        let two = NonZeroUsize::new(2).unwrap();
        let (first, _second) = (hosts.permit("a", two).await, hosts.permit("a", two).await);
        let third = tokio::time::timeout(Duration::from_millis(50), hosts.permit("a", two)).await;
        assert!(third.is_err());
        assert!(hosts.permit("b", two).await.is_some());
        drop(first);
        assert!(hosts.permit("a", two).await.is_some());
    }
}
