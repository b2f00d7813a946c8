//! The tables of the control plane, on SQLite and on PostgreSQL, with one SQL text for both.
//!
//! One file per table family; a function is one statement or one short transaction. Reading takes a [`Store`],
//! changing takes a [`Tx`], so that the rows of one act and its audit line are committed together or not at all.
//! On PostgreSQL a failed statement ends its transaction: after an error, drop the `Tx` and begin again. While a `Tx`
//! lives, nobody else can change an SQLite database, and on PostgreSQL it holds one of few connections: read what is
//! needed before beginning, and wait for nothing else before committing.
//!
//! Nothing here decides anything, reads a clock or makes an id: callers bring times and ids, and get rows.

mod columns;
mod database;
mod errors;
mod migrate;
mod open;

pub mod accounts;
pub mod agents;
pub mod alerts;
pub mod audit;
pub mod backup;
pub mod calls;
pub mod catalog;
pub mod catalog_sources;
pub mod catalog_versions;
pub mod changes;
pub mod departures;
pub mod droplets;
pub mod enrolments;
pub mod environments;
pub mod identities;
pub mod instance_events;
pub mod instances;
pub mod invitations;
pub mod members;
pub mod metrics;
pub mod oauth;
pub mod older;
pub mod own_values;
pub mod people;
pub mod policies;
pub mod registries;
pub mod rules;
pub mod sealed;
pub mod secrets;
pub mod sessions;
pub mod sign_in_links;
pub mod tokens;
pub mod toolbelts;
pub mod upgrades;
pub mod upstreams;

pub use database::Database;
pub use errors::StoreError;
pub use open::{Store, Tx};

#[cfg(test)]
mod tests;
