//! The store as processes use it.

#[cfg(test)]
mod killed;
