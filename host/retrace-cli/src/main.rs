//! The `retrace` command.
fn main() {}
