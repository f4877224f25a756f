//! The whole, from the outside: real cores, real packages, the real command. One binary, a module per scenario.

mod arrows;
mod fixtures;
mod mirror_server;
