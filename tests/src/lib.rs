//! retrace-tests.
