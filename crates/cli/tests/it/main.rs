//! The real binary, as people and programs use it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test has nobody to hand an error to")]

mod acme;
mod activation;
mod agents;
mod alerts;
mod authorized;
mod backups;
mod bad_input;
mod canary;
mod catalog;
mod changes;
mod cleanup;
mod clients;
mod command_line;
mod conformance;
mod console;
mod disk;
mod docker;
mod egress;
mod empty_root;
mod enrol;
mod faults;
mod hosts;
mod import;
mod interrupted;
mod keys;
mod kinds;
mod lifecycle;
mod log_pages;
mod looking;
mod matrix;
mod no_network;
mod older;
mod outward;
mod own_values;
mod partitions;
mod people;
mod playground;
mod proxies;
mod public;
mod real_tools;
mod remote;
mod rules;
mod runtimes;
mod schedules;
mod seccomp;
mod sign_in;
mod sleep;
mod soak;
mod supabase;
mod supervision;
mod tools;
mod tunnel;
mod walk;
mod web;
mod welcome;

/// The binary under test.
const BERTH: &str = env!("CARGO_BIN_EXE_berth");
