//! The control plane from outside: HTTP in front, a DTMA that the tests play behind, a real database below.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

mod alerts;
mod audit;
mod browser;
mod calls;
mod consent;
mod deploy;
mod droplets;
mod dtma;
mod endpoints;
mod enrolments;
mod environments;
mod events;
mod fleet;
mod gateway_path;
mod hashes;
mod heartbeats;
mod images;
mod issuers;
mod moves;
mod oauth;
mod oidc;
mod older;
mod openapi;
mod own_authorization;
mod own_values;
mod people;
mod platform;
mod quotas;
mod reconciler;
mod registries;
mod relay;
mod rules;
mod secrets;
mod sign_in;
mod start;
mod tokens;
mod upgrades;
mod upstreams;
