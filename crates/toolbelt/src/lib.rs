//! A toolbelt: tools, prompts and resources of several MCP servers behind one address, without I/O.
//!
//! Here is what a toolbelt shows and where a message goes: names that stay, definitions that were approved and what became of them since,
//! pages of lists, search. Whoever runs one asks the members, sends what is routed to them, and keeps the features that changed.
//! Everything it shows is of 2026-07-28, the revision of the bridge's inside; other revisions are the bridge's business.

pub mod belt;
pub mod definition;
mod names;
pub mod route;
pub mod search;
pub mod view;

pub use belt::{Belt, Feature, Listing, Member};
pub use definition::{Definition, KINDS};
pub use route::{Route, route};
pub use view::{Entry, View};
