//! The whole, from the outside: real cores, real packages, the real command. One binary, a module per scenario.

mod ambiguous;
mod analyze;
mod api;
mod arrows;
mod ask;
mod authors;
mod cluster;
mod contract;
mod debuginfod;
mod find;
mod fixtures;
mod hostile;
mod mirror_server;
mod modes;
mod odd;
mod operate;
mod plugin_library;
mod plugin_worker;
mod plugins;
mod publish;
mod refused;
mod serve;
mod shared;
mod tutorial;
mod upkeep;
mod view;
