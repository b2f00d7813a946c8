//! HTTP to one server: pooled connections, TLS, and the owner's headers on every request.
//!
//! HTTP/1.1 only: every server speaks it, and a call that is given up is noticed by its connection ending. Redirects are
//! not followed, because the owner's credentials would go along.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tower_service::Service;

use super::credentials::{self, Purse, Token};
use super::fault::Fault;
use super::{Target, body};

/// Until a connection stands, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection that was not used for so long is closed, before the server does it at the moment of the next call, of which
/// nobody could say then whether it was taken. Node and uvicorn, which most servers are made with, keep one for five seconds.
const IDLE: Duration = Duration::from_secs(4);
const MAX_IDLE: usize = 64;
/// A silent connection is probed after this and this often, so that a stream whose other end has vanished is noticed, and
/// those between the ends do not forget it.
const PROBE: Duration = Duration::from_secs(30);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("berth/", env!("CARGO_PKG_VERSION")));
/// Belongs to a connection or is found from the message; the owner cannot set them.
const OURS: [HeaderName; 3] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];

/// The way to one server.
pub(super) struct Link {
    client: Client<Connector, Full<Bytes>>,
    url: Uri,
    host: Box<str>,
    post: HeaderMap,
    get: HeaderMap,
    purse: Option<Arc<Purse>>,
}

/// What an answer's body is, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    Events,
    Html,
    Other,
}

impl Link {
    /// Connects to nothing yet. Fails, in words, when the URL or the system's certificates cannot be worked with.
    pub(super) fn new(target: Target) -> Result<Self, String> {
        let Target { url, headers: mut get, purse, .. } = target;
        // What the owner gave is what is shown, and nothing else.
        let purse = purse.filter(|_| !get.contains_key(AUTHORIZATION));
        let host = url.authority().map_or("", http::uri::Authority::as_str);
        // What stands before `@` is a credential.
        let host: Box<str> = host.rsplit_once('@').map_or(host, |(_, host)| host).into();
        let tls = match url.scheme_str() {
            Some("https") if !host.is_empty() => tls()?,
            // The connector wants a configuration; without TLS nobody is trusted by it.
            Some("http") if !host.is_empty() => {
                builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
            }
            _ => {
                return Err("the server's URL must begin with http:// or https:// and name a host".to_owned());
            }
        };
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_keepalive(Some(PROBE));
        http.set_keepalive_interval(Some(PROBE));
        http.enforce_http(false);
        let connector = Connector(HttpsConnector::from((http, tls)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector);
        for name in OURS {
            get.remove(name);
        }
        for value in get.values_mut() {
            value.set_sensitive(true);
        }
        get.entry(USER_AGENT).or_insert(AGENT);
        let mut post = get.clone();
        get.insert(ACCEPT, EVENTS);
        post.insert(ACCEPT, BOTH);
        post.insert(CONTENT_TYPE, JSON);
        Ok(Self { client, url, host, post, get, purse })
    }

    /// Host and port, for words; never credentials, and never the path and query, which may hold some.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Where the owner said that the server is.
    pub(super) fn url(&self) -> &Uri {
        &self.url
    }

    /// The headers of every message, to be completed.
    pub(super) fn for_post(&self) -> HeaderMap {
        self.post.clone()
    }

    /// The headers of everything else, to be completed.
    pub(super) fn for_get(&self) -> HeaderMap {
        self.get.clone()
    }

    /// Sends a message to the server's URL and gives the answer as soon as its head is here.
    pub(super) async fn post(&self, headers: HeaderMap, message: Bytes) -> Result<Response<Incoming>, Fault> {
        self.send(Method::POST, self.url.clone(), headers, message).await
    }

    /// Sends any request to any URL of the server's.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Fault> {
        let Some(purse) = &self.purse else { return self.send_once(method, url, headers, body).await };
        let mut token = purse.ready().await;
        let mut reasons = Vec::new();
        loop {
            let mut shown = headers.clone();
            if let Some(Token { header, .. }) = &token {
                shown.insert(AUTHORIZATION, header.clone());
            }
            let response = self.send_once(method.clone(), url.clone(), shown, body.clone()).await?;
            let wanted = credentials::wanted(response.status(), response.headers(), token.as_ref());
            // Each reason once: a server that is never content would have people sign in for ever.
            let Some(wanted) = wanted.filter(|wanted| !reasons.contains(&wanted.reason)) else {
                return Ok(response);
            };
            reasons.push(wanted.reason);
            body::drain(response.into_body()).await;
            token = Some(purse.renew(wanted).await.map_err(|why| Fault::Unauthorized(why.into()))?);
        }
    }

    async fn send_once(
        &self,
        method: Method,
        url: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Fault> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        self.client.request(request).await.map_err(|error| {
            let why = innermost(&error);
            if error.is_connect() { Fault::Unreachable(why) } else { Fault::Lost(why) }
        })
    }
}

/// What a status says when no message came with it, or `None` when it is one of success.
pub(super) fn fault_of(status: StatusCode, headers: &HeaderMap) -> Option<Fault> {
    if status.is_success() {
        return None;
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    Some(if status.is_redirection() {
        // A query may hold credentials.
        let to = text(http::header::LOCATION).and_then(|to| to.split(['?', '#']).next());
        Fault::Redirect { status, to: to.filter(|to| !to.contains('@')).map(Into::into) }
    } else {
        let after = text(http::header::RETRY_AFTER).and_then(|after| after.parse().ok());
        Fault::Status { status, after }
    })
}

/// What kind of body it is.
pub(super) fn content(headers: &HeaderMap) -> Content {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is = |other: &str| kind.eq_ignore_ascii_case(other);
    if is("application/json") {
        Content::Json
    } else if is("text/event-stream") {
        Content::Events
    } else if is("text/html") {
        Content::Html
    } else {
        Content::Other
    }
}

/// The cause that says most: the one that no other caused.
fn innermost(error: &dyn std::error::Error) -> Box<str> {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string().into()
}

/// One provider of cryptography, named here because others may be linked too.
fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))
}

fn tls() -> Result<ClientConfig, String> {
    let trusting = builder()?.with_platform_verifier().map_err(|error| {
        format!(
            "the certificates that this system trusts cannot be read ({error}); install them, such as by the package \
             ca-certificates"
        )
    })?;
    Ok(trusting.with_no_client_auth())
}

/// Opens connections, each within [`CONNECT`].
#[derive(Clone)]
struct Connector(HttpsConnector<HttpConnector>);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connecting = self.0.call(url);
        Box::pin(async move {
            match tokio::time::timeout(CONNECT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(format!("no connection within {} s", CONNECT.as_secs()).into()),
            }
        })
    }
}
