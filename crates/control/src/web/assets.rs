//! What pages load beside their own text: a stylesheet, a script, pictures. The name of each tells what is in it, so it may be kept for ever.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use crate::secrets::hex;

const KEEP: &str = "public, max-age=31536000, immutable";

/// One file.
#[derive(Debug)]
struct Asset {
    path: String,
    kind: &'static str,
    body: &'static str,
}

impl Asset {
    fn new(body: &'static str, ending: &str, kind: &'static str) -> Self {
        let digest = hex(&Sha256::digest(body.as_bytes()));
        Self { path: format!("/assets/{}.{ending}", &digest[..16]), kind, body }
    }

    fn answer(&self) -> ([(HeaderName, &'static str); 3], &'static str) {
        let headers = [
            (header::CONTENT_TYPE, self.kind),
            (header::CACHE_CONTROL, KEEP),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, self.body)
    }
}

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_str!("../../templates/style.css"), "css", "text/css; charset=utf-8"));
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(include_str!("../../templates/app.js"), "js", "text/javascript; charset=utf-8")
});
static ICONS: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_str!("../../templates/icons.svg"), "svg", "image/svg+xml"));

/// All of them.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    [&STYLE, &SCRIPT, &ICONS].into_iter().fold(Router::new(), |router, asset| {
        router.route(&asset.path, get(async || asset.answer().into_response()))
    })
}

/// The path of the stylesheet, for templates.
pub(crate) fn stylesheet() -> &'static str {
    &STYLE.path
}

/// The path of the script, for templates.
pub(crate) fn script() -> &'static str {
    &SCRIPT.path
}

/// The path of the pictures, for templates; each is a `symbol` of it.
pub(crate) fn icons() -> &'static str {
    &ICONS.path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Several hands add to one stylesheet: a brace that is lost in between would take all that follows along.
    #[test]
    fn every_part_of_the_stylesheet_begins_outside_of_the_one_before() {
        let mut depth = 0_usize;
        for line in STYLE.body.lines() {
            assert!(depth == 0 || !line.starts_with(['.', '/', '#']), "`{line}` lies within something");
            depth = (depth + line.matches('{').count()).checked_sub(line.matches('}').count()).expect(line);
        }
        assert_eq!(depth, 0);
    }
}
