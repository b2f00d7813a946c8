//! Older hosts and older clients: their heartbeats, the secrets of their instances, `/api/mcp`; and what they deployed
//! on a host by themselves.

mod adoption;
mod clients;
mod endpoints;
mod hosts;
