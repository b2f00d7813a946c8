//! A client of DigitalOcean's API, version 2: what is needed to have machines there, and nothing about Berth.
//!
//! One file per resource. What they share: `client` sends and repeats requests, `retry` decides without I/O whether and
//! when, `pages` follows lists, `errors` says what the caller can do.

mod account;
mod actions;
mod client;
mod droplets;
mod errors;
mod firewalls;
mod images;
mod lenient;
mod pages;
mod regions;
mod retry;
mod settings;
mod sizes;
mod ssh_keys;
mod tags;
mod vpcs;
mod words;

pub use account::{Account, AccountStatus};
pub use actions::{Action, ActionStatus, DropletAction};
pub use client::Client;
pub use droplets::{
    Address, AddressKind, Created, Droplet, DropletStatus, Earlier, MAX_USER_DATA, NameOrId, Networks,
    NewDroplet,
};
pub use errors::{Error, Refusal};
pub use firewalls::{
    Firewall, FirewallStatus, InboundRule, NewFirewall, OutboundRule, Peers, PendingChange, Protocol,
};
pub use images::{Image, ImageKind, ImageStatus};
pub use regions::Region;
pub use settings::{Settings, SettingsError, Token};
pub use sizes::Size;
pub use ssh_keys::SshKey;
pub use tags::{Tag, TagError, TagUse};
pub use vpcs::Vpc;
