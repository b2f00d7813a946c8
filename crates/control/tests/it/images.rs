//! Images for hosts: who may fetch, what, with whose login, and what of a registry is believed. The registry is played here; a real one
//! and a real engine are in the tests of the command line.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use api::users::Role;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use hop::serve::Listener;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::platform::{Answer, Life, Platform, nobody};

const BLOB: &[u8] = b"a blob that is one layer";
pub(crate) const MANIFEST: &str = r#"{"schemaVersion":2}"#;
const KIND: &str = "application/vnd.oci.image.manifest.v1+json";
const PASSWORD: &str = "hunter2-of-the-registry";

/// What something is known by in registries.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash: Vec<String> = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{}", hash.concat())
}

/// A registry in which what is below `bearer/` and `basic/` takes a login.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    /// What was asked for, and how many of it showed anything.
    asked: Arc<Mutex<Vec<(String, bool)>>>,
    stop: CancellationToken,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stop) = (Arc::default(), CancellationToken::new());
        let registry = Self { address, asked, stop: stop.clone() };
        let own = registry.clone();
        let router = Router::new().fallback(move |request: Request| async move { own.answer(&request) });
        tokio::spawn(hop::serve::serve_router(Listener::Tcp(listener), router, stop.cancelled_owned()));
        registry
    }

    fn answer(&self, request: &Request) -> Response {
        let path = request.uri().path();
        let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        self.asked.lock().unwrap().push((request.uri().to_string(), shown.is_some()));
        let login = base64::engine::general_purpose::STANDARD.encode(format!("me:{PASSWORD}"));
        let is_me = shown == Some(&format!("Basic {login}"));
        let challenge = |text: String| {
            let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, text)], body).into_response()
        };
        if path == "/token" {
            // Only ever for reading, and for what was asked for.
            let query = request.uri().query().unwrap_or_default();
            let is_right = query == "service=the+registry&scope=repository%3Abearer%2Fapp%3Apull";
            let token = if is_me && is_right { "right" } else { "nobody" };
            return axum::Json(json!({ "token": token })).into_response();
        }
        let Some((name, kind, reference)) = parts(path) else { return missing() };
        match name {
            "bearer/app" if shown != Some("Bearer right") => {
                let realm = format!("http://{}/token", self.address);
                return challenge(format!(
                    r#"Bearer realm="{realm}",service="the registry",scope="repository:bearer/app:pull,push""#
                ));
            }
            "basic/app" if !is_me => return challenge(r#"Basic realm="x""#.to_owned()),
            "away/token" => return challenge(r#"Bearer realm="http://169.254.169.254/token""#.to_owned()),
            "gone/app" => return missing(),
            "moved/app" => return to("http://169.254.169.254/latest"),
            "near/app" => return to(&format!("/v2/open/app/{kind}/{reference}")),
            "busy/app" => return StatusCode::TOO_MANY_REQUESTS.into_response(),
            _ => {}
        }
        let of = |bytes: &[u8]| [(header::HeaderName::from_static("docker-content-digest"), digest(bytes))];
        match (kind, reference) {
            ("manifests", "1") => {
                (of(MANIFEST.as_bytes()), [(header::CONTENT_TYPE, KIND)], MANIFEST).into_response()
            }
            ("manifests", "changed") => {
                (of(b"another"), [(header::CONTENT_TYPE, KIND)], MANIFEST).into_response()
            }
            ("manifests", other) if other == digest(b"another") => MANIFEST.into_response(),
            ("manifests", other) if other == digest(MANIFEST.as_bytes()) => MANIFEST.into_response(),
            ("blobs", other) if other == digest(BLOB) => part_of(BLOB, request.headers()),
            _ => missing(),
        }
    }

    fn asked(&self) -> Vec<(String, bool)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn parts(path: &str) -> Option<(&str, &str, &str)> {
    let (rest, reference) = path.strip_prefix("/v2/")?.rsplit_once('/')?;
    let (name, kind) = rest.rsplit_once('/')?;
    Some((name, kind, reference))
}

fn missing() -> Response {
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
    (StatusCode::NOT_FOUND, body).into_response()
}

fn to(place: &str) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place)]).into_response()
}

