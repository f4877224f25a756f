//! With `std` a plugin has its allocator and its panic handler; what is missing is the way of a panic's text to the host.

use std::{format, sync::Once};

use crate::{Level, log};

/// Sends the text and place of panics to the host's log, from now on.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(std::boxed::Box::new(|info| log(Level::Error, &format!("{info}")))));
}
