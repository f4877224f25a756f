//! retrace-store.
