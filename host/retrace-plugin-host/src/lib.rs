//! retrace-plugin-host.
