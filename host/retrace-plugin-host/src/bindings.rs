//! Generated from `wit/distro.wit`: the host's side of the contract.
#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "generated"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "retrace:distro/plugin",
    additional_derives: [PartialEq, Eq, Clone],
});

/// The optional interface `kernel`, by itself: a plugin may export it or not.
pub(crate) mod kernel {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package retrace:host-kernel; world kernel { export retrace:distro/kernel@1.0.0; }",
        world: "retrace:host-kernel/kernel",
        with: { "retrace:distro/types": crate::bindings::retrace::distro::types },
        additional_derives: [PartialEq, Eq, Clone],
    });
}

/// The optional interface `environment-advice`, by itself.
pub(crate) mod advice {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package retrace:host-advice; world advice { export retrace:distro/environment-advice@1.0.0; }",
        world: "retrace:host-advice/advice",
        with: { "retrace:distro/types": crate::bindings::retrace::distro::types },
        additional_derives: [PartialEq, Eq, Clone],
    });
}
