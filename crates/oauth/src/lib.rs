//! The rules of OAuth 2.1 as MCP uses it, for both sides: Berth's own authorization server and Berth as a client of remote
//! servers. Pure: no I/O, no clock, no randomness, nothing async.

pub mod challenge;
pub mod client;
pub mod errors;
pub mod metadata;
pub mod parameters;
pub mod pkce;
pub mod redirect;
pub mod registration;
pub mod resource;
