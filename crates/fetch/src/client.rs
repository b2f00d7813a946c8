//! Drives [`oauth::client`]: sends what it asks for.

use bytes::Bytes;
use domain::secret::Secret;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use oauth::client::discovery::{Begin, Discovery, Next, Visit};
use oauth::client::exchange::Pending;
use oauth::client::grant::{Grant, NotRefreshed};
use oauth::client::identity::Identity;
use oauth::client::unattended::{Basis, Found, Provider};
use oauth::client::{Answer, Body, Refusal, Request, Step};

use crate::{Fetched, Fetcher};

/// Documents and answers of token endpoints are far smaller.
const LIMIT: usize = 256 << 10;
/// The way to a person's decision takes eight requests at most: three documents of the server, three of the authorization
/// server, a registration.
const REQUESTS: usize = 8;

/// Finds out where a person has to decide.
///
/// # Errors
/// Why nobody can.
pub async fn discover(fetcher: &Fetcher, begin: Begin) -> Result<Visit, Refusal> {
    match walk(fetcher, begin).await? {
        Next::Visit(visit) => Ok(*visit),
        _ => Err(refused(Step::Authorization, "no person is to be asked")),
    }
}

/// Finds out where a token is given without a person; what is begun has no profile.
///
/// # Errors
/// Why there is no such place.
pub async fn discover_unattended(fetcher: &Fetcher, begin: Begin) -> Result<Found, Refusal> {
    match walk(fetcher, begin).await? {
        Next::Ask(found) => Ok(*found),
        _ => Err(refused(Step::Token, "a person is to be asked")),
    }
}

/// As far as it goes without anybody.
async fn walk(fetcher: &Fetcher, begin: Begin) -> Result<Next, Refusal> {
    let (mut discovery, mut next) = Discovery::begin(begin)?;
    for _ in 0..=REQUESTS {
        let Next::Send(request) = next else { return Ok(next) };
        let came = send(fetcher, request).await;
        next = discovery.answer(answer(&came))?;
    }
    Err(refused(Step::Authorization, "it takes too many requests"))
}

fn refused(step: Step, why: &str) -> Refusal {
    Refusal { step, why: why.to_owned() }
}

/// Gets a token without a person; `proof` as in [`Found::ask`].
///
/// # Errors
/// Why there is none.
pub async fn ask(
    fetcher: &Fetcher,
    found: &Found,
    identity: &Identity,
    basis: Basis<'_>,
    proof: Option<&Secret>,
) -> Result<Grant, Refusal> {
    let came = send(fetcher, found.ask(identity, basis, proof)?).await;
    found.take(identity, answer(&came).map_err(|why| refused(Step::Token, why))?)
}

/// Has an identity provider vouch for one of its people.
///
/// # Errors
/// Why it does not.
pub async fn vouched(fetcher: &Fetcher, provider: &Provider, found: &Found) -> Result<Secret, Refusal> {
    let came = send(fetcher, provider.ask(found)).await;
    provider.take(answer(&came).map_err(|why| refused(Step::Token, why))?)
}

/// Takes the query that a person brought back, and changes it for a token.
///
/// # Errors
/// Why there is none.
pub async fn redeem(fetcher: &Fetcher, pending: &Pending, query: &str) -> Result<Grant, Refusal> {
    let came = send(fetcher, pending.returned(query)?).await;
    pending.take(answer(&came).map_err(|why| refused(Step::Token, why))?)
}

/// Gets the next token without a person.
///
/// # Errors
/// Why there is none, and whether there may be one later.
pub async fn refresh(fetcher: &Fetcher, grant: &Grant) -> Result<Grant, NotRefreshed> {
    let request = grant.refresh().ok_or_else(|| {
        NotRefreshed::Over(Refusal {
            step: Step::Refresh,
            why: format!("{} gave no refresh token", grant.identity.issuer),
        })
    })?;
    grant.refreshed(answer(&send(fetcher, request).await))
}

fn answer(fetched: &Result<Fetched, String>) -> Result<Answer<'_>, &str> {
    match fetched {
        Ok(Fetched { status, body, .. }) => Ok(Answer { status: status.as_u16(), body }),
        Err(why) => Err(why),
    }
}

async fn send(fetcher: &Fetcher, request: Request) -> Result<Fetched, String> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(authorization) = &request.authorization {
        let mut value = HeaderValue::from_str(authorization.expose())
            .map_err(|_| "the client's credentials cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let (method, kind, body) = match request.body {
        Body::None => (Method::GET, None, Bytes::new()),
        Body::Json(text) => (Method::POST, Some("application/json"), Bytes::from(text)),
        Body::Form(form) => {
            let form = Bytes::copy_from_slice(form.expose().as_bytes());
            (Method::POST, Some("application/x-www-form-urlencoded"), form)
        }
    };
    if let Some(kind) = kind {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    fetcher.send(method, &request.url, headers, body, LIMIT).await.map_err(|error| error.to_string())
}
