//! The host on real components: those of `plugins/` and those of `tests/plugins/bad/`, both built by `make plugins`.

mod agreement;
mod bad;
mod files;
mod good;
mod support;
