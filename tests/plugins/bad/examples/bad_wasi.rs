//! A component that was built with std: it wants the environment, and gets refused before any of it is compiled.

/// Reads what no plugin may read.
#[expect(unsafe_code, reason = "an exported symbol keeps the import in the component")]
#[unsafe(no_mangle)]
pub extern "C" fn run() -> usize {
    std::env::vars_os().count()
}
