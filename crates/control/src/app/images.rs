//! Container images for hosts that reach nothing but this control plane: the pull half of the distribution specification, for the
//! images of a host's own instances and for nothing else. Nothing is kept: a host pulls an image once, and a store would have
//! to know who may read what of it.

mod login;
mod places;

use std::io;
use std::time::Duration;

use api::errors::ErrorCode;
use bytes::Bytes;
use domain::ids::AccountId;
use domain::image::{ImageName, is_digest};
use domain::package::Package;
use domain::registry::RegistryLogin;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use http::header::{ACCEPT, ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RANGE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use reqwest::Response;
use sha2::{Digest as _, Sha256};
use store::environments::EnvironmentRow;
use tokio::sync::OnceCell;

use crate::app::problem::Chain;
use crate::app::{App, Outcome, Problem, registries};
use crate::secrets::hex;
pub(crate) use places::Places;

/// A registry that is silent for so long is away.
const SILENCE: Duration = Duration::from_mins(1);
/// How long a registry's machine has to take a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a registry may send elsewhere.
const REDIRECTS: usize = 5;
/// The longest manifest, which is held in memory until its digest is known: what registries take.
const LONGEST: usize = 4 << 20;
/// Of what a registry says when it refuses, that much is told.
const WORDS: usize = 300;
/// What the manifest of an image can be, of one for several kinds of machines too: what engines ask for.
const MANIFESTS: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json",
);
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// One part of an image: `REGISTRY/NAME/manifests/REFERENCE` or `…/blobs/DIGEST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Its reference is what is asked for: a tag, or the digest of a manifest or of a blob.
    image: ImageName,
    is_blob: bool,
}

impl Asked {
    /// From a path's parts; `None` for what is neither a manifest nor a blob.
    pub(crate) fn parse(registry: &str, rest: &str) -> Option<Self> {
        let (rest, reference) = rest.rsplit_once('/')?;
        let (name, kind) = rest.rsplit_once('/')?;
        let is_blob = match kind {
            "manifests" => false,
            "blobs" => true,
            _ => return None,
        };
        let between = match is_digest(reference) {
            true => '@',
            false if is_blob => return None,
            false => ':',
        };
        let image: ImageName = format!("{registry}/{name}{between}{reference}").parse().ok()?;
        // Otherwise it would be the first part of a name on Docker Hub, or a name with two references.
        let is_plain = image.registry().as_str() == registry
            && image.repository() == name
            && image.reference() == reference;
        is_plain.then_some(Self { image, is_blob })
    }

    /// Such as `ghcr.io/owner/image:1`, for people.
    fn shown(&self) -> String {
        let image = &self.image;
        if self.is_blob { format!("{}/{}", image.registry(), image.repository()) } else { image.to_string() }
    }

    fn path(&self) -> String {
        let kind = if self.is_blob { "blobs" } else { "manifests" };
        format!("{}/{kind}/{}", self.image.repository(), self.image.reference())
    }
}

/// What is passed on.
pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: BoxStream<'static, io::Result<Bytes>>,
}

/// Fetches images for hosts.
#[derive(Debug)]
pub(crate) struct Images {
    places: Places,
    client: OnceCell<reqwest::Client>,
}

