//! retrace-coredump.
