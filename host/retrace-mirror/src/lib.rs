//! retrace-mirror.