/// Fetches one part of an image for a host, with the login of the account whose instance the image is of.
///
/// # Errors
/// 404 when no instance of the host has the image, and when the registry has none; 403 when the registry wants another login, 502 when it
/// answers what is none, 503 when it is away.
pub(crate) async fn fetch(
    app: &App,
    environment: &EnvironmentRow,
    method: &Method,
    asked: &Asked,
    headers: &HeaderMap,
) -> Outcome<Fetched> {
    // The host chooses among the images of its own instances: neither an address nor an account.
    let wanted = &asked.image;
    let rows = store::instances::list_by_environment(&app.store, environment.id).await?;
    let row = rows.into_iter().filter(|row| !row.deleting).find(|row| {
        let Package::Oci { image } = &row.spec.package else { return false };
        let Ok(own) = image.parse::<ImageName>() else { return false };
        // A digest may be of anything that the image consists of.
        own.is_beside(wanted) && (is_digest(wanted.reference()) || own.reference() == wanted.reference())
    });
    let Some(row) = row else {
        let message = format!("no instance of this host has the image {}", asked.shown());
        return Err(Problem::refused(ErrorCode::NotFound, message)
            .hint("`berth list` shows what it has; an image is fetched while its instance is installed"));
    };
    let login = registries::login_for(app, row.account, &row.spec.package).await?.map(|(_, login)| login);
    let mut passed = HeaderMap::new();
    for name in [ACCEPT, RANGE] {
        for value in headers.get_all(&name) {
            passed.append(name.clone(), value.clone());
        }
    }
    let response = app.images.ask(method, asked, passed, login.as_ref()).await?;
    pass_on(asked, method, response).await
}

/// The digest of what an image's name leads to in its registry now, asked with the login of an account.
///
/// # Errors
/// What [`fetch`] says of registries, as 422 of the field `version` or, when the registry is away, 503.
pub(crate) async fn newest(app: &App, account: AccountId, image: &str) -> Outcome<String> {
    let not_known = |problem: Problem| {
        let Problem::Refused(mut detail) = problem else { return problem };
        if detail.code != ErrorCode::Unavailable {
            (detail.code, detail.field) = (ErrorCode::Invalid, Some("version".to_owned()));
        }
        let own = detail.hint.take().map(|hint| format!("{hint}; or ")).unwrap_or_default();
        Problem::Refused(detail).hint(format!("{own}name the version yourself with `--version TAG`"))
    };
    let name: ImageName = image.parse().map_err(|error| Problem::invalid("version", error))?;
    let asked = Asked { image: name, is_blob: false };
    let package = Package::Oci { image: image.to_owned() };
    let login = registries::login_for(app, account, &package).await?.map(|(_, login)| login);
    // A registry counts who reads a manifest, and not who asks what it is.
    for method in [Method::HEAD, Method::GET] {
        let headers = HeaderMap::from_iter([(ACCEPT, MANIFESTS)]);
        let response = app.images.ask(&method, &asked, headers, login.as_ref()).await.map_err(not_known)?;
        let found = pass_on(&asked, &method, response).await.map_err(not_known)?;
        let digest = found.headers.get(DIGEST).and_then(|digest| digest.to_str().ok());
        if let Some(digest) = digest.filter(|digest| is_digest(digest)) {
            return Ok(digest.to_owned());
        }
    }
    Err(Problem::invalid("version", format!("{} has no digest that is known here", asked.shown())))
}

impl Images {
    pub(crate) fn new(places: Places) -> Self {
        Self { places, client: OnceCell::new() }
    }

    /// Asks a registry, a second time with what it wants to see of who asks.
    async fn ask(
        &self,
        method: &Method,
        asked: &Asked,
        headers: HeaderMap,
        login: Option<&RegistryLogin>,
    ) -> Outcome<Response> {
        let url =
            self.places.of(asked.image.registry(), &asked.path()).map_err(|error| away(asked, &error))?;
        let ask = |authorization: Option<HeaderValue>| async {
            let request = self.client().await?.request(method.clone(), url.clone()).headers(headers.clone());
            let shown = authorization.map(|value| (http::header::AUTHORIZATION, value));
            let request = request.headers(shown.into_iter().collect());
            request.send().await.map_err(|error| away(asked, &error.without_url()))
        };
        let mut response = ask(None).await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(authorization) = self.authorize(asked, &response, login).await?
        {
            response = ask(Some(authorization)).await?;
        }
        if !response.status().is_success() {
            return Err(refusal(asked, login.is_some(), response).await);
        }
        Ok(response)
    }

