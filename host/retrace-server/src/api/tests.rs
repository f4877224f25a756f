//! The API on the wire.

use crate::{
    ApiOptions, ServerOptions,
    tests::{PLAIN, TestServer},
};

mod basics;
mod find;
mod tasks;
