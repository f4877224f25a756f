pub use crate::bindings::retrace::distro::logging::Level;

/// Writes one message to the log of the host, natively to standard error.
///
/// The host keeps 64 messages of 1 KiB for one call and counts the rest. Has no effect on the answer.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::retrace::distro::logging::log(level, message);
    #[cfg(not(target_family = "wasm"))]
    std::eprintln!("plugin: {level:?}: {message}");
}
