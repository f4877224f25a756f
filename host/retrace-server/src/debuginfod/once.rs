//! One of many that want the same does it; the others wait.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

/// Work under way, by what it is for. It runs in a task of its own, so that it outlives whoever began it.
#[derive(Debug)]
pub(super) struct Once<K, V> {
    running: Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>,
}

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Self { running: Arc::default() }
    }
}

impl<K, V> Once<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The outcome of the work for this key: of what is under way, else of `work`, which begins now. None if it was lost.
    pub(super) fn join<F, W>(&self, key: K, work: F) -> impl Future<Output = Option<V>> + use<K, V, F, W>
    where
        F: FnOnce() -> W,
        W: Future<Output = V> + Send + 'static,
    {
        let mut outcome = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            match running.get(&key) {
                Some(outcome) => outcome.clone(),
                None => {
                    let (sender, outcome) = watch::channel(None);
                    running.insert(key.clone(), outcome.clone());
                    let (all, work) = (Arc::clone(&self.running), work());
                    tokio::spawn(async move {
                        let _done = Done { all, key };
                        let value = work.await;
                        sender.send_replace(Some(value));
                    });
                    outcome
                }
            }
        };
        async move { outcome.wait_for(Option::is_some).await.ok()?.clone() }
    }
}

/// Takes the work out of the map, also when it panics.
struct Done<K: Eq + Hash, V> {
    all: Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Done<K, V> {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_hundred_wait_for_one() {
        let (once, count) = (Once::default(), Arc::new(AtomicUsize::new(0)));
        let (open, gate) = watch::channel(false);
        let ask = |key: u8| {
            let (count, mut gate) = (Arc::clone(&count), gate.clone());
            once.join(key, || async move {
                gate.wait_for(|open| *open).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst)
            })
        };
        let waiting: Vec<_> = (0..100).map(|_| ask(1)).collect();
        drop(ask(2)); // its client went away
        open.send_replace(true);
        for outcome in waiting {
            assert!(outcome.await.is_some());
        }
        while !once.running.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(count.load(Ordering::SeqCst), 2);
        assert_eq!(ask(1).await, Some(2), "later it is done anew");
    }

    #[tokio::test]
    async fn work_that_panics_is_lost_and_not_waited_for() {
        let once: Once<u8, u8> = Once::default();
        let asked = once.join(1, || async { panic!("expected by the test") });
        assert_eq!(asked.await, None);
        assert_eq!(once.join(1, || async { 5 }).await, Some(5));
    }
}
