//! The wire contracts: what the control plane, the DTMA and their callers send each other.
//!
//! Types and paths only; no logic. The resource of a module has the same file name in every layer.

pub mod accounts;
pub mod agents;
pub mod alerts;
pub mod audit;
pub mod catalog;
pub mod catalog_sources;
pub mod changes;
pub mod droplets;
pub mod dtma;
pub mod enrolments;
pub mod environments;
pub mod errors;
pub mod events;
pub mod instance_events;
pub mod instances;
pub mod invitations;
pub mod members;
pub mod metrics;
pub mod moves;
pub mod oauth;
pub mod own_values;
pub mod registries;
pub mod rules;
pub mod secrets;
pub mod server;
pub mod sessions;
pub mod tokens;
pub mod toolbelts;
pub mod upgrades;
pub mod upstreams;
pub mod users;
