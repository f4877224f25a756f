//! retrace-server.
