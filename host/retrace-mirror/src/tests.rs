//! Against real repositories, made by the distributions' own tools, and a server that lies.

mod deb;
mod lies;
mod resolve;
mod rpm_md;
mod server;
mod support;
