//! `/api/v1/dtma/images/v2/…`: container images for hosts that reach this control plane alone. It is no part of the described API: what is served
//! is the pull half of the distribution specification.

use std::sync::Arc;

use api::dtma::IMAGES_PATH;
use api::errors::ErrorCode;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::get;

use crate::app::images::{self, Asked};
use crate::app::{App, Problem};
use crate::http::extract::ByDtma;
use crate::http::refused::Refused;

/// By which a registry says that it speaks the specification.
const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(&format!("{IMAGES_PATH}/v2/"), get(speaks))
        .route(&format!("{IMAGES_PATH}/v2/{{registry}}/{{*rest}}"), get(fetch))
}

async fn speaks(
    ByDtma(_environment): ByDtma,
) -> ([(HeaderName, HeaderValue); 1], axum::Json<serde_json::Value>) {
    ([VERSION], axum::Json(serde_json::json!({})))
}

/// One manifest or blob.
async fn fetch(
    State(app): State<Arc<App>>,
    ByDtma(environment): ByDtma,
    Path((registry, rest)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refused> {
    let asked = Asked::parse(&registry, &rest).ok_or_else(|| {
        Problem::refused(ErrorCode::NotFound, "this is no path of a part of an image")
            .hint("they are `REGISTRY/NAME/manifests/TAG`, and with a digest `…/manifests/DIGEST` and `…/blobs/DIGEST`")
    })?;
    let fetched = images::fetch(&app, &environment, request.method(), &asked, request.headers()).await?;
    let mut answer = Response::new(Body::from_stream(fetched.body));
    (*answer.status_mut(), *answer.headers_mut()) = (fetched.status, fetched.headers);
    answer.headers_mut().extend([VERSION]);
    Ok(answer)
}
