//! retrace-process.
