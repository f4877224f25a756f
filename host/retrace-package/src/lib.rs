//! retrace-package.
