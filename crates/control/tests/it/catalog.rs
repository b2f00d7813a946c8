//! The catalog from outside: what is added to it, what it is read from, how it is searched, and what it publishes itself.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::users::Role;
use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hop::serve::Listener;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::platform::{Life, Platform, audit_lines, nobody};

/// Entries of a page of the registry that is played.
const PAGE: usize = 2;

/// A registry: its entries, and what it was asked.
#[derive(Debug, Default)]
struct Registry {
    entries: Mutex<Vec<Value>>,
    asked: Mutex<Vec<String>>,
}

/// An entry as the official registry gives it.
fn given(name: &str, version: &str, status: &str, at: &str) -> Value {
    json!({
        "server": {
            "$schema": "https://static.modelcontextprotocol.io/schemas/2025-10-17/server.schema.json",
            "name": name, "description": format!("What {name} does"), "title": "A title", "version": version,
            "packages": [{ "registryType": "npm", "identifier": "@acme/thing", "version": version,
                "transport": { "type": "stdio" },
                "environmentVariables": [{ "name": "API_KEY", "description": "A key", "isRequired": true, "isSecret": true }] }],
        },
        "_meta": { "io.modelcontextprotocol.registry/official": {
            "status": status, "publishedAt": at, "updatedAt": at, "isLatest": true,
        } },
    })
}

impl Registry {
    async fn start(self: &Arc<Self>, stop: CancellationToken) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = Arc::clone(self);
        let router = Router::new().fallback(async move |request: Request| own.answer(&request));
        tokio::spawn(hop::serve::serve_router(Listener::Tcp(listener), router, stop.cancelled_owned()));
        address
    }

    fn answer(&self, request: &Request) -> Response {
        let query = request.uri().query().unwrap_or_default();
        if request.uri().path() != "/v0.1/servers" {
            return StatusCode::NOT_FOUND.into_response();
        }
        self.asked.lock().unwrap().push(query.to_owned());
        let of = |name: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            pair.map(|value| value.replace("%3A", ":"))
        };
        let at =
            |entry: &Value| entry["_meta"]["io.modelcontextprotocol.registry/official"]["updatedAt"].clone();
        let since = of("updated_since").unwrap_or_default();
        let entries = self.entries.lock().unwrap();
        let known: Vec<&Value> =
            entries.iter().filter(|entry| since.as_str() <= at(entry).as_str().unwrap()).collect();
        let from: usize = of("cursor").map_or(0, |cursor| cursor.parse().unwrap());
        let page: Vec<&Value> = known.iter().skip(from).take(PAGE).copied().collect();
        let mut metadata = json!({ "count": page.len() });
        if from + PAGE < known.len() {
            metadata["nextCursor"] = (from + PAGE).to_string().into();
        }
        let page = json!({ "servers": page, "metadata": metadata });
        ([(header::CONTENT_TYPE, "application/json")], page.to_string()).into_response()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn open_platform() -> Platform {
    Platform::start_with(nobody(), |config| config.outside = fetch::Reach::Everywhere).await
}

