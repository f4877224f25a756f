//! retrace-plugin-debian.