    async fn client(&self) -> Outcome<&reqwest::Client> {
        let make = async || {
            let places = self.places.clone();
            let policy = reqwest::redirect::Policy::custom(move |attempt| {
                // Registries keep blobs elsewhere. Where that is they say themselves.
                if REDIRECTS < attempt.previous().len() || places.check(attempt.url()).is_err() {
                    attempt.stop()
                } else {
                    attempt.follow()
                }
            });
            reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .read_timeout(SILENCE)
                .redirect(policy)
                .dns_resolver(self.places.resolver())
                .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        self.client.get_or_try_init(make).await.map_err(|error| {
            tracing::warn!(error = %Chain(&error), "images cannot be fetched for hosts");
            Problem::refused(ErrorCode::Unavailable, "this control plane can fetch no images")
                .hint("its log says why; it may lack the system's certificates (`ca-certificates`)")
        })
    }
}

/// The registry, or where it sends to, does not answer, or may not be asked.
fn away(asked: &Asked, error: &(dyn std::error::Error + 'static)) -> Problem {
    let registry = asked.image.registry();
    tracing::warn!(%registry, image = asked.shown(), error = %Chain(error), "a registry of images does not answer");
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<places::Closed>() {
            return Problem::refused(ErrorCode::Unavailable, format!("{}: {error}", asked.shown()))
                .hint("name it with `--image-registry` of `berth up` when it is yours");
        }
        cause = error.source();
    }
    Problem::refused(
        ErrorCode::Unavailable,
        format!("{registry} does not answer, asked for {}", asked.shown()),
    )
    .hint("it is the control plane that fetches: it must reach the registry; its log says why it does not")
}

/// What a registry's answer outside 2xx means.
async fn refusal(asked: &Asked, has_login: bool, response: Response) -> Problem {
    let (status, registry, shown) = (response.status(), asked.image.registry(), asked.shown());
    if status.is_redirection() {
        return Problem::refused(
            ErrorCode::BadGateway,
            format!("{registry} sends elsewhere for {shown}, where nothing is fetched from"),
        )
        .hint("name where it keeps its files with `--image-registry` of `berth up` when it is yours");
    }
    let words = words(response).await;
    let (code, message) = match status.as_u16() {
        401 | 403 if has_login => {
            (ErrorCode::Forbidden, format!("{registry} refused the credentials for {shown}"))
        }
        401 => (ErrorCode::Forbidden, format!("{registry} wants credentials for {shown}")),
        // So is answered by some what there is not, and what others may not know of.
        403 | 404 => (ErrorCode::NotFound, format!("{registry} shows no {shown}")),
        429 => (ErrorCode::TooMany, format!("{registry} was asked too often for {shown}")),
        status => (ErrorCode::BadGateway, format!("{registry} answers {status} for {shown}")),
    };
    Problem::refused(code, format!("{message}{words}"))
}

/// The specification's `{"errors": [{"code": …, "message": …}]}` as text to append; else nothing.
async fn words(response: Response) -> String {
    let Ok(body) = whole(response).await else { return String::new() };
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(&body) else { return String::new() };
    let part = |name: &str| body["errors"][0][name].as_str().unwrap_or_default();
    let both = [part("code"), part("message")].map(str::trim).into_iter().filter(|text| !text.is_empty());
    let both: String =
        both.collect::<Vec<_>>().join(": ").chars().filter(|c| !c.is_control()).take(WORDS).collect();
    if both.is_empty() { both } else { format!(" ({both})") }
}

/// A body that is held in memory.
async fn whole(mut response: Response) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| Failed::Broken(error.without_url()))? {
        if LONGEST < body.len() + part.len() {
            return Err(Failed::TooLong);
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

enum Failed {
    Broken(reqwest::Error),
    TooLong,
}

impl Failed {
    fn told(self, asked: &Asked) -> Problem {
        match self {
            Self::Broken(error) => away(asked, &error),
            Self::TooLong => Problem::refused(
                ErrorCode::BadGateway,
                format!(
                    "{} answers more than {} MiB for {}",
                    asked.image.registry(),
                    LONGEST >> 20,
                    asked.shown()
                ),
            ),
        }
    }
}

/// What the host gets of an answer. A manifest that is not what its digest says is not given.
async fn pass_on(asked: &Asked, method: &Method, response: Response) -> Outcome<Fetched> {
    let status = response.status();
    let mut headers = HeaderMap::new();
    for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_RANGE, ACCEPT_RANGES, DIGEST] {
        headers.extend(response.headers().get(&name).map(|value| (name, value.clone())));
    }
    let expected = asked.image.reference();
    let body = if *method == Method::HEAD {
        stream::empty().boxed()
    } else if asked.is_blob {
        let blob = response.bytes_stream().map_err(|error| io::Error::other(error.without_url())).boxed();
        // Of a part nobody can tell but who has the rest.
        if status == StatusCode::PARTIAL_CONTENT { blob } else { watched(blob, asked.clone()) }
    } else {
        let said = headers.get(DIGEST).and_then(|said| said.to_str().ok()).map(str::to_owned);
        let manifest = whole(response).await.map_err(|failed| failed.told(asked))?;
        let digest = format!("sha256:{}", hex(&Sha256::digest(&manifest)));
        let expected = if is_digest(expected) { Some(expected) } else { said.as_deref() };
        if expected.is_some_and(|expected| expected.starts_with("sha256:") && expected != digest) {
            let registry = asked.image.registry();
            tracing::warn!(%registry, image = asked.shown(), digest, "a manifest is not what its digest says");
            return Err(Problem::refused(
                ErrorCode::BadGateway,
                format!("what {registry} gives for {} has another digest, {digest}", asked.shown()),
            ));
        }
        headers.insert(CONTENT_LENGTH, manifest.len().into());
        headers.extend(HeaderValue::try_from(digest).ok().map(|digest| (DIGEST, digest)));
        stream::once(async move { Ok(Bytes::from(manifest)) }).boxed()
    };
    Ok(Fetched { status, headers, body })
}

/// A blob as it comes. One that is not what its digest says is told in the log, and passes: the engine, which compares too, then says at
/// once what is wrong. It would try one that is cut off again and again.
fn watched(
    blob: BoxStream<'static, io::Result<Bytes>>,
    asked: Asked,
) -> BoxStream<'static, io::Result<Bytes>> {
    let begin = (blob, Sha256::new());
    stream::try_unfold(begin, move |(mut blob, mut hash)| {
        let asked = asked.clone();
        async move {
            let Some(part) = blob.next().await else {
                let (image, expected) = (asked.shown(), asked.image.reference());
                if format!("sha256:{}", hex(&hash.finalize())) != expected {
                    tracing::warn!(image, expected, "what the registry gives for a blob has another digest");
                }
                return Ok(None);
            };
            let part = part?;
            hash.update(&part);
            Ok(Some((part, (blob, hash))))
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_manifests_and_blobs() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let check = |registry: &str, rest: &str, expected: Option<&str>| {
            let asked = Asked::parse(registry, rest);
            assert_eq!(asked.as_ref().map(Asked::path).as_deref(), expected, "{registry}/{rest}");
        };
        let same = |registry: &str, rest: &str| check(registry, rest, Some(rest));
        same("ghcr.io", "a/b/manifests/1");
        same("docker.io", "library/nginx/manifests/latest");
        same("127.0.0.1:5000", &format!("a/manifests/{digest}"));
        same("ghcr.io", &format!("a/manifests/blobs/{digest}"));
        for (registry, rest) in [
            ("ghcr.io", "a/blobs/1"),
            ("ghcr.io", "a/tags/list"),
            ("ghcr.io", "_catalog"),
            ("ghcr.io", "manifests/1"),
            ("ghcr.io", "a/manifests/"),
            ("ghcr.io", "a/manifests/.."),
            ("ghcr.io", "../a/manifests/1"),
            ("ghcr.io", "a:1/manifests/2"),
            ("ghcr.io", "a?x=/manifests/2"),
            ("ghcr.io", "a/manifests/1@x"),
            ("ghcr", "a/manifests/1"),
            ("docker.io", "nginx/manifests/1"),
            ("me@ghcr.io", "a/manifests/1"),
            ("", "a/manifests/1"),
        ] {
            check(registry, rest, None);
        }
    }
}
