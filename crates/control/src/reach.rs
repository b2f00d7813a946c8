//! The one way to a host: from an environment's row to where its DTMA and the shims of its instances answer.

use std::net::SocketAddr;
use std::path::PathBuf;

use domain::ids::InstanceId;
use domain::shim::{MCP_PATH, SOCKET};
use hop::address::Address;
use hop::tls::Pin;
use http::{HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use store::environments::EnvironmentRow;

use crate::config::LocalWay;
use crate::secrets::{MasterKey, SecretsError};

/// How an environment is reached (`reach_json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub(crate) enum Way {
    /// It is this machine: shims are reached at their sockets, the DTMA on loopback.
    Local {
        /// The directory that holds a directory with a socket for each instance.
        sockets: PathBuf,
        /// Where the DTMA listens.
        dtma: SocketAddr,
    },
    /// Another host whose DTMA is dialled.
    Direct {
        /// Where the DTMA listens.
        dtma: SocketAddr,
        /// The DTMA's key, where it serves TLS; absent: plain HTTP.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pin: Option<Pin>,
    },
    /// Another host whose DTMA is to be dialled over TLS, once it was enrolled and said by which key it is known.
    Keyless {
        /// Where the DTMA will listen.
        dtma: SocketAddr,
    },
    /// Another host whose DTMA has opened a connection to us.
    Tunnel,
}

/// A host that can be reached.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Its DTMA.
    pub(crate) dtma: Address,
    /// `Bearer …` for its DTMA.
    pub(crate) bearer: HeaderValue,
    /// Where calls go: to the same.
    calls: Address,
    /// The directory of the shims' sockets, where this process may open them itself.
    pub(crate) sockets: Option<PathBuf>,
}

/// Where the MCP of one instance is reached.
#[derive(Debug, Clone)]
pub(crate) struct McpAddress {
    /// A shim's socket or a DTMA.
    pub(crate) address: Address,
    /// The path there.
    pub(crate) uri: Uri,
    /// For a DTMA: `Bearer …`.
    pub(crate) bearer: Option<HeaderValue>,
}

/// Why a row does not say how to reach its host.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReachError {
    /// The row's JSON is of a shape this version does not know.
    #[error("it is reached in a way that this version does not know")]
    Unknown(#[source] serde_json::Error),
    /// The row has no token yet.
    #[error("it has no token yet")]
    NoToken,
    /// Nobody said yet by which key its host agent is known.
    #[error(
        "the key of its host agent is not known yet: enrol it with the line that `berth env enrol` prints"
    )]
    NoKey,
    /// The token does not open.
    #[error("its token cannot be read")]
    Token(#[source] SecretsError),
    /// The token or a path has characters that HTTP does not carry.
    #[error("its token or an address in it cannot be sent over HTTP")]
    Shape,
}

/// Whether an environment is this machine.
pub(crate) fn is_local(environment: &EnvironmentRow) -> bool {
    matches!(serde_json::from_value(environment.reach.clone()), Ok(Way::Local { .. }))
}

/// Whether an environment's host opens a tunnel.
pub(crate) fn is_tunnel(environment: &EnvironmentRow) -> bool {
    matches!(serde_json::from_value(environment.reach.clone()), Ok(Way::Tunnel))
}

/// Where the DTMA of an environment is dialled; `None` for this machine's own, and for one that dials us.
pub(crate) fn dialled_at(environment: &EnvironmentRow) -> Option<SocketAddr> {
    match serde_json::from_value(environment.reach.clone()) {
        Ok(Way::Direct { dtma, .. } | Way::Keyless { dtma }) => Some(dtma),
        Ok(Way::Local { .. } | Way::Tunnel) | Err(_) => None,
    }
}

/// Where and how a host is dialled from now on that says by which key it is known; `None` for one that is not dialled over TLS.
pub(crate) fn with_key(environment: &EnvironmentRow, pin: Pin) -> Option<Way> {
    match serde_json::from_value(environment.reach.clone()) {
        Ok(Way::Keyless { dtma } | Way::Direct { dtma, pin: Some(_) }) => {
            Some(Way::Direct { dtma, pin: Some(pin) })
        }
        Ok(Way::Direct { pin: None, .. } | Way::Local { .. } | Way::Tunnel) | Err(_) => None,
    }
}

/// Whether an environment's host is dialled, and over TLS.
pub(crate) fn is_over_tls(environment: &EnvironmentRow) -> bool {
    let way = serde_json::from_value(environment.reach.clone());
    matches!(way, Ok(Way::Keyless { .. } | Way::Direct { pin: Some(_), .. }))
}

/// How to reach the host of an environment.
///
/// # Errors
/// Any [`ReachError`]: all of them stay until somebody changes the row.
pub(crate) fn reach(
    environment: &EnvironmentRow,
    keys: &MasterKey,
    local: LocalWay,
) -> Result<Host, ReachError> {
    let way = serde_json::from_value(environment.reach.clone()).map_err(ReachError::Unknown)?;
    let sealed = environment.dtma_token_sealed.as_deref().ok_or(ReachError::NoToken)?;
    let token = keys.unseal(environment.id.0, sealed).map_err(ReachError::Token)?;
    let mut bearer =
        HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| ReachError::Shape)?;
    bearer.set_sensitive(true);
    Ok(match way {
        Way::Local { sockets, dtma } => Host {
            dtma: Address::Tcp(dtma),
            bearer,
            calls: if local == LocalWay::DtmaHttp2 { Address::Http2(dtma) } else { Address::Tcp(dtma) },
            sockets: (local == LocalWay::Socket).then_some(sockets),
        },
        Way::Direct { dtma, pin } => {
            let dtma = pin.map_or(Address::Tcp(dtma), |pin| Address::Tls(dtma, pin));
            Host { dtma: dtma.clone(), bearer, calls: dtma, sockets: None }
        }
        Way::Keyless { .. } => return Err(ReachError::NoKey),
        Way::Tunnel => {
            let tunnel = Address::Tunnel(environment.id.0.as_u128());
            Host { dtma: tunnel.clone(), bearer, calls: tunnel, sockets: None }
        }
    })
}

impl Host {
    /// Where the MCP of one of its instances is reached.
    ///
    /// # Errors
    /// [`ReachError::Shape`], which an id cannot cause.
    pub(crate) fn mcp(&self, instance: InstanceId) -> Result<McpAddress, ReachError> {
        Ok(match &self.sockets {
            Some(sockets) => McpAddress {
                address: Address::Unix { dir: sockets.join(instance.to_string()), file: SOCKET.to_owned() },
                uri: Uri::from_static(MCP_PATH),
                bearer: None,
            },
            None => McpAddress {
                address: self.calls.clone(),
                uri: format!("/v1/instances/{instance}/mcp").parse().map_err(|_| ReachError::Shape)?,
                bearer: Some(self.bearer.clone()),
            },
        })
    }
}
