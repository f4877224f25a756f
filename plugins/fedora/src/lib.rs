//! retrace-plugin-fedora.