fn part_of(bytes: &'static [u8], headers: &HeaderMap) -> Response {
    let from = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    match from.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()) {
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, range)], &bytes[from..]).into_response()
        }
        None => Body::from(bytes).into_response(),
    }
}

/// A platform that was told of the registry, and what its hosts are asked with.
struct Setting {
    platform: Platform,
    registry: Registry,
    host: String,
}

impl Setting {
    async fn start(images: &[&str]) -> Self {
        let registry = Registry::start().await;
        let named = format!("http://{}", registry.address);
        let platform = Platform::start_with(nobody(), |config| {
            config.registries = control::Registries::default().with_images(&[named]).unwrap();
        })
        .await;
        let host = platform.local.dtma_token.expose().to_owned();
        let setting = Self { platform, registry, host };
        for (number, image) in images.iter().enumerate() {
            setting.deploy(&setting.platform.owner, image, &format!("i{number}"), "local").await;
        }
        setting
    }

    async fn deploy(&self, token: &str, image: &str, name: &str, environment: &str) {
        let server = format!("oci:{}/{image}", self.registry.address);
        let body = json!({"server": server, "name": name, "environment": environment});
        let made = self.platform.send(Some(token), Method::POST, "/api/v1/instances", Some(body)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{image}: {}", made.error());
    }

    async fn login(&self, token: &str, password: &str) {
        let path = format!("/api/v1/registries/{}", self.registry.address);
        let body = json!({"username": "me", "password": password});
        let kept = self.platform.send(Some(token), Method::PUT, &path, Some(body)).await;
        assert_eq!(kept.status, StatusCode::OK, "{}", kept.error());
    }

    fn path(&self, part: &str) -> String {
        format!("{}/v2/{}/{part}", api::dtma::IMAGES_PATH, self.registry.address)
    }

    async fn ask(&self, token: Option<&str>, part: &str) -> Answer {
        self.platform.send_with(token, Method::GET, &self.path(part), &[("accept", KIND)]).await
    }

    /// Status and what is in the body.
    #[track_caller]
    fn check(answer: &Answer, expected: (u16, &str)) {
        let body = String::from_utf8_lossy(&answer.body);
        assert!(
            answer.status.as_u16() == expected.0 && body.contains(expected.1),
            "{expected:?}: {} {body}",
            answer.status
        );
    }
}

#[tokio::test]
async fn hosts_get_the_images_of_their_instances_and_nothing_else() {
    let setting = Setting::start(&[
        "open/app:1",
        "open/app:changed",
        "gone/app:1",
        "moved/app:1",
        "near/app:1",
        "busy/app:1",
        "away/token:1",
    ])
    .await;
    let host = Some(&*setting.host);
    let (blob, another) = (digest(BLOB), digest(b"another"));

    // Only hosts, with a token that counts.
    let member = setting.platform.owner.clone();
    for token in [None, Some(&*member), Some("wrong")] {
        assert_eq!(setting.ask(token, "open/app/manifests/1").await.status, 401, "{token:?}");
        let speaks = setting.platform.send(token, Method::GET, "/api/v1/dtma/images/v2/", None).await;
        assert_eq!(speaks.status, 401, "{token:?}");
    }
    assert_eq!(setting.registry.asked(), [], "nobody else makes the control plane ask");
    let speaks = setting.platform.send(host, Method::GET, "/api/v1/dtma/images/v2/", None).await;
    assert_eq!((speaks.status.as_u16(), &*speaks.body), (200, &b"{}"[..]));

    let manifest = setting.ask(host, "open/app/manifests/1").await;
    Setting::check(&manifest, (200, MANIFEST));
    assert_eq!(manifest.headers["docker-content-digest"], digest(MANIFEST.as_bytes()));
    assert_eq!(manifest.headers["content-type"], KIND);
    let head =
        setting.platform.send_with(host, Method::HEAD, &setting.path("open/app/manifests/1"), &[]).await;
    assert_eq!(head.headers["docker-content-digest"], digest(MANIFEST.as_bytes()));
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let whole = setting.ask(host, &format!("open/app/blobs/{blob}")).await;
    assert_eq!((whole.status.as_u16(), &*whole.body), (200, BLOB));
    let range = [("range", "bytes=7-")];
    let path = setting.path(&format!("open/app/blobs/{blob}"));
    let rest = setting.platform.send_with(host, Method::GET, &path, &range).await;
    assert_eq!((rest.status.as_u16(), &*rest.body), (206, &BLOB[7..]));
    Setting::check(&setting.ask(host, &format!("near/app/blobs/{blob}")).await, (200, "a blob"));
    let by_digest = format!("open/app/manifests/{}", digest(MANIFEST.as_bytes()));
    Setting::check(&setting.ask(host, &by_digest).await, (200, MANIFEST));

    // A manifest that is not what its digest says is not given.
    Setting::check(&setting.ask(host, "open/app/manifests/changed").await, (502, "another digest"));
    Setting::check(
        &setting.ask(host, &format!("open/app/manifests/{another}")).await,
        (502, "another digest"),
    );

    let gone = setting.ask(host, "gone/app/manifests/1").await;
    Setting::check(&gone, (404, "gone/app:1 (MANIFEST_UNKNOWN: manifest unknown)"));
    Setting::check(&setting.ask(host, "moved/app/manifests/1").await, (502, "sends elsewhere"));
    Setting::check(&setting.ask(host, "busy/app/manifests/1").await, (429, "too often"));
    Setting::check(&setting.ask(host, "away/token/manifests/1").await, (503, "`169.254.169.254`"));

    // What no instance of the host has, and what is no image's.
    setting.registry.asked();
    for (part, words) in [
        ("other/app/manifests/1", "no instance of this host has the image"),
        ("open/app/manifests/2", "no instance of this host has the image"),
        ("open/app/tags/list", "no path of a part of an image"),
        ("_catalog", "no path of a part of an image"),
        ("open/app/blobs/uploads", "no path of a part of an image"),
        ("open/app/manifests/..%2F..%2F_catalog", "no path of a part of an image"),
    ] {
        Setting::check(&setting.ask(host, part).await, (404, words));
    }
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = setting.platform.send(host, method, &setting.path("open/app/manifests/1"), None).await;
        assert_eq!(answer.status, 405);
    }
    assert_eq!(setting.registry.asked(), [], "nothing else is asked for");

