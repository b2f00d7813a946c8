//! The words of Berth as types: ids, validated names, packages, specs, states, backoff.
//!
//! Everything here is pure: nothing does I/O, nothing is async, nothing reads a clock. A value that exists is
//! valid; the parsers are the only way in.

pub mod alerts;
pub mod backoff;
pub mod catalog;
pub mod change;
pub mod checks;
pub mod cleanup;
pub mod container;
pub mod egress;
pub mod ids;
pub mod image;
pub mod lease;
pub mod measure;
pub mod names;
pub mod package;
pub mod placement;
pub mod program;
pub mod provisioning;
pub mod rate;
pub mod registry;
pub mod rules;
pub mod scopes;
pub mod secret;
pub mod server_json;
pub mod shim;
pub mod spec;
pub mod status;
pub mod time;
pub mod toolbelts;
pub mod vault;
pub mod waves;
