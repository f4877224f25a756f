//! Generated from `wit/distro.wit`: the types of the contract and the glue that makes a Rust type a component.
//!
//! The optional exports have a world each, so that a component exports those that its plugin has and no others: linking
//! merges the worlds.
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
    path: "wit",
    world: "plugin",
    pub_export_macro: true,
    default_bindings_module: "retrace_plugin_sdk::bindings",
    additional_derives: [PartialEq, Eq],
});

/// The optional export `kernel`.
pub mod kernel {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package retrace:kernel-export; world kernel-export { export retrace:distro/kernel@1.0.0; }",
        world: "retrace:kernel-export/kernel-export",
        pub_export_macro: true,
        export_macro_name: "export_kernel",
        default_bindings_module: "retrace_plugin_sdk::bindings::kernel",
        with: { "retrace:distro/types@1.0.0": crate::bindings::retrace::distro::types },
        additional_derives: [PartialEq, Eq],
    });
}

/// The optional export `environment-advice`.
pub mod environment_advice {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package retrace:advice-export; world advice-export { export retrace:distro/environment-advice@1.0.0; }",
        world: "retrace:advice-export/advice-export",
        pub_export_macro: true,
        export_macro_name: "export_environment_advice",
        default_bindings_module: "retrace_plugin_sdk::bindings::environment_advice",
        with: { "retrace:distro/types@1.0.0": crate::bindings::retrace::distro::types },
        additional_derives: [PartialEq, Eq],
    });
}
