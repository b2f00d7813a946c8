//! `/api/v1/whoami`.

use api::errors::ErrorBody;
use api::users::WhoAmI;
use axum::Json;

use crate::http::extract::Anyone;

/// Who the token speaks for.
#[utoipa::path(
    get, path = "/api/v1/whoami", tag = "users", security(("token" = [])),
    responses((status = 200, body = WhoAmI), (status = 401, body = ErrorBody))
)]
pub(crate) async fn whoami(Anyone(caller): Anyone) -> Json<WhoAmI> {
    Json(WhoAmI {
        user: caller.user,
        user_name: caller.user_name.clone(),
        account: caller.account,
        account_name: caller.account_name.clone(),
        role: caller.role,
        scopes: caller.scopes.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
