//! Against real repositories, made by the distributions' own tools, real servers, and one that lies.

mod access;
mod ahead;
mod archive;
mod daemons;
mod deb;
mod faults;
mod incidents;
mod kept;
mod lies;
mod mirrors;
mod prune;
mod resolve;
mod rpm_md;
mod schemes;
mod server;
mod support;
