//! retrace-chroot.
