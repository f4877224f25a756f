//! With `std` a plugin has its allocator and its panic handler; what is missing is the way of a panic's text to the host.

use core::sync::atomic::{AtomicBool, Ordering};
use std::{boxed::Box, format};

use crate::{Level, log};

/// Sends the text and place of panics to the host's log, from now on.
pub(crate) fn install() {
    // No `Once`: its own panics would carry the path of this file into every plugin.
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.swap(true, Ordering::Relaxed) {
        std::panic::set_hook(Box::new(|info| log(Level::Error, &format!("{info}"))));
    }
}
