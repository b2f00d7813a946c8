//! Container images for a host that reaches its control plane alone: the engine of this host asks [`crate::Relay`] as if it were a
//! registry, under the name of a pull that is under way, and the control plane is asked for the image that the pull is of.

use std::sync::Arc;

use ::runtime::docker::Trouble;
use api::dtma::IMAGES_PATH;
use api::errors::ErrorBody;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use domain::image::ImageName;
use serde_json::json;

use crate::instance::chain;
use crate::relay::Way;

/// By which a registry says that it speaks the specification.
const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));
/// The longest refusal of the control plane that is read, in bytes.
const LONGEST: usize = 64 << 10;

/// What an engine asks first.
pub(crate) async fn speaks() -> Response {
    ([VERSION], Json(json!({}))).into_response()
}

/// A manifest or a blob of the image that a pull is of.
pub(crate) async fn pass(
    State(way): State<Arc<Way>>,
    Path((key, kind, reference)): Path<(String, String, String)>,
    method: Method,
    asked: HeaderMap,
) -> Response {
    let Some(image) = way.passes.image(&key).filter(|_| is_part(&kind, &reference)) else {
        return refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no pull of this host asks for that");
    };
    let answer = fetch(&way, &image, &format!("{kind}/{reference}"), method, &asked).await;
    match answer {
        Ok(response) => {
            way.passes.note(&key, None);
            response
        }
        Err((status, code, trouble)) => {
            let words = match &trouble {
                Trouble::Credentials => "the credentials are missing or wrong",
                Trouble::Unknown(words) | Trouble::Away(words) | Trouble::Other(words) => words,
            };
            tracing::warn!(%image, status = status.as_u16(), words, "the control plane gives no image");
            let response = refused(status, code, words);
            way.passes.note(&key, Some(trouble));
            response
        }
    }
}

/// Whether that is what an image consists of: the rest of a path, which must lead nowhere else.
fn is_part(kind: &str, reference: &str) -> bool {
    let is_edge = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    matches!(kind, "manifests" | "blobs")
        && reference.bytes().next().is_some_and(is_edge)
        && reference.bytes().all(|b| is_edge(b) || matches!(b, b'.' | b'-' | b':'))
}

async fn fetch(
    way: &Way,
    image: &ImageName,
    part: &str,
    method: Method,
    asked: &HeaderMap,
) -> Result<Response, (StatusCode, &'static str, Trouble)> {
    let path = format!("{IMAGES_PATH}/v2/{}/{}/{part}", image.registry(), image.repository());
    let mut headers = HeaderMap::new();
    for name in [header::ACCEPT, header::RANGE] {
        for value in asked.get_all(&name) {
            headers.append(&name, value.clone());
        }
    }
    let away = |words: String| (StatusCode::BAD_GATEWAY, "UNAVAILABLE", Trouble::Away(words));
    let response = way.ask(method, &path).headers(headers).send().await;
    let response = response.map_err(|error| {
        away(format!(
            "images come from the control plane, which does not answer: {}",
            chain(&error.without_url())
        ))
    })?;
    let status = response.status();
    if !status.is_success() {
        let words =
            words(response).await.unwrap_or_else(|| format!("the control plane answers {}", status.as_u16()));
        return Err(match status {
            StatusCode::FORBIDDEN => (status, "DENIED", Trouble::Credentials),
            StatusCode::NOT_FOUND => (status, "MANIFEST_UNKNOWN", Trouble::Unknown(words)),
            StatusCode::TOO_MANY_REQUESTS => (status, "TOOMANYREQUESTS", Trouble::Other(words)),
            StatusCode::SERVICE_UNAVAILABLE => {
                away(format!("images come from the control plane, which says: {words}"))
            }
            // Whoever asked has shown no token that could be wrong.
            _ => (StatusCode::BAD_GATEWAY, "UNKNOWN", Trouble::Other(words)),
        });
    }
    let mut headers = HeaderMap::from_iter([VERSION]);
    for name in [
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::ACCEPT_RANGES,
        HeaderName::from_static("docker-content-digest"),
    ] {
        headers.extend(response.headers().get(&name).map(|value| (name, value.clone())));
    }
    let mut answer = Response::new(Body::from_stream(response.bytes_stream()));
    (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
    Ok(answer)
}

/// What the control plane says of why not; `None` when it says nothing that is its own.
async fn words(mut response: reqwest::Response) -> Option<String> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.ok()? {
        body.extend_from_slice(&part);
        if LONGEST < body.len() {
            return None;
        }
    }
    let ErrorBody { error } = serde_json::from_slice(&body).ok()?;
    Some(error.hint.into_iter().fold(error.message, |message, hint| format!("{message}; {hint}")))
}

fn refused(status: StatusCode, code: &str, words: &str) -> Response {
    let body = json!({"errors": [{"code": code, "message": words, "detail": null}]});
    (status, [VERSION], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lead_nowhere_else() {
        let check = |kind: &str, reference: &str, expected: bool| {
            assert_eq!(is_part(kind, reference), expected, "{kind}/{reference}");
        };
        let digest = format!("sha256:{}", "0".repeat(64));
        for (kind, reference) in
            [("manifests", "1.2-x"), ("manifests", "_a"), ("manifests", &*digest), ("blobs", &*digest)]
        {
            check(kind, reference, true);
        }
        for (kind, reference) in [
            ("tags", "list"),
            ("manifests", ".."),
            ("blobs", "a/b"),
            ("blobs", ""),
            ("blobs", "a?b"),
            ("..", "x"),
        ] {
            check(kind, reference, false);
        }
    }
}
