//! The HTTP API on port 30000: the router, who may ask, and the description of both.
//!
//! Handlers parse, call one function of [`crate::instances`], and render.

mod cleanup;
mod console;
mod errors;
mod forward;
mod host;
mod instances;
mod logs;
mod older;
mod upgrade;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use domain::ids::EnvironmentId;
use domain::secret::{self, Secret};
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::checks::Checks;
use crate::instances::Instances;
use crate::own_log::OwnLog;
use crate::system::Meter;
use crate::upgrade::Upgrades;
use crate::usage::Gauge;
use errors::Refusal;

/// The largest JSON body, in bytes. What passes through to a shim has the shim's own limit.
const MAX_JSON: usize = 1 << 20;

/// What the handlers work on.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) instances: Instances,
    pub(crate) environment: EnvironmentId,
    pub(crate) meter: Arc<Mutex<Meter>>,
    /// The token's hash: of what is compared, the length says nothing.
    pub(crate) token: [u8; 32],
    /// The hash of the key that older backends share, when it is switched on. It opens the older paths alone.
    pub(crate) backend_key: Option<[u8; 32]>,
    /// Whether heartbeats go anywhere.
    pub(crate) reports: bool,
    /// What instances use.
    pub(crate) gauge: Gauge,
    /// Another binary for this host.
    pub(crate) upgrades: Arc<Upgrades>,
    /// What the DTMA says.
    pub(crate) log: OwnLog,
    /// What it finds on its machine.
    pub(crate) checks: Arc<Checks>,
    /// Ends the DTMA, and with it the answers that have no end of their own.
    pub(crate) stop: CancellationToken,
}

/// The hash under which a token is kept and compared.
pub(crate) fn hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose().as_bytes()).into()
}

/// The whole API as a service.
#[derive(Clone)]
pub(crate) struct Front {
    app: Arc<App>,
    router: Router,
}

/// The whole API.
pub(crate) fn front(app: App) -> Front {
    Front { router: router(app.clone()), app: Arc::new(app) }
}

impl hyper::service::Service<hyper::Request<Incoming>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    /// A call that is in order takes the short way; everything else, refusals too, is the router's.
    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let request = request.map(Body::new);
        if let Some(id) = forward::instance_of(&request).filter(|_| is_allowed(&self.app, &request)) {
            let app = Arc::clone(&self.app);
            return Box::pin(async move {
                Ok(forward::call(&app, id, request).await.unwrap_or_else(IntoResponse::into_response))
            });
        }
        let mut router = self.router.clone();
        Box::pin(async move { tower::Service::call(&mut router, request).await })
    }
}

fn router(app: App) -> Router {
    let (router, _) = described().split_for_parts();
    let guarded = middleware::from_fn_with_state(app.clone(), guard);
    router
        .merge(older::router())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .layer(guarded)
        .with_state(app)
}

/// Its OpenAPI description.
pub(crate) fn openapi() -> OpenApi {
    let (_, mut openapi) = described().split_for_parts();
    openapi.info = utoipa::openapi::InfoBuilder::new()
        .title("Berth DTMA")
        .description(Some(
            "The API of Berth's host agent. Every path but `/health` needs the environment's token.",
        ))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    openapi.components.get_or_insert_default().add_security_scheme("token", bearer);
    openapi
}

/// Method and path of everything that is served for older callers and not described.
pub(crate) fn older_paths() -> &'static [(&'static str, &'static str)] {
    older::served()
}

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(host::health))
        .routes(routes!(host::info))
        .routes(routes!(host::system))
        .routes(routes!(host::metrics))
        .routes(routes!(host::shutdown))
        .routes(routes!(console::log))
        .routes(routes!(console::checks))
        .routes(routes!(cleanup::run))
        .routes(routes!(upgrade::put))
        .routes(routes!(upgrade::begin, upgrade::show))
        .routes(routes!(instances::list))
        .routes(routes!(instances::put, instances::get, instances::remove))
        .routes(routes!(instances::start))
        .routes(routes!(instances::stop))
        .routes(routes!(instances::restart))
        .routes(routes!(logs::read))
        .routes(routes!(forward::post, forward::get, forward::delete))
        .routes(routes!(forward::sse_post, forward::sse_get))
}

/// Who may ask: anybody for [`host::HEALTH_PATH`], the holder of the token for all else, paths that do not exist
/// included, so that nothing can be learnt without it.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let older = older::is_path(path);
    if path == host::HEALTH_PATH || is_allowed(&app, &request) || (older && has_backend_key(&app, &request)) {
        return next.run(request).await;
    }
    let given = request.headers().contains_key(AUTHORIZATION);
    let (message, challenge) = if given {
        ("the token is not this environment's", r#"Bearer realm="berth-dtma", error="invalid_token""#)
    } else {
        ("a token is needed", r#"Bearer realm="berth-dtma""#)
    };
    let mut response = if older {
        older::refusal(bearer(&request).is_some())
    } else {
        Refusal::unauthorized(message).into_response()
    };
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

fn is_allowed(app: &App, request: &Request) -> bool {
    bearer(request).is_some_and(|token| is(token, &app.token))
}

/// Older backends share one key among all hosts: only where that is switched on, and only for what they call.
fn has_backend_key(app: &App, request: &Request) -> bool {
    match (bearer(request), &app.backend_key) {
        (Some(token), Some(key)) => is(token, key),
        _ => false,
    }
}

fn is(token: &[u8], known: &[u8; 32]) -> bool {
    secret::same(&Sha256::digest(token), known)
}

fn bearer(request: &Request) -> Option<&[u8]> {
    let given = request.headers().get(AUTHORIZATION)?;
    // RFC 9110 §11.1: the scheme's name is case-insensitive.
    match given.as_bytes().split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => Some(token),
        _ => None,
    }
}

async fn unknown_path(request: Request) -> Response {
    let path = request.uri().path();
    if older::is_path(path) {
        return older::not_found(&request);
    }
    Refusal::not_found(format!("no such path: `{path}`")).into_response()
}

async fn wrong_method(request: Request) -> Response {
    let path = request.uri().path();
    if older::is_path(path) {
        return older::not_found(&request);
    }
    Refusal::wrong_method(format!("`{path}` does not take {}", request.method())).into_response()
}
