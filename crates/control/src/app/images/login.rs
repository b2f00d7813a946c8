//! How a registry is shown who asks: the challenges of the distribution specification, `Bearer` with a token from where the registry says, and
//! `Basic`. Tokens are not kept: nobody gets one that was made for another.

use api::errors::ErrorCode;
use domain::registry::RegistryLogin;
use domain::secret::Secret;
use http::HeaderValue;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use reqwest::{Response, Url};
use serde::Deserialize;

use super::{Asked, Images, away, refusal, whole};
use crate::app::{Outcome, Problem};

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Bearer { realm: String, service: Option<String> },
    Basic,
}

/// The answer of a registry's token server; both names are in use.
#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<Secret>,
    #[serde(default)]
    access_token: Option<Secret>,
}

impl Images {
    /// What a registry that answered 401 wants to see; `None` when there is nothing to show, so that its answer stands.
    pub(super) async fn authorize(
        &self,
        asked: &Asked,
        response: &Response,
        login: Option<&RegistryLogin>,
    ) -> Outcome<Option<HeaderValue>> {
        let texts =
            response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        match challenge(texts) {
            Some(Challenge::Basic) => Ok(login.and_then(basic)),
            Some(Challenge::Bearer { realm, service }) => {
                self.token(asked, &realm, service.as_deref(), login).await.map(Some)
            }
            None => Ok(None),
        }
    }

    async fn token(
        &self,
        asked: &Asked,
        realm: &str,
        service: Option<&str>,
        login: Option<&RegistryLogin>,
    ) -> Outcome<HeaderValue> {
        let registry = asked.image.registry();
        let no_answer = || {
            let message = format!("the token server of {registry} gives no token for {}", asked.shown());
            Problem::refused(ErrorCode::BadGateway, message)
        };
        let mut url = Url::parse(realm).map_err(|_| no_answer())?;
        // The registry says where its logins go. No further than where it may be itself.
        self.places.check(&url).map_err(|error| away(asked, &error))?;
        // Whatever it says that is needed: it is asked for this repository, and for reading it.
        let scope = format!("repository:{}:pull", asked.image.repository());
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .append_pair("scope", &scope);
        let mut request = self.client().await?.get(url);
        if let Some(basic) = login.and_then(basic) {
            request = request.header(AUTHORIZATION, basic);
        }
        let response = request.send().await.map_err(|error| away(asked, &error.without_url()))?;
        if !response.status().is_success() {
            return Err(refusal(asked, login.is_some(), response).await);
        }
        let body = whole(response).await.map_err(|failed| failed.told(asked))?;
        let token: Token = serde_json::from_slice(&body).map_err(|_| no_answer())?;
        let token = token.token.or(token.access_token).ok_or_else(no_answer)?;
        sensitive(format!("Bearer {}", token.expose())).ok_or_else(no_answer)
    }
}

fn basic(login: &RegistryLogin) -> Option<HeaderValue> {
    use base64::Engine as _;
    let both = format!("{}:{}", login.username, login.password.expose());
    sensitive(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(both)))
}

fn sensitive(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What of several challenges is answered: a token rather than the password itself.
fn challenge<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let all = texts.filter_map(|text| http_auth::parse_challenges(text).ok()).flatten();
    let known = all.filter_map(|challenge| {
        let part = |name: &str| {
            let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            Some(found.1.to_unescaped())
        };
        if challenge.scheme.eq_ignore_ascii_case("bearer") {
            Some(Challenge::Bearer { realm: part("realm")?, service: part("service") })
        } else {
            challenge.scheme.eq_ignore_ascii_case("basic").then_some(Challenge::Basic)
        }
    });
    known.min_by_key(|challenge| *challenge == Challenge::Basic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let check = |texts: &[&str], expected: Option<Challenge>| {
            assert_eq!(challenge(texts.iter().copied()), expected, "{texts:?}");
        };
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        check(
            &[
                r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a:pull,push""#,
            ],
            bearer("https://auth.example/token", Some("r.example")),
        );
        check(&[r#"bearer REALM="https://a.example/t?x=1""#], bearer("https://a.example/t?x=1", None));
        check(&[r#"Basic realm="a, b", charset="UTF-8""#], Some(Challenge::Basic));
        check(&[r#"Basic realm="a""#, r#"Bearer realm="https://t""#], bearer("https://t", None));
        check(&[r#"Basic realm="a", Bearer realm="https://t""#], bearer("https://t", None));
        check(&["Negotiate", "Bearer", "\u{1}", ""], None);
        check(&[], None);
    }
}
