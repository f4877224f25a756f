//! retrace-plugin-sdk.
