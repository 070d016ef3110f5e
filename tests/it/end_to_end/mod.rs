//! What users do, from the start of a process to the verdict of somebody else's library.

mod census;
mod clock;
mod command_line;
mod configuration;
mod crash;
mod disk;
mod django;
mod haproxy_keys;
mod languages;
mod open_files;
mod operation;
mod outside_libraries;
mod proxies;
mod readme;
mod rotation;
mod tls;
