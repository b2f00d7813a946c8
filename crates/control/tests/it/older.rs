//! Older hosts and older clients: their heartbeats, the secrets of their instances, `/api/mcp`; and what they deployed
//! on a host by themselves.

mod adoption;
mod agents;
mod clients;
mod cors;
mod endpoints;
mod hosts;
mod import;
mod supabase;
mod templates;
mod toolboxes;
mod tools;
