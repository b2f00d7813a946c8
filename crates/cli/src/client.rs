//! The control plane's JSON API, called as the owner of a token. Knows paths and errors, prints nothing.

use std::time::Duration;

use api::errors::{ErrorBody, ErrorCode, ErrorDetail};
use api::instances::Instance;
use hop::tls::Pin;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CliError;
use crate::settings::Settings;

/// How long an answer may take; streams have no such limit.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of `/api/v1`.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    settings: Settings,
    http: reqwest::Client,
}

impl Client {
    /// Makes one; nothing is sent.
    pub(crate) fn new(settings: Settings) -> Result<Self, CliError> {
        let http = http_client(&settings.url, settings.tls_pin)?;
        Ok(Self { settings, http })
    }

    /// Where requests go and under which token.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The HTTP client beneath, for the MCP addresses of the same Berth.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// `GET`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::GET, path).timeout(PATIENCE)).await
    }

    /// `POST` with a body.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        self.read(self.request(Method::POST, path).json(body).timeout(PATIENCE)).await
    }

    /// `PATCH` with a body.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        self.read(self.request(Method::PATCH, path).json(body).timeout(PATIENCE)).await
    }

    /// `PUT` with a body.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        self.read(self.request(Method::PUT, path).json(body).timeout(PATIENCE)).await
    }

    /// `PUT` with a body; what is answered does not matter.
    pub(crate) async fn replace(&self, path: &str, body: &impl Serialize) -> Result<(), CliError> {
        self.send(self.request(Method::PUT, path).json(body).timeout(PATIENCE)).await.map(drop)
    }

    /// `POST` without a body.
    pub(crate) async fn act<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::POST, path).timeout(PATIENCE)).await
    }

    /// `DELETE`; what is answered does not matter.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), CliError> {
        self.send(self.request(Method::DELETE, path).timeout(PATIENCE)).await.map(drop)
    }

    /// `DELETE`, with what is answered.
    pub(crate) async fn take_back<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.read(self.request(Method::DELETE, path).timeout(PATIENCE)).await
    }

    /// `GET` of something that goes on: the answer's head, its body still to come.
    pub(crate) async fn stream(&self, path: &str) -> Result<Response, CliError> {
        self.send(self.request(Method::GET, path)).await
    }

    /// The path of one instance. The name is a path part of its own, whatever was typed.
    pub(crate) fn instance_path(name: &str, then: &str) -> String {
        format!("/instances/{}{then}", path_part(name))
    }

    /// One instance; an unknown name proposes the nearest.
    pub(crate) async fn instance(&self, name: &str) -> Result<Instance, CliError> {
        let found = self.get(&Self::instance_path(name, "")).await;
        self.with_nearest(name, found).await
    }

    /// Adds the nearest existing name to an error that says there is no such instance.
    pub(crate) async fn with_nearest<T>(
        &self,
        name: &str,
        result: Result<T, CliError>,
    ) -> Result<T, CliError> {
        match result {
            Err(CliError::Refused(detail)) if detail.code == ErrorCode::NotFound && detail.hint.is_none() => {
                let known: Vec<Instance> = self.get("/instances").await.unwrap_or_default();
                let names: Vec<&str> = known.iter().map(|instance| instance.name.as_str()).collect();
                Err(CliError::Refused(detail).with_hint(nearest_hint(name, &names)))
            }
            other => other,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/api/v1{path}", self.settings.url))
            .bearer_auth(self.settings.token.expose())
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CliError> {
        let response = self.send(request).await?;
        let body = response.bytes().await.map_err(|e| self.lost(e))?;
        serde_json::from_slice(&body).map_err(|error| {
            CliError::because(format!("{} answered what is no answer of a Berth", self.settings.url), error)
                .with_hint(
                    "check the address, and that this `berth` and the one that answers have the same version",
                )
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|e| self.lost(e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.map_err(|e| self.lost(e))?;
        Err(refused(&self.settings.url, status, &body))
    }

    /// What a failed exchange means: nobody there, too slow, or broken off.
    pub(crate) fn lost(&self, error: reqwest::Error) -> CliError {
        let url = &self.settings.url;
        // The URL is said once, and a query could hold more than people should read.
        let error = error.without_url();
        if error.is_connect() {
            let hint = if url.starts_with("https://") {
                "check the address; a Berth whose certificate no authority knows is reached with `--tls-pin PIN`, which it \
                 prints when it starts"
            } else {
                "start it with `berth up`"
            };
            CliError::because(format!("no Berth answers at {url}"), innermost(&error)).with_hint(hint)
        } else if error.is_timeout() {
            CliError::failed(format!("{url} took longer than {} s to answer", PATIENCE.as_secs()))
        } else {
            CliError::because(format!("the connection to {url} broke off"), innermost(&error))
        }
    }
}

/// The one place that builds an HTTP client. No proxy is used: addresses are this machine's or the owner's, and a
/// proxy from the environment would see the token.
///
/// With a pin nobody but who has that key is spoken to. For `http://` no certificates are loaded: the platform's verifier refuses to start on a machine without any.
pub(crate) fn http_client(url: &str, pin: Option<Pin>) -> Result<reqwest::Client, CliError> {
    http_client_through(url, pin, None)
}

/// As [`http_client`], through a proxy that was named for it.
pub(crate) fn http_client_through(
    url: &str,
    pin: Option<Pin>,
    proxy: Option<&dtma::Proxy>,
) -> Result<reqwest::Client, CliError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .tcp_nodelay(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = proxy {
        builder = proxy.apply(builder);
    }
    if let Some(pin) = pin {
        let tls = hop::tls::client_config(Some(&pin))
            .map_err(|error| CliError::because("cannot make an HTTPS client", error))?;
        builder = builder.tls_backend_preconfigured(tls);
    } else if url.starts_with("http://") {
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        CliError::because("cannot make an HTTPS client", error)
            .with_hint("install the system's certificates: `apt-get install ca-certificates`")
    })
}

/// The hint after an unknown name.
pub(crate) fn nearest_hint(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`? `berth list` shows all"),
        None => "`berth list` shows all, `berth deploy SERVER` makes one".to_owned(),
    }
}

/// The known word that was most likely meant.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|&other| (strsim::jaro_winkler(word, other), other))
        .filter(|&(likeness, _)| 0.75 <= likeness)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

/// Escapes everything that could end a part of a path.
pub(crate) fn path_part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // A lone dot too: `.` and `..` would be taken out of the path on the way.
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(digit.into(), 16).map(|c| c.to_ascii_uppercase()));
            }
        }
    }
    out
}

/// The cause of all causes: the layers between say the same again, in the words of libraries.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What an answer outside 2xx means.
pub(crate) fn refused(url: &str, status: StatusCode, body: &[u8]) -> CliError {
    if let Ok(ErrorBody { error }) = serde_json::from_slice(body) {
        return CliError::Refused(Box::new(with_token_hint(error)));
    }
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next().unwrap_or_default().chars().take(200).collect::<String>();
    CliError::failed(format!("{url} answered {status}: {line}"))
        .with_hint("check that a Berth answers at this address")
}

fn with_token_hint(mut detail: ErrorDetail) -> ErrorDetail {
    if detail.code == ErrorCode::Unauthorized && detail.hint.is_none() {
        detail.hint = Some(
            "check BERTH_TOKEN, or `client.toml` in the data directory; `berth token create NAME` makes a new one"
                .to_owned(),
        );
    }
    detail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_parts_stay_parts() {
        for (typed, part) in [
            ("everything", "everything"),
            ("../x", "%2E%2E%2Fx"),
            ("a b?c#d", "a%20b%3Fc%23d"),
            ("ä", "%C3%A4"),
            ("..", "%2E%2E"),
        ] {
            assert_eq!(path_part(typed), part);
        }
    }

    #[test]
    fn proposes_the_nearest() {
        let known = ["welcome", "everything", "clock"];
        assert_eq!(nearest("welcom", &known), Some("welcome"));
        assert_eq!(nearest("evrything", &known), Some("everything"));
        assert_eq!(nearest("zzz", &known), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
