//! What was found lately, for a while.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Answers that are remembered at once.
pub(super) const MAX_ENTRIES: usize = 20_000;

/// A map whose entries are good for some time, and which never holds more than so many.
#[derive(Debug)]
pub(super) struct Memo<K, V> {
    entries: Mutex<HashMap<K, (Instant, V)>>,
    lifetime: Duration,
    max_entries: usize,
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    pub(super) fn new(lifetime: Duration, max_entries: usize) -> Self {
        Self { entries: Mutex::default(), lifetime, max_entries }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        let entries = self.lock();
        let (since, value) = entries.get(key)?;
        (since.elapsed() < self.lifetime).then(|| value.clone())
    }

    pub(super) fn put(&self, key: K, value: V) {
        let mut entries = self.lock();
        if entries.len() >= self.max_entries {
            entries.retain(|_, (since, _)| since.elapsed() < self.lifetime);
        }
        if entries.len() >= self.max_entries {
            // It is filled again by what is asked for.
            entries.clear();
        }
        entries.insert(key, (Instant::now(), value));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (Instant, V)>> {
        // Every change leaves it whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_expire_and_are_bounded() {
        let memo = Memo::new(Duration::from_secs(60), 10);
        for key in 0..25 {
            memo.put(key, key);
        }
        assert_eq!(memo.get(&24), Some(24));
        assert!(memo.lock().len() <= 10);
        let expired = Memo::new(Duration::ZERO, 10);
        expired.put(1, 1);
        assert_eq!(expired.get(&1), None);
    }
}