    // The registry goes away.
    setting.registry.stop.cancel();
    let away = format!("{} does not answer, asked for {0}/open/app:1", setting.registry.address);
    let deadline = std::time::Instant::now() + crate::platform::PATIENCE;
    loop {
        let answer = setting.ask(host, "open/app/manifests/1").await;
        if answer.status == 503 {
            break Setting::check(&answer, (503, &away));
        }
        assert!(std::time::Instant::now() < deadline, "it still answers");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    setting.platform.stop().await;
}

#[tokio::test]
async fn a_registry_sees_the_login_of_the_account_and_no_host_gets_what_is_anothers() {
    let setting = Setting::start(&["bearer/app:1", "basic/app:1", "open/app:1"]).await;
    let owner = setting.platform.owner.clone();
    let host = Some(&*setting.host);
    // Another account has a host of its own and no login.
    let stranger = setting.platform.person("other", Role::Owner, Life::Good).await;
    let path = "/api/v1/environments";
    let body = json!({"name": "theirs", "kind": "host"});
    let added = setting.platform.send(Some(&stranger), Method::POST, path, Some(body)).await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.error());
    let path = format!("{path}/theirs/token");
    let token = setting.platform.send(Some(&stranger), Method::POST, &path, Some(json!({}))).await;
    let theirs = token.json()["token"].as_str().unwrap().to_owned();
    let blob = digest(BLOB);

