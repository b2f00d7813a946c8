//! Packages for a host that reaches its control plane alone: an address of this machine where npm, pip and the Docker engine ask, and whose
//! questions are put to the control plane under the environment's token.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::runtime::docker::Passes;
use api::dtma::{RELAY_BASE, RELAY_PATH};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use domain::secret::Secret;
use hop::serve::Listener;
use reqwest::Url;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::DtmaError;
use crate::config::Config;
use crate::heartbeat;
use crate::images;
use crate::instance::chain;

/// A control plane that is silent for so long is away.
const SILENCE: Duration = Duration::from_mins(2);

/// The address, and where its questions go.
#[derive(Debug)]
pub struct Relay {
    listener: TcpListener,
    way: Way,
}

#[derive(Debug, Clone)]
pub(crate) struct Way {
    client: reqwest::Client,
    control: Url,
    token: Secret,
    /// Where it listens itself, such as `http://127.0.0.1:41234`.
    base: String,
    /// What the engine may ask for.
    pub(crate) passes: Arc<Passes>,
}

impl Way {
    /// A question to the control plane. The path must be a plain one.
    pub(crate) fn ask(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut place = self.control.clone();
        place.set_path(path);
        self.client.request(method, place).bearer_auth(self.token.expose())
    }
}

impl Relay {
    /// Listens on a free port of the loopback address. Every program of this host may ask there: what it gets of packages is what everybody
    /// can get from the registries. Images may be private, so they take the key of a pull that is under way.
    ///
    /// # Errors
    /// [`DtmaError::Relay`], [`DtmaError::ControlUrl`]
    pub async fn listen(config: &Config) -> Result<Self, DtmaError> {
        let url = config.control_url.as_deref().ok_or_else(|| {
            DtmaError::Relay("no control plane is configured that packages could come from".to_owned())
        })?;
        let control = heartbeat::place(url, config.tls_pin, RELAY_PATH)
            .map_err(|reason| DtmaError::ControlUrl { url: url.to_owned(), reason })?;
        let client = heartbeat::http_client(&control, config.tls_pin, config.proxy.as_ref(), |builder| {
            builder.connect_timeout(Duration::from_secs(10)).read_timeout(SILENCE)
        })
        .map_err(DtmaError::Relay)?;
        let failed = |error: std::io::Error| DtmaError::Relay(error.to_string());
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (base, passes) = (format!("http://{address}"), Passes::new(address));
        Ok(Self { listener, way: Way { client, control, token: config.token.clone(), base, passes } })
    }

    /// What lets the engine pull here.
    pub fn passes(&self) -> Arc<Passes> {
        Arc::clone(&self.way.passes)
    }

    /// What npm and pip are told.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let base = &self.way.base;
        let direct = "localhost,127.0.0.1,::1";
        [
            ("npm_config_registry", format!("{base}/npm/")),
            ("PIP_INDEX_URL", format!("{base}/pypi/simple/")),
            ("NO_PROXY", direct.to_owned()),
            ("no_proxy", direct.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Serves until `stop`.
    pub async fn serve(self, stop: CancellationToken) {
        let router = Router::new()
            .route("/v2/", get(images::speaks))
            .route("/v2/{key}/{kind}/{reference}", get(images::pass))
            .fallback(pass)
            .with_state(Arc::new(self.way));
        hop::serve::serve_router(Listener::Tcp(self.listener), router, stop.cancelled_owned()).await;
    }
}

async fn pass(State(way): State<Arc<Way>>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        // npm asks for audits in this way, and goes on without.
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = request.uri().path();
    // Nothing else of the control plane may be asked under the token, whatever the path looks like.
    let is_package = path.starts_with("/npm/") || path.starts_with("/pypi/");
    let dots = path.to_ascii_lowercase().replace("%2e", ".");
    if !is_package || dots.split(['/', '\\']).any(|part| matches!(part, "." | "..")) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut headers = HeaderMap::new();
    for name in [header::ACCEPT, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
        headers.extend(request.headers().get(&name).map(|value| (name, value.clone())));
    }
    let asked = way.ask(request.method().clone(), &format!("{RELAY_PATH}{path}"));
    let asked = asked.headers(headers).header(RELAY_BASE, &way.base);
    let response = match asked.send().await {
        Ok(response) => response,
        Err(error) => {
            let error = chain(&error.without_url());
            tracing::warn!(error, "the control plane gives no packages");
            return (StatusCode::BAD_GATEWAY, format!("the control plane gives no packages: {error}\n"))
                .into_response();
        }
    };
    let status = match response.status() {
        // Whoever asked has shown no token that could be wrong.
        StatusCode::UNAUTHORIZED => StatusCode::BAD_GATEWAY,
        status => status,
    };
    let mut headers = HeaderMap::new();
    for name in [
        header::CONTENT_TYPE,
        header::ETAG,
        header::LAST_MODIFIED,
        header::CACHE_CONTROL,
        header::CONTENT_LENGTH,
    ] {
        headers.extend(response.headers().get(&name).map(|value| (name, value.clone())));
    }
    let mut answer = Response::new(Body::from_stream(response.bytes_stream()));
    (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
    answer
}
