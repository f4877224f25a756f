//! Generated from `wit/distro.wit`: the types of the contract and the glue that makes a Rust type a component.
#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    reason = "generated: passing values over the component border is what the unsafe code of wit-bindgen is for"
)]

wit_bindgen::generate!({
    path: "../wit",
    world: "plugin",
    pub_export_macro: true,
    default_bindings_module: "retrace_plugin_sdk::bindings",
    additional_derives: [PartialEq, Eq],
});
