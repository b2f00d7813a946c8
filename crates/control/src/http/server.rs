//! `/api/v1/server`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::server::{CallerSeen, Server};
use axum::extract::State;
use axum::{Extension, Json};

use crate::app::App;
use crate::http::extract::By;
use crate::proxies::Seen;

/// Where this control plane is reached, and by which key it is known there.
#[utoipa::path(
    get, path = "/api/v1/server", tag = "server", security(("token" = [])),
    responses((status = 200, body = Server), (status = 401, body = ErrorBody))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    By(_caller): By,
    seen: Option<Extension<Seen>>,
) -> Json<Server> {
    let public = app.public();
    Json(Server {
        public_url: public.url.clone(),
        tls_pin: public.pin.map(|pin| pin.to_string()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        certificate: app.acme.as_ref().map(|status| status.view()),
        caller: seen.map(|Extension(seen)| CallerSeen {
            address: seen.address.to_string(),
            scheme: if seen.is_secure { "https" } else { "http" }.to_owned(),
            host: seen.host,
            through_proxy: seen.through_proxy,
        }),
    })
}
