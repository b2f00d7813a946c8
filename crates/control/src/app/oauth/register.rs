//! Clients that register themselves (RFC 7591). Anybody may, so little is kept of each, not often from one address, and what nobody
//! used is forgotten.

use std::net::{IpAddr, Ipv6Addr};

use oauth::errors::Code;
use oauth::registration::ClientMetadata;
use serde::Serialize;
use store::oauth::clients::{ClientKind, ClientRow};
use uuid::Uuid;

use crate::app::App;
use crate::app::oauth::{Failure, clients};
use crate::auth::token;
use crate::directory::now;

/// How often one address may register a client.
pub(crate) const RATE: &str = "60/m";
/// The most clients that registered and were never used.
const MAX_UNUSED: i64 = 5000;
/// The largest metadata that is kept, in bytes of JSON.
const MAX_METADATA: usize = 16 << 10;
/// The ways of getting tokens that a client may have that anybody can register.
const GRANT_TYPES: [&str; 3] =
    ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"];

/// The answer (RFC 7591 §3.2.1).
#[derive(Serialize)]
pub(crate) struct Registered {
    #[serde(flatten)]
    metadata: ClientMetadata,
    client_id_issued_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<i64>,
}

/// Whom a limit counts as one: an address, or a network of IPv6 that one customer has.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

/// Registers a client.
///
/// # Errors
/// [`Code::InvalidRedirectUri`], [`Code::InvalidClientMetadata`]; [`Code::TemporarilyUnavailable`] when it is too often.
pub(crate) async fn register(
    app: &App,
    mut metadata: ClientMetadata,
    from: Option<IpAddr>,
) -> Result<Registered, Failure> {
    metadata.client_id = None;
    metadata.grant_types.retain(|kind| GRANT_TYPES.contains(&kind.as_str()));
    if metadata.grant_types.is_empty() {
        metadata.grant_types = vec!["authorization_code".to_owned(), "refresh_token".to_owned()];
    }
    metadata.response_types = vec!["code".to_owned()];
    clients::check(&mut metadata)?;
    let method = metadata.token_endpoint_auth_method.get_or_insert_with(|| "none".to_owned());
    let secret = method.starts_with("client_secret").then(token::generate).transpose()?;
    let json = clients::as_json(&metadata)?;
    if MAX_METADATA < json.len() {
        return Err(Failure::new(
            Code::InvalidClientMetadata,
            "this is more than is kept of a client (16 KiB)",
        ));
    }
    if let Some(bucket) = from.and_then(|address| app.registrations.of(neighbourhood(address)))
        && let Err(wait) = bucket.take_now()
    {
        let words = format!(
            "clients are registered too often from this address: try again in {} s",
            wait.as_secs() + 1
        );
        return Err(Failure::new(Code::TemporarilyUnavailable, words));
    }
    if MAX_UNUSED <= store::oauth::clients::count_unused(&app.store).await? {
        return Err(Failure::new(
            Code::TemporarilyUnavailable,
            "too many clients registered and were never used: try again in an hour, or give a URL as `client_id`",
        ));
    }
    let at = now();
    let row = ClientRow {
        id: Uuid::now_v7().to_string(),
        kind: ClientKind::Dynamic,
        owner: None,
        metadata_json: json,
        secret_hash: secret.as_ref().map(|secret| token::hash_text(secret.expose())),
        created_at: at,
        fresh_until: None,
        last_used_at: None,
    };
    let mut tx = app.store.begin().await?;
    store::oauth::clients::put(&mut tx, &row).await?;
    tx.commit().await?;
    metadata.client_id = Some(row.id);
    Ok(Registered {
        metadata,
        client_id_issued_at: at.0 / 1_000_000,
        client_secret_expires_at: secret.is_some().then_some(0),
        client_secret: secret.map(|secret| secret.expose().to_owned()),
    })
}
