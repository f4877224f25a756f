//! retrace-worker.
