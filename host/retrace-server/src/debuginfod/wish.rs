//! Packages that are not here: wished for in the store, and waited for.

use std::time::Duration;

use retrace_store::{Store, Wish, WishState};
use tokio::time::{Instant, sleep};

use super::{DebuginfodOptions, Miss};

/// Between two looks at a wish: short at first, since small packages come fast.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Waits until a worker has fetched what is wished for; `package` is its name for the client.
pub(super) async fn fetch(store: &Store, wish: &Wish, package: &str, options: &DebuginfodOptions) -> Result<(), Miss> {
    let unavailable = |reason: String| Miss::Unavailable { package: package.to_owned(), reason };
    match store.wish(wish, options.remember_failure, options.max_wishes).await? {
        None => return Err(Miss::Busy),
        Some(WishState::Failed(reason)) => return Err(unavailable(reason)),
        Some(WishState::Fulfilled) => return Ok(()),
        Some(WishState::Open | WishState::Unknown) => {}
    }
    let deadline = Instant::now() + options.fetch_wait;
    let mut pause = FIRST_PAUSE;
    while Instant::now() < deadline {
        sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        match store.wish_state(wish).await? {
            WishState::Open => pause = (pause * 2).min(LONGEST_PAUSE),
            WishState::Fulfilled => return Ok(()),
            WishState::Failed(reason) => return Err(unavailable(reason)),
            WishState::Unknown => return Err(unavailable("nobody fetched it for long".to_owned())),
        }
    }
    Err(Miss::NotYet { package: package.to_owned() })
}
