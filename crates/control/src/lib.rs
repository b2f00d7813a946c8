//! The control plane: what people want to run where, as rows, and the reconcilers that make it so.
//!
//! `http/` parses and renders, `app/` decides (one file per resource), `tasks/` reconciles, `auth/` says who calls. Every
//! host is reached through [`reach`]. The gateway is served by the same process and asks [`directory`].
//! Nothing here opens Docker, starts a process, or waits for a machine inside an HTTP request.

mod acme;
mod app;
mod auth;
mod backup;
mod belts;
mod catalog;
mod config;
mod directory;
mod dtma_client;
mod events;
mod hosts;
mod http;
mod metrics;
mod outside;
mod program;
mod provider;
mod proxies;
mod public;
mod reach;
mod receivers;
mod recovery;
mod redirect;
mod rewrap;
mod secrets;
mod serve;
mod setup;
mod tasks;
mod tunnels;
mod usage;
mod web;

pub use acme::Acme;
pub use app::Problem;
pub use app::import::{ImportOptions, ImportReport, ReportLine, Verdict, import_legacy};
pub use app::relay::Registries;
pub use auth::issuers::{Issuer, IssuerAccount, IssuerKeys};
pub use auth::oidc::{Oidc, OidcError};
pub use backup::{BackupError, Contents, back_up, restore};
pub use config::{Config, DigitalOcean, LocalEnvironment, LocalWay, Quotas, Rates};
pub use http::{older_paths, openapi};
pub use ipnet::IpNet;
pub use proxies::Proxies;
pub use public::{Public, PublicError};
pub use receivers::{AlertOptions, ReceiverError, Receivers};
pub use recovery::{Recovered, recover};
pub use redirect::redirect;
pub use rewrap::{KeyStatus, KeyVersion, Rewrapped, key_status, rotate_key};
pub use secrets::{GivenKey, MASTER_KEY_FILE, SecretsError};
pub use serve::run;
pub use setup::{LocalSetup, Setup, StartError, new_api_token, setup};
pub use web::paths as page_paths;
