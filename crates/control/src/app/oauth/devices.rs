//! Clients without a browser: they show a code, and a person types it elsewhere (RFC 8628).

use domain::ids::UserId;
use domain::secret::Secret;
use domain::time::Timestamp;
use oauth::errors::{Code, Refused};
use oauth::parameters::Parameters;
use serde::Serialize;
use store::StoreError;
use store::oauth::devices::DeviceRow;

use crate::app::App;
use crate::app::oauth::authorize::{self, Offer};
use crate::app::oauth::clients::{self, Client};
use crate::app::oauth::tokens::{self, Given};
use crate::app::oauth::{Failure, Resource, discovery};
use crate::auth::token;
use crate::directory::now;
use crate::secrets::random;

/// The grant type of a device.
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How often one person may type a code: twenty letters in eight places are not guessed at this rate.
pub(crate) const TYPING: &str = "60/m";
/// How long a person has, in seconds.
const LIFE: i64 = 900;
/// How long a device waits between two questions, in seconds.
const INTERVAL: i64 = 5;
/// Letters that are not taken for others and make no words (RFC 8628 §6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many of them a code has, in two halves.
const LENGTH: usize = 8;

/// The answer (RFC 8628 §3.2).
#[derive(Serialize)]
pub(crate) struct Waiting {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: i64,
    interval: i64,
}

/// A code as it is stored, of what a person typed.
pub(crate) fn normal(typed: &str) -> Option<String> {
    let letters: String =
        typed.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    (letters.len() == LENGTH && letters.bytes().all(|byte| LETTERS.contains(&byte)))
        .then(|| format!("{}-{}", &letters[..LENGTH / 2], &letters[LENGTH / 2..]))
}

fn user_code() -> Result<String, Failure> {
    // 240 is the largest multiple of twenty in a byte, so that no letter is likelier than another.
    let mut letters = String::new();
    while letters.len() < LENGTH {
        letters.extend(
            random::<32>()?
                .iter()
                .filter(|byte| **byte < 240)
                .map(|byte| char::from(LETTERS[usize::from(byte % 20)])),
        );
    }
    letters.truncate(LENGTH);
    Ok(format!("{}-{}", &letters[..LENGTH / 2], &letters[LENGTH / 2..]))
}

/// A device begins to wait. `base` is the address that it came by.
///
/// # Errors
/// [`Code::InvalidTarget`], [`Code::UnauthorizedClient`].
pub(crate) async fn begin(
    app: &App,
    base: &str,
    client: &Client,
    given: &Parameters,
) -> Result<Waiting, Failure> {
    let kinds = &client.metadata.grant_types;
    if !kinds.is_empty() && !kinds.iter().any(|kind| kind == GRANT_TYPE) {
        let words = format!("this client did not register the grant type `{GRANT_TYPE}`");
        return Err(Failure::new(Code::UnauthorizedClient, words));
    }
    if let Some(text) = given.one("resource")? {
        Resource::parse(app, text)?;
    }
    let at = now();
    loop {
        let secret = token::generate()?;
        let row = DeviceRow {
            user_code: user_code()?,
            client_id: client.id.clone(),
            resource: given.one("resource")?.map(str::to_owned),
            scope: given.one("scope")?.map(str::to_owned),
            expires_at: Timestamp(at.0.saturating_add(LIFE * 1_000_000)),
            polled_at: None,
            is_refused: false,
            grant: None,
        };
        let mut tx = app.store.begin().await?;
        match store::oauth::devices::insert(&mut tx, &row, &hash(&secret), at).await {
            Ok(()) => {}
            // Somebody waits with the same one: another is drawn.
            Err(StoreError::Taken { .. }) => continue,
            Err(error) => return Err(error.into()),
        }
        store::oauth::clients::touch(&mut tx, &client.id, at).await?;
        tx.commit().await?;
        let page = format!("{base}{}", discovery::DEVICE_PAGE);
        return Ok(Waiting {
            device_code: secret.expose().to_owned(),
            verification_uri_complete: format!("{page}?user_code={}", row.user_code),
            user_code: row.user_code,
            verification_uri: page,
            expires_in: LIFE,
            interval: INTERVAL,
        });
    }
}

fn hash(code: &Secret) -> String {
    token::hash_text(code.expose())
}

/// A device that waits for a person.
pub(crate) struct Device {
    /// Its row.
    pub(crate) row: DeviceRow,
    /// Which client it is.
    pub(crate) client: Client,
    /// What it asked for.
    pub(crate) resource: Option<Resource>,
}