    for (password, expected) in [
        (None, (403, "wants credentials")),
        (Some("wrong-to-the-registry"), (403, "refused the credentials")),
        (Some(PASSWORD), (200, "")),
    ] {
        if let Some(password) = password {
            setting.login(&owner, password).await;
        }
        for name in ["bearer/app", "basic/app"] {
            Setting::check(&setting.ask(host, &format!("{name}/manifests/1")).await, expected);
            Setting::check(&setting.ask(host, &format!("{name}/blobs/{blob}")).await, expected);
        }
    }
    // The open one needs none, so it sees none.
    setting.registry.asked();
    Setting::check(&setting.ask(host, "open/app/manifests/1").await, (200, MANIFEST));
    assert_eq!(setting.registry.asked(), [("/v2/open/app/manifests/1".to_owned(), false)]);

    // Of the other account's host nothing is even asked for, before it has such an instance.
    for name in ["bearer/app", "basic/app", "open/app"] {
        for part in ["manifests/1".to_owned(), format!("blobs/{blob}")] {
            let refused = setting.ask(Some(&theirs), &format!("{name}/{part}")).await;
            Setting::check(&refused, (404, "no instance of this host"));
        }
    }
    assert_eq!(setting.registry.asked(), []);
    // And then it is asked for without the first one's login, also of what that one has just fetched.
    for (number, name) in ["bearer/app", "basic/app", "open/app"].iter().enumerate() {
        setting.deploy(&stranger, &format!("{name}:1"), &format!("t{number}"), "theirs").await;
    }
    for name in ["bearer/app", "basic/app"] {
        for part in ["manifests/1".to_owned(), format!("blobs/{blob}")] {
            let refused = setting.ask(Some(&theirs), &format!("{name}/{part}")).await;
            Setting::check(&refused, (403, "wants credentials"));
        }
    }
    let shown = setting
        .registry
        .asked()
        .into_iter()
        .filter(|(path, shown)| *shown && !path.starts_with("/v2/bearer"));
    assert_eq!(shown.count(), 0, "nothing but the token for nobody is shown");
    Setting::check(&setting.ask(Some(&theirs), "open/app/manifests/1").await, (200, MANIFEST));
    setting.login(&stranger, "of-the-other-account").await;
    Setting::check(
        &setting.ask(Some(&theirs), "basic/app/manifests/1").await,
        (403, "refused the credentials"),
    );
    // The first one's is as good as before, until there is none.
    Setting::check(&setting.ask(host, "basic/app/manifests/1").await, (200, MANIFEST));
    let path = format!("/api/v1/registries/{}", setting.registry.address);
    setting.platform.send(Some(&owner), Method::DELETE, &path, None).await;
    Setting::check(&setting.ask(host, "basic/app/manifests/1").await, (403, "wants credentials"));
    // What is removed is nobody's any more.
    setting.platform.send(Some(&owner), Method::DELETE, "/api/v1/instances/i2", None).await;
    Setting::check(&setting.ask(host, "open/app/manifests/1").await, (404, "no instance of this host"));
    setting.platform.stop().await;
}

#[tokio::test]
async fn a_registry_that_is_not_on_the_internet_must_be_named() {
    let registry = Registry::start().await;
    let platform = Platform::start(nobody()).await;
    let host = platform.local.dtma_token.expose().to_owned();
    for (number, place) in
        [registry.address.to_string(), format!("localhost:{}", registry.address.port())].iter().enumerate()
    {
        let body = json!({"server": format!("oci:{place}/open/app:1"), "name": format!("i{number}")});
        assert_eq!(platform.post("/api/v1/instances", body).await.status, StatusCode::CREATED);
        let path = format!("{}/v2/{place}/open/app/manifests/1", api::dtma::IMAGES_PATH);
        let answer = platform.send(Some(&host), Method::GET, &path, None).await;
        let error = answer.error();
        assert!(
            error.starts_with("503 unavailable") && error.contains("--image-registry"),
            "{place}: {error}"
        );
    }
    assert_eq!(registry.asked(), []);
    platform.stop().await;
}
