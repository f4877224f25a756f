//! Golden fixtures, and the real texts of all distributions.

use retrace_plugin_sdk::testing::{Corpus, Native, fixtures};
use retrace_plugin_ubuntu::Ubuntu;

#[test]
fn fixtures_are_answered() {
    fixtures::check(&Native::of::<Ubuntu>().with_kernel::<Ubuntu>(), concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
}

#[test]
fn own_texts_are_recognised_and_foreign_ones_are_not() {
    Corpus::shipped().check(&Native::of::<Ubuntu>());
}