/// The device that shows a code.
///
/// # Errors
/// [`Code::InvalidRequest`] in words for the person who typed it.
pub(crate) async fn find(app: &App, typed: &str) -> Result<Device, Failure> {
    let unknown = || Failure::new(Code::InvalidRequest, "no device shows this code: look at it again");
    let code = normal(typed).ok_or_else(unknown)?;
    let row = store::oauth::devices::by_user_code(&app.store, &code).await?.ok_or_else(unknown)?;
    if row.expires_at <= now() || row.is_refused || row.grant.is_some() {
        return Err(Failure::new(Code::InvalidRequest, "this code is over: begin again on the device"));
    }
    let client = clients::find(app, &row.client_id).await?;
    let resource = row.resource.as_deref().map(|text| Resource::parse(app, text)).transpose()?;
    Ok(Device { row, client, resource })
}

/// A person decides: what they allow, or nothing.
///
/// # Errors
/// [`Code::InvalidRequest`] when somebody decided before.
pub(crate) async fn decide(
    app: &App,
    user: UserId,
    device: &Device,
    offer: Option<&Offer>,
) -> Result<(), Failure> {
    let at = now();
    let mut tx = app.store.begin().await?;
    let grant = match offer {
        Some(offer) => Some(authorize::insert(&mut tx, user, &device.client, "a device", offer, at).await?),
        None => None,
    };
    if !store::oauth::devices::decide(&mut tx, &device.row.user_code, grant).await? {
        return Err(Failure::new(Code::InvalidRequest, "somebody decided on this device before"));
    }
    tx.commit().await?;
    Ok(())
}

/// A device asks whether a person decided.
///
/// # Errors
/// [`Code::AuthorizationPending`], [`Code::SlowDown`], [`Code::AccessDenied`], [`Code::ExpiredToken`].
pub(crate) async fn redeem(app: &App, client: &Client, given: &Parameters) -> Result<Given, Failure> {
    let (hash, at) = (token::hash_text(given.required("device_code")?), now());
    let mut tx = app.store.begin().await?;
    let unknown = || Refused::new(Code::InvalidGrant, "this is no device code, or no longer");
    let row = store::oauth::devices::poll(&mut tx, &hash, at).await?.ok_or_else(unknown)?;
    if row.client_id != client.id {
        return Err(Failure::new(Code::InvalidGrant, "this device code is another client's"));
    }
    let waited = row.polled_at.map(|last| at.micros_since(last));
    let decided = match &row {
        _ if row.expires_at <= at => Err(Refused::new(Code::ExpiredToken, "nobody decided in time")),
        _ if row.is_refused => Err(Refused::new(Code::AccessDenied, "the person refused")),
        DeviceRow { grant: Some(grant), .. } => Ok(*grant),
        // A second of grace: clocks and networks are not exact.
        _ if waited.is_some_and(|waited| waited < (INTERVAL - 1) * 1_000_000) => {
            Err(Refused::new(Code::SlowDown, format!("ask every {INTERVAL} s")))
        }
        _ => Err(Refused::new(Code::AuthorizationPending, "nobody decided yet")),
    };
    let grant = match decided {
        Ok(grant) => grant,
        Err(refused) => {
            tx.commit().await?;
            return Err(refused.into());
        }
    };
    let row_grant = store::oauth::grants::in_change(&mut tx, grant).await?;
    let grant = row_grant.filter(|grant| grant.revoked_at.is_none()).ok_or_else(unknown)?;
    if !store::oauth::devices::forget(&mut tx, &hash).await? {
        return Err(unknown().into());
    }
    let resource = match (&grant.instance, &row.resource) {
        (Some(_), Some(text)) => Resource::parse(app, text)?,
        (Some(instance), None) => {
            let picture = app.directory.picture();
            let account = picture.account(grant.account).ok_or_else(unknown)?.clone();
            Resource::Server { account, instance: instance.clone(), is_sse: false }
        }
        (None, _) => Resource::Api,
    };
    let given =
        tokens::make(app, &mut tx, client, &grant, &resource.audience(app), &grant.scopes, at).await?;
    tx.commit().await?;
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        let check =
            |typed: &str, expected: Option<&str>| assert_eq!(normal(typed).as_deref(), expected, "{typed}");
        check("BCDF-GHJK", Some("BCDF-GHJK"));
        check(" bcdf ghjk ", Some("BCDF-GHJK"));
        check("bcdfghjk", Some("BCDF-GHJK"));
        check("ACDF-GHJK", None);
        check("BCDF-GHJ", None);
        check("BCDF-GHJKL", None);
        check("", None);
        for _ in 0..100 {
            let made = user_code().unwrap();
            assert_eq!(normal(&made), Some(made));
        }
    }
}
