//! Requests to what strangers name: documents of clients and of authorization servers.
//!
//! Without a limit whoever names an address could have this process read what only it reaches. So: HTTPS, to addresses of the
//! internet alone, looked at after the name was resolved, and the connection goes to the very address that was looked at; no
//! redirects; small answers, in good time.

pub mod client;
mod open;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;
use reqwest::dns::{Name, Resolve, Resolving};

pub use crate::open::is_open;

/// Until a connection stands, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// From the beginning of a request to the end of its answer.
const WHOLE: Duration = Duration::from_secs(30);
/// What names the proxy that this process speaks through.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// How far requests may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// To addresses of the internet, with TLS.
    #[default]
    Internet,
    /// Anywhere, also without TLS: because the operator said so.
    Everywhere,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is no URL that could be asked.
    #[error("{0} is no https:// URL that can be asked")]
    Url(String),
    /// It is in a place that nobody outside reaches, and the operator did not say that it may be asked.
    #[error("{0} is not on the internet, and is not asked on behalf of others")]
    Closed(String),
    /// The connection could not be made, or broke.
    #[error("{host} does not answer: {why}")]
    Away {
        /// Whom it is about.
        host: String,
        /// In words.
        why: String,
    },
    /// The answer is larger than what was asked for could be.
    #[error("{host} answered with more than {limit} bytes")]
    TooLong {
        /// Whom it is about.
        host: String,
        /// In bytes.
        limit: usize,
    },
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The status; a redirect is one like any other.
    pub status: StatusCode,
    /// The header.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Makes such requests.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: reqwest::Client,
    reach: Reach,
}

impl Fetcher {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When the system's certificates cannot be worked with.
    pub fn new(reach: Reach) -> Result<Self, reqwest::Error> {
        let proxy = |name: &str| {
            let text = std::env::var(name).ok()?;
            let full = if text.contains("://") { text } else { format!("http://{text}") };
            Url::parse(&full).ok()?.host_str().map(str::to_owned)
        };
        let proxies = PROXIES.into_iter().filter_map(proxy).collect();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(Resolver { reach, proxies }))
            .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, reach })
    }

    /// Sends a request and reads the whole answer, of at most `limit` bytes.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        limit: usize,
    ) -> Result<Fetched, FetchError> {
        let parsed = self.check(url)?;
        let host = shown(&parsed);
        let away = |error: reqwest::Error| match closed(&error) {
            Some(Closed(name)) => FetchError::Closed(name.clone()),
            None => FetchError::Away { host: host.clone(), why: innermost(&error) },
        };
        let request = self.client.request(method, parsed).headers(headers).body(body);
        let mut response = request.send().await.map_err(away)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if limit < body.len() + chunk.len() {
                return Err(FetchError::TooLong { host, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched { status, headers, body: body.into() })
    }

    /// Whether a URL may be asked, as far as it says itself; what its name leads to is seen when it is resolved.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, url: &str) -> Result<Url, FetchError> {
        let parsed: Url = url.parse().map_err(|_| FetchError::Url("the address".to_owned()))?;
        let has_user = !parsed.username().is_empty() || parsed.password().is_some();
        let is_scheme = match parsed.scheme() {
            "https" => true,
            "http" => self.reach == Reach::Everywhere,
            _ => false,
        };
        if has_user || !is_scheme || parsed.host_str().is_none() {
            return Err(FetchError::Url(shown(&parsed)));
        }
        let is_closed = parsed.domain().is_none() && address(&parsed).is_none_or(|address| !is_open(address));
        if is_closed && self.reach == Reach::Internet {
            return Err(FetchError::Closed(shown(&parsed)));
        }
        Ok(parsed)
    }
}

/// Its origin, which holds no credentials.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or("the address");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn address(url: &Url) -> Option<std::net::IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// Finds addresses for names, and none that may not be asked.
#[derive(Debug)]
struct Resolver {
    reach: Reach,
    proxies: Vec<String>,
}

/// A name that leads to no address of the internet.
#[derive(Debug, thiserror::Error)]
#[error("{0} leads to no address of the internet")]
struct Closed(String);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let may_be_anywhere =
            self.reach == Reach::Everywhere || self.proxies.iter().any(|proxy| proxy == name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> =
                found.filter(|found| may_be_anywhere || is_open(found.ip())).collect();
            if found.is_empty() {
                return Err(Closed(name.as_str().to_owned()).into());
            }
            Ok(Box::new(found.into_iter()) as Box<_>)
        })
    }
}

fn closed<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Closed> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(closed) = error.downcast_ref() {
            return Some(closed);
        }
        cause = error.source();
    }
    None
}

/// The cause that says most: the one that no other caused.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
