//! Whether a client is the one that it says it is, at the endpoints that are for clients (OAuth 2.1 §2.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::secret;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use oauth::errors::{Code, Refused};
use oauth::parameters::Parameters;

use crate::app::App;
use crate::app::oauth::clients::{self, Client, Proof};
use crate::app::oauth::{Failure, assertions};
use crate::auth::token;

/// The type of a JWT by which a client proves who it is (RFC 7523 §2.2).
const JWT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn invalid(words: &str) -> Refused {
    Refused::new(Code::InvalidClient, words)
}

/// Id and secret of `Authorization: Basic`, each of which was form-encoded (RFC 6749 §2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, Refused> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let bad = || invalid("`Authorization` is no `Basic` with a client's id and secret");
    let (scheme, rest) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(bad)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(bad());
    }
    let text =
        STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(bad)?;
    let (id, secret) = text.split_once(':').ok_or_else(bad)?;
    let decoded = |text: &str| {
        // One name without a value is what decodes it.
        let name = Parameters::parse(format!("x={}", text.replace('&', "%26")).as_bytes());
        name.one("x").map(|value| value.unwrap_or_default().to_owned())
    };
    Ok(Some((decoded(id)?, decoded(secret)?)))
}

/// The client that sends a request. `issuer` is the address that it came by.
///
/// # Errors
/// [`Code::InvalidClient`] when it does not prove who it is in the way that it registered, or in two at once.
pub(crate) async fn client(
    app: &App,
    issuer: &str,
    headers: &HeaderMap,
    given: &Parameters,
) -> Result<Client, Failure> {
    let (basic, posted) = (basic(headers)?, given.one("client_secret")?);
    let assertion = given.one("client_assertion")?;
    if 1 < usize::from(basic.is_some()) + usize::from(posted.is_some()) + usize::from(assertion.is_some()) {
        return Err(invalid("a client proves who it is in one way alone").into());
    }
    let said = given.one("client_id")?;
    let id = match (&basic, said, assertion) {
        (Some((id, _)), None, _) => id.clone(),
        (Some((id, _)), Some(said), _) if id == said => id.clone(),
        (Some(_), Some(_), _) => return Err(invalid("`client_id` is not the one in `Authorization`").into()),
        (None, Some(said), _) => said.to_owned(),
        (None, None, Some(assertion)) => assertions::subject(assertion)?,
        (None, None, None) => return Err(Failure::new(Code::InvalidRequest, "`client_id` is missing")),
    };
    let client = clients::find(app, &id).await?;
    match client.proof() {
        Proof::None if assertion.is_some() => {
            return Err(invalid("this client registered no key").into());
        }
        // A secret that nobody gave it proves nothing, and older clients send an empty or made-up one.
        Proof::None => {}
        Proof::Secret => {
            let shown = basic.as_ref().map(|(_, secret)| secret.as_str()).or(posted);
            let shown = shown.ok_or_else(|| invalid("this client's secret is missing"))?;
            let expected = client.secret_hash.as_deref().unwrap_or_default();
            if !secret::same(token::hash_text(shown).as_bytes(), expected.as_bytes()) {
                return Err(invalid("this is not the client's secret").into());
            }
        }
        Proof::Jwt => {
            let assertion =
                assertion.ok_or_else(|| invalid("this client proves who it is by `private_key_jwt`"))?;
            if given.one("client_assertion_type")? != Some(JWT_ASSERTION) {
                return Err(invalid("`client_assertion_type` is not the one of RFC 7523").into());
            }
            assertions::of_client(app, issuer, &client, assertion).await?;
        }
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_secrets_were_form_encoded() {
        let check = |value: &str, expected: Option<(&str, &str)>| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, format!("Basic {}", STANDARD.encode(value)).parse().unwrap());
            let found = basic(&headers).unwrap();
            assert_eq!(
                found.as_ref().map(|(id, secret)| (id.as_str(), secret.as_str())),
                expected,
                "{value}"
            );
        };
        check("id:secret", Some(("id", "secret")));
        check("https%3A%2F%2Fa%2Fb:a%3Ab+c%26", Some(("https://a/b", "a:b c&")));
        check("id:a&b", Some(("id", "a&b")));
        check("id:", Some(("id", "")));
        let mut headers = HeaderMap::new();
        assert_eq!(basic(&headers), Ok(None));
        for bad in ["Bearer x", "Basic", "Basic !", "Basic aWQ="] {
            headers.insert(AUTHORIZATION, bad.parse().unwrap());
            assert_eq!(basic(&headers).unwrap_err().code, Code::InvalidClient, "{bad}");
        }
    }
}