/// The source as it is when nobody reads it any more.
async fn read(platform: &Platform, name: &str) -> Value {
    for _ in 0..600 {
        let sources = platform.get("/api/v1/catalog-sources").await.json();
        let source =
            sources.as_array().unwrap().iter().find(|source| source["name"] == name).unwrap().clone();
        if source["reading"] == false {
            return source;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is read for ever");
}

async fn names(platform: &Platform, query: &str) -> Vec<String> {
    let found = platform.get(&format!("/api/v1/catalog?{query}")).await.json();
    found.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_registry_is_read_page_by_page_and_then_what_changed() {
    let (stop, registry) = (CancellationToken::new(), Arc::new(Registry::default()));
    let early = "2025-09-16T08:00:00Z";
    *registry.entries.lock().unwrap() = ["a", "b", "c", "d", "e"]
        .map(|name| given(&format!("io.acme/{name}"), "1.0.0", "active", early))
        .to_vec();
    let address = registry.start(stop.clone()).await;
    let platform = open_platform().await;

    let url = format!("http://{address}/v0.1/servers/");
    let added = platform.post("/api/v1/catalog-sources", json!({ "url": url, "name": "ours" })).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    let source = read(&platform, "ours").await;
    assert_eq!(
        (&source["entries"], &source["skipped"], &source["error"]),
        (&json!(5), &json!(0), &Value::Null)
    );
    assert_eq!(source["url"], format!("http://{address}"));
    let asked = registry.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.iter().all(|query| query.contains("version=latest") && !query.contains("updated_since")));
    assert!(asked[2].contains("cursor=4"), "{asked:?}");
    assert_eq!(names(&platform, "search=acme&sort=name").await.len(), 5);

    // One is new, one withdrawn, one in another version, one tries to be something else under the same version.
    let late = "2025-09-17T08:00:00Z";
    {
        let mut entries = registry.entries.lock().unwrap();
        entries[1] = given("io.acme/b", "1.0.0", "deleted", late);
        entries[2] = given("io.acme/c", "1.1.0", "active", late);
        entries[3] = given("io.acme/d", "1.0.0", "deprecated", late);
        entries[3]["server"]["packages"][0]["identifier"] = json!("evil");
        entries.push(given("io.acme/f", "1.0.0", "active", late));
    }
    let synced = platform.post("/api/v1/catalog-sources/ours/sync", json!({})).await;
    assert_eq!(synced.json()["reading"], true, "{synced:?}");
    let source = read(&platform, "ours").await;
    assert_eq!(source["skipped"], 1, "{source}");
    let asked = registry.asked();
    assert!(asked[0].contains("updated_since=2025-09-16T08%3A00%3A00Z"), "{asked:?}");
    let names = names(&platform, "search=acme&sort=name").await;
    assert_eq!(names, ["io.acme/a", "io.acme/c", "io.acme/d", "io.acme/e", "io.acme/f"]);
    let of = async |name: &str| platform.get(&format!("/api/v1/catalog/io.acme%2F{name}")).await.json();
    assert_eq!(of("c").await["listing"]["version"], "1.1.0");
    let d = of("d").await;
    assert_eq!(
        (&d["package"]["name"], &d["listing"]["status"]),
        (&json!("@acme/thing"), &json!("deprecated"))
    );

    // Names of the registry are names to deploy, with their versions.
    let deploy = async |body: Value| platform.post("/api/v1/instances", body).await;
    let secrets = json!({ "API_KEY": "hunter2" });
    let made = deploy(json!({ "server": "io.acme/c", "secrets": secrets })).await;
    assert_eq!(made.json()["package"], "npm:@acme/thing@1.1.0", "{made:?}");
    assert_eq!(made.json()["name"], "c");
    let made = deploy(json!({ "server": "io.acme/c", "version": "1.0.0", "secrets": secrets })).await;
    assert_eq!(made.json()["package"], "npm:@acme/thing@1.0.0");
    for (body, words) in [
        (
            json!({ "server": "io.acme/c", "version": "9" }),
            "422 invalid | version | `io.acme/c` has no version `9` here",
        ),
        (json!({ "server": "io.acme/b" }), "422 invalid | server | `io.acme/b` was withdrawn"),
        (json!({ "server": "io.acme/cc" }), "did you mean `io.acme/c`?"),
        (json!({ "server": "io.acme/c" }), "secrets.API_KEY"),
    ] {
        let answer = deploy(body).await;
        assert!(answer.error().contains(words), "{}", answer.error());
    }

    // A source that is removed takes its entries along, but for those that something was made of.
    let removed =
        platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/catalog-sources/ours", None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert!(self::names(&platform, "search=acme").await.is_empty());
    assert_eq!(of("c").await["listing"]["status"], "deleted");
    assert_eq!(platform.get("/api/v1/catalog/io.acme%2Fa").await.status, StatusCode::NOT_FOUND);
    let account = "default".parse().unwrap();
    let account = store::accounts::account_by_name(&platform.store, &account).await.unwrap().unwrap().id;
    let lines = audit_lines(&platform.store, account, 10).await.unwrap();
    let actions: Vec<&str> = lines.iter().map(|line| line.action.as_str()).collect();
    for action in ["catalog.source.add", "catalog.source.sync", "catalog.source.remove"] {
        assert!(actions.contains(&action), "{actions:?}");
    }
    stop.cancel();
    platform.stop().await;
}

#[tokio::test]
async fn sources_that_cannot_be_say_why() {
    let platform = Platform::start(nobody()).await;
    let add = async |body: Value| platform.post("/api/v1/catalog-sources", body).await.error();
    for (body, words) in [
        (json!({ "url": "http://registry.example.com" }), "422 invalid | url"),
        (json!({ "url": "https://127.0.0.1/" }), "is not on the internet"),
        (json!({ "url": "https://169.254.169.254" }), "is not on the internet"),
        (json!({ "url": "ftp://x" }), "422 invalid | url"),
        (json!({ "url": "https://me:pw@registry.example.com" }), "422 invalid | url"),
        (json!({ "url": "https://registry.example.com", "name": "file" }), "422 invalid | name"),
        (json!({ "url": "https://registry.example.com", "name": "official" }), "422 invalid | name"),
        (json!({ "url": "https://registry.example.com", "name": "Not A Name" }), "422 invalid | name"),
    ] {
        let error = add(body.clone()).await;
        assert!(error.contains(words), "{body}: {error}");
        assert!(!error.contains("pw"), "{error}");
    }
    let answer = platform.post("/api/v1/catalog-sources/nothing/sync", json!({})).await;
    assert!(answer.error().starts_with("404 not_found"), "{}", answer.error());
    platform.stop().await;

    let (stop, registry) = (CancellationToken::new(), Arc::new(Registry::default()));
    let address = registry.start(stop.clone()).await;
    let platform = open_platform().await;
    for (name, url, words) in [
        ("none", format!("http://{address}/elsewhere"), "no registry of MCP servers"),
        ("away", format!("http://{}", nobody()), "does not answer"),
        ("gone", format!("http://{address}/x.json"), "it answered 404"),
    ] {
        let added = platform.post("/api/v1/catalog-sources", json!({ "url": url, "name": name })).await;
        assert_eq!(added.status, StatusCode::CREATED);
        let source = read(&platform, name).await;
        assert!(source["error"].as_str().unwrap().contains(words), "{source}");
    }
    stop.cancel();
    platform.stop().await;
}

#[tokio::test]
async fn files_are_added_by_who_looks_after_the_installation() {
    let platform = open_platform().await;
    let at = "2025-09-16T08:00:00Z";
    let entries = json!({ "entries": [
        given("io.acme/a", "1.0.0", "active", at),
        { "name": "io.acme/bundle", "description": "b", "version": "1", "packages": [{ "registryType": "mcpb", "identifier": "x" }] },
        { "name": "not a name" },
        7,
    ] });
    let admin = platform.person("default", Role::Admin, Life::Good).await;
    let refused = platform.send(Some(&admin), Method::POST, "/api/v1/catalog", Some(entries.clone())).await;
    assert!(refused.error().contains("looks after the installation"), "{}", refused.error());

    let added = platform.post("/api/v1/catalog", entries.clone()).await.json();
    assert_eq!((&added["added"], &added["refused"].as_array().unwrap().len()), (&json!(2), &2), "{added}");
    let again = platform.post("/api/v1/catalog", entries).await.json();
    assert_eq!((&again["added"], &again["unchanged"]), (&json!(0), &json!(2)), "{again}");
    let bundle = platform.get("/api/v1/catalog/io.acme%2Fbundle").await.json();
    assert!(bundle["listing"]["unavailable"].as_str().unwrap().contains("MCPB"), "{bundle}");
    assert_eq!(names(&platform, "search=acme&deployable=true").await, ["io.acme/a"]);
    let answer = platform.post("/api/v1/instances", json!({ "server": "io.acme/bundle" })).await;
    assert!(answer.error().contains("cannot be deployed: it is an MCPB bundle"), "{}", answer.error());
    // What is part of Berth is nobody else's to say.
    let time = platform.get("/api/v1/catalog/time").await.json();
    assert!(time.get("listing").is_none_or(|listing| listing.get("source").is_none()), "{time}");

    for (query, found) in [
        ("verified=true&search=acme", vec![]),
        ("secrets=true&search=acme", vec!["io.acme/a"]),
        ("package=npm&search=acme", vec!["io.acme/a"]),
        ("search=acme&limit=1&sort=name&offset=1", vec!["io.acme/bundle"]),
        ("kind=tool&search=acme", vec![]),
    ] {
        assert_eq!(names(&platform, query).await, found, "{query}");
    }
    assert!(platform.get("/api/v1/catalog?limit=0").await.error().starts_with("422"));
    platform.stop().await;
}

#[tokio::test]
async fn what_it_publishes_another_berth_reads() {
    let (stop, registry) = (CancellationToken::new(), Arc::new(Registry::default()));
    let early = "2025-09-16T08:00:00Z";
    *registry.entries.lock().unwrap() =
        ["a", "b", "c"].map(|name| given(&format!("io.acme/{name}"), "1.0.0", "active", early)).to_vec();
    let address = registry.start(stop.clone()).await;
    let first = open_platform().await;
    first
        .post("/api/v1/catalog-sources", json!({ "url": format!("http://{address}"), "name": "ours" }))
        .await;
    read(&first, "ours").await;
    let own = given("io.own/secret-plan", "1.0.0", "active", early);
    first.post("/api/v1/catalog", json!({ "entries": [own] })).await;

    let get = async |token: Option<&str>, path: &str| first.send(token, Method::GET, path, None).await;
    let page = get(None, "/v0.1/servers?limit=2&version=latest").await;
    assert_eq!(page.headers["access-control-allow-origin"], "*");
    let page = page.json();
    assert_eq!(page["servers"][0], given("io.acme/a", "1.0.0", "active", early), "it is what was given");
    let cursor = page["metadata"]["nextCursor"].as_str().unwrap();
    let rest = get(None, &format!("/v0.1/servers?limit=2&cursor={cursor}")).await.json();
    assert_eq!((&rest["metadata"]["count"], rest["metadata"].get("nextCursor")), (&json!(1), None), "{rest}");
    // What was added from files is for who is somebody.
    let all = get(Some(&first.owner), "/v0.1/servers").await.json();
    assert_eq!(all["metadata"]["count"], 4);
    for (path, nobody_gets, somebody_gets) in [
        ("/v0.1/servers/io.own%2Fsecret-plan/versions", 404, 200),
        ("/v0.1/servers/io.acme%2Fa/versions", 200, 200),
        ("/v0.1/servers/io.acme%2Fa/versions/latest", 200, 200),
        ("/v0.1/servers/io.acme%2Fa/versions/1.0.0", 200, 200),
        ("/v0.1/servers/io.acme%2Fa/versions/2", 404, 404),
        ("/v0.1/servers/time/versions", 404, 404),
        ("/v0.1/servers?cursor=x", 400, 400),
        ("/v0.1/servers?limit=101", 400, 400),
        ("/v0.1/servers?version=1", 400, 400),
        ("/v0.1/servers?updated_since=yesterday", 400, 400),
        ("/v0.1/servers?search=ACME&updated_since=2030-01-01T00:00:00Z&include_deleted=true", 200, 200),
    ] {
        assert_eq!(get(None, path).await.status, nobody_gets, "{path}");
        assert_eq!(get(Some(&first.owner), path).await.status, somebody_gets, "{path}");
    }

    let second = open_platform().await;
    let url = format!("http://{}", first.address);
    second.post("/api/v1/catalog-sources", json!({ "url": url, "name": "theirs" })).await;
    assert_eq!(read(&second, "theirs").await["entries"], 3);
    assert_eq!(names(&second, "search=acme").await.len(), 3);
    // A name belongs to the source that it came from.
    let taken = second
        .post("/api/v1/catalog", json!({ "entries": [given("io.acme/a", "2.0.0", "active", early)] }))
        .await;
    assert!(taken.json()["refused"][0]["why"].as_str().unwrap().contains("`theirs`"), "{taken:?}");
    stop.cancel();
    second.stop().await;
    first.stop().await;
}
