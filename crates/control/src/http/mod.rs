//! The JSON API: one file per resource. A handler parses, calls one function of [`crate::app`], renders.

mod accounts;
mod agents;
mod alerts;
mod audit;
mod catalog;
mod catalog_sources;
mod changes;
mod clients;
mod console;
mod droplets;
mod dtma;
mod enrolments;
mod environments;
mod events;
mod extract;
mod grants;
mod images;
mod instance_events;
mod instances;
mod invitations;
mod members;
mod metrics;
mod moves;
pub(crate) mod oauth;
mod older;
mod own_values;
mod plain;
mod published;
mod refused;
mod registries;
mod relay;
mod rules;
mod secrets;
mod server;
mod sessions;
mod tokens;
mod toolbelts;
mod upgrades;
mod upstreams;
mod users;

use std::sync::Arc;
use std::time::Duration;

use api::errors::ErrorCode;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::timeout::RequestBodyTimeoutLayer;
use utoipa::Modify;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, Problem};
use refused::Refused;

/// The largest body of a request to the JSON API, in bytes. A heartbeat of ten thousand instances is the largest.
const MAX_BODY: usize = 8 << 20;
/// A request of whose body nothing comes for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Berth control plane",
        description = "Deploys MCP servers onto machines you own. Every response outside 2xx carries an `ErrorBody`."
    ),
    modifiers(&Security),
    components(schemas(api::errors::ErrorBody))
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = |description| {
            let mut http = Http::new(HttpAuthScheme::Bearer);
            http.description = Some(description);
            SecurityScheme::Http(http)
        };
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", bearer("An API token, `berth_…`".to_owned()));
        components.add_security_scheme("dtma", bearer("The token of an environment's DTMA".to_owned()));
    }
}

/// The document of the JSON API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().split_for_parts().1
}

/// Method and path of what is served for older callers, which the document does not have.
pub fn older_paths() -> Vec<(&'static str, &'static str)> {
    older::served()
}

/// Everything that is not an MCP address.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .merge(plain::router())
        .merge(enrolments::router())
        .merge(relay::router())
        .merge(images::router())
        .merge(upstreams::router())
        .merge(older::router(&app))
        .merge(oauth::router())
        .merge(crate::web::router())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), count))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(RequestBodyTimeoutLayer::new(SILENCE))
        .with_state(app)
}

fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(users::whoami))
        .routes(routes!(users::set_password))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(members::list))
        .routes(routes!(members::change, members::remove))
        .routes(routes!(invitations::list, invitations::create))
        .routes(routes!(invitations::revoke))
        .routes(routes!(server::show))
        .routes(routes!(instances::list, instances::deploy))
        .routes(routes!(instances::show, instances::remove))
        .routes(routes!(instances::start))
        .routes(routes!(instances::stop))
        .routes(routes!(instances::restart))
        .routes(routes!(instances::logs))
        .routes(routes!(instance_events::list))
        .routes(routes!(metrics::of_instance))
        .routes(routes!(metrics::lately))
        .routes(routes!(upstreams::show, upstreams::authorize, upstreams::forget))
        .routes(routes!(own_values::show, own_values::put, own_values::forget))
        .routes(routes!(changes::list, changes::begin))
        .routes(routes!(changes::give_up))
        .routes(routes!(changes::switch))
        .routes(routes!(changes::roll_back))
        .routes(routes!(moves::move_to))
        .routes(routes!(moves::set_failover))
        .routes(routes!(environments::list, environments::add))
        .routes(routes!(environments::show, environments::change, environments::remove))
        .routes(routes!(environments::token))
        .routes(routes!(environments::cleanup))
        .routes(routes!(console::log))
        .routes(routes!(console::checks))
        .routes(routes!(moves::drain))
        .routes(routes!(upgrades::list, upgrades::begin))
        .routes(routes!(enrolments::create))
        .routes(routes!(enrolments::revoke))
        .routes(routes!(droplets::options))
        .routes(routes!(droplets::list_strays))
        .routes(routes!(droplets::destroy_stray))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::test))
        .routes(routes!(audit::list))
        .routes(routes!(audit::calls))
        .routes(routes!(catalog::search, catalog::add))
        .routes(routes!(catalog::show))
        .routes(routes!(catalog_sources::list, catalog_sources::add))
        .routes(routes!(catalog_sources::remove))
        .routes(routes!(catalog_sources::sync))
        .routes(routes!(published::list))
        .routes(routes!(published::versions))
        .routes(routes!(published::version))
        .routes(routes!(registries::list))
        .routes(routes!(registries::login, registries::logout))
        .routes(routes!(rules::list, rules::add))
        .routes(routes!(rules::remove))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::put, secrets::remove))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(toolbelts::list, toolbelts::create))
        .routes(routes!(toolbelts::show, toolbelts::change, toolbelts::remove))
        .routes(routes!(toolbelts::add_member))
        .routes(routes!(toolbelts::change_member, toolbelts::remove_member))
        .routes(routes!(toolbelts::features, toolbelts::change_feature))
        .routes(routes!(toolbelts::approve))
        .routes(routes!(agents::list, agents::create))
        .routes(routes!(agents::show, agents::change, agents::remove))
        .routes(routes!(agents::tokens, agents::create_token))
        .routes(routes!(agents::revoke_token))
        .routes(routes!(agents::environments))
        .routes(routes!(agents::grant_environment, agents::revoke_environment))
        .routes(routes!(agents::servers))
        .routes(routes!(agents::grant_server, agents::revoke_server))
        .routes(routes!(agents::permissions, agents::set_permission, agents::forget_permission))
        .routes(routes!(agents::credentials, agents::add_credential))
        .routes(routes!(agents::remove_credential))
        .routes(routes!(clients::list, clients::create))
        .routes(routes!(clients::remove))
        .routes(routes!(grants::list))
        .routes(routes!(grants::revoke))
        .routes(routes!(events::events))
        .routes(routes!(dtma::heartbeat))
        .routes(routes!(dtma::tunnel))
        .routes(routes!(upstreams::token))
        .routes(routes!(enrolments::redeem))
}

async fn unknown_path() -> Refused {
    Problem::refused(ErrorCode::NotFound, "there is nothing at this path")
        .hint("the API is described at /api/openapi.json")
        .into()
}

async fn wrong_method() -> Refused {
    Problem::refused(ErrorCode::MethodNotAllowed, "this path does not take this method")
        .hint("the API is described at /api/openapi.json")
        .into()
}

async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let seen = request.extensions().get::<crate::proxies::Seen>().cloned();
    let response = next.run(request).await;
    if response.status() == axum::http::StatusCode::UNAUTHORIZED {
        let from = seen.map(|seen| tracing::field::display(seen.address));
        tracing::debug!(from, "a token was refused");
    }
    app.metrics.request(route.as_ref().map_or("unknown", MatchedPath::as_str), &method, response.status());
    response
}
