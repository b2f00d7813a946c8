//! One machine as its page shows it: what the API says of it, how it is reached, and how far it is on its way to be one.

use api::environments::Environment;
use domain::names::InstanceName;
use domain::time::Timestamp;
use store::environments::EnvironmentRow;

use crate::app::environments::{find, rendered};
use crate::app::{App, Outcome, upgrades};
use crate::auth::Caller;
use crate::directory::now;
use crate::reach::Way;

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) environment: Environment,
    pub(crate) reached: Reached,
    pub(crate) line: Line,
    /// Whether some host may speak for it.
    pub(crate) has_host: bool,
    /// Whether its host agent can be replaced from here.
    pub(crate) can_be_upgraded: bool,
    /// Instances that have left it, and that its host has not let go of yet.
    pub(crate) leaving: Vec<InstanceName>,
}

/// How a machine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It is the control plane's own.
    Here,
    /// Through the connection that its host opens.
    Tunnel {
        /// Whether there is one now.
        is_open: bool,
    },
    /// It is dialled.
    Dialled {
        address: String,
        tls: Tls,
        /// Whether it answered when it was last asked.
        answers: bool,
    },
    /// In a way that this version does not know.
    Unknown,
}

/// What protects the way to a machine that is dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tls {
    /// The key of this pin.
    Pinned(String),
    /// A key that its host says when it is enrolled.
    ToCome,
    /// Nothing.
    None,
}

/// How far the line is that makes a host this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// There is none.
    None,
    /// It waits to be run.
    Good { until: Timestamp },
    /// It was not run in time.
    Late,
    /// A host ran it.
    Used { at: Timestamp },
}

/// One machine.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn show(app: &App, caller: &Caller, name: &str) -> Outcome<Machine> {
    let row = find(app, caller, name).await?;
    let standing = store::enrolments::standing(&app.store, row.id).await?;
    let line = match standing {
        None => Line::None,
        Some(standing) => match standing.used_at {
            Some(at) => Line::Used { at },
            None if standing.expires_at <= now() => Line::Late,
            None => Line::Good { until: standing.expires_at },
        },
    };
    Ok(Machine {
        reached: reached(app, &row),
        line,
        has_host: row.dtma_token_sealed.is_some(),
        can_be_upgraded: upgrades::program_of(&row).is_some(),
        leaving: store::departures::leaving(&app.store, row.id).await?,
        environment: rendered(app, row).await?,
    })
}

fn reached(app: &App, row: &EnvironmentRow) -> Reached {
    let dialled = |address: std::net::SocketAddr, tls| Reached::Dialled {
        address: address.to_string(),
        tls,
        answers: app.hosts.has_answered(row.id),
    };
    match serde_json::from_value(row.reach.clone()) {
        Ok(Way::Local { .. }) => Reached::Here,
        Ok(Way::Tunnel) => Reached::Tunnel { is_open: app.tunnels.is_open(row.id) },
        Ok(Way::Direct { dtma, pin: Some(pin) }) => dialled(dtma, Tls::Pinned(pin.to_string())),
        Ok(Way::Direct { dtma, pin: None }) => dialled(dtma, Tls::None),
        Ok(Way::Keyless { dtma }) => dialled(dtma, Tls::ToCome),
        Err(_) => Reached::Unknown,
    }
}
