//! The first start, every later one, and those that cannot be.

use std::os::unix::fs::PermissionsExt as _;

use control::{MASTER_KEY_FILE, StartError};
use domain::secret::Secret;
use serde_json::json;

use crate::platform::{Platform, config, nobody};

#[tokio::test]
async fn the_first_start_makes_everything_and_later_ones_keep_it() {
    let dir = tempfile::tempdir().unwrap();
    let dtma = nobody();
    let mut config = config(dir.path(), "http://127.0.0.1:1", dtma);
    let first = control::setup(&config).await.unwrap();
    assert!(first.api_token.is_some());
    let local = first.environment.unwrap();
    let again = control::setup(&config).await.unwrap();
    assert!(again.api_token.is_none(), "a token is shown once");
    let kept = again.environment.unwrap();
    assert_eq!((kept.id, &kept.dtma_token), (local.id, &local.dtma_token));

    // The DTMA's own token wins, and another port is no other environment.
    let own = config.local.as_mut().unwrap();
    own.token = Some(Secret::new("of-the-dtma"));
    own.dtma = nobody();
    let moved = control::setup(&config).await.unwrap().environment.unwrap();
    assert_eq!((moved.id, moved.dtma_token.expose()), (local.id, "of-the-dtma"));
    config.local.as_mut().unwrap().token = None;
    let kept = control::setup(&config).await.unwrap().environment.unwrap();
    assert_eq!(kept.dtma_token.expose(), "of-the-dtma");

    for file in ["berth.db", MASTER_KEY_FILE] {
        let mode = std::fs::metadata(config.data.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(std::fs::metadata(&config.data).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn an_entry_of_the_catalog_gives_its_name_to_another() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "http://127.0.0.1:1", nobody());
    control::setup(&config).await.unwrap();
    let database = store::Database::Sqlite(config.data.join("berth.db"));
    // As an older Berth has it: the MCP server bears the name that is the container tool's now.
    let store = store::Store::open(&database).await.unwrap();
    let entries = store::catalog::all(&store).await.unwrap();
    let named = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap().clone();
    let (mut tool, mut server) = (named("postgres"), named("postgres-mcp"));
    "of-later".clone_into(&mut tool.name);
    "postgres".clone_into(&mut server.name);
    let mut tx = store.begin().await.unwrap();
    for entry in [&tool, &server] {
        store::catalog::upsert(&mut tx, entry, "Official", entry_time()).await.unwrap();
    }
    tx.commit().await.unwrap();
    store.close().await;
    control::setup(&config).await.unwrap();
    let store = store::Store::open(&database).await.unwrap();
    assert_eq!(store::catalog::all(&store).await.unwrap(), entries);
    store.close().await;
}

fn entry_time() -> domain::time::Timestamp {
    domain::time::Timestamp::from(std::time::SystemTime::now())
}

#[tokio::test]
async fn two_first_starts_at_once_make_one_account() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "http://127.0.0.1:1", nobody());
    let (one, two) = tokio::join!(control::setup(&config), control::setup(&config));
    let made = [&one, &two].iter().filter(|s| s.as_ref().is_ok_and(|s| s.api_token.is_some())).count();
    assert_eq!(made, 1, "{one:?} {two:?}");
    let again = control::setup(&config).await.unwrap();
    assert!(again.api_token.is_none());
}

#[tokio::test]
async fn a_lost_token_can_be_made_anew_beside_the_running_process() {
    let platform = Platform::start(nobody()).await;
    let config = config(platform.dir.path(), "http://127.0.0.1:1", nobody());
    let secret = control::new_api_token(&config, "again").await.unwrap();
    let who = platform.send(Some(secret.expose()), http::Method::GET, "/api/v1/whoami", None).await;
    assert_eq!(who.json()["role"], "owner");
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let base = config(dir.path(), "http://127.0.0.1:1", nobody());
    std::fs::create_dir_all(&base.data).unwrap();

    let mut odd = base.clone();
    odd.database = Some("mysql://x".to_owned());
    assert!(matches!(control::setup(&odd).await, Err(StartError::Store(_))));
    odd.database = Some("/nowhere/at/all/berth.db".to_owned());
    let error = control::setup(&odd).await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all"), "{error}");

    std::fs::write(base.data.join("berth.db"), "no database at all, only words, and many of them").unwrap();
    let error = control::setup(&base).await.unwrap_err().to_string();
    assert!(error.contains("berth.db") && error.contains("not an SQLite database"), "{error}");
    std::fs::remove_file(base.data.join("berth.db")).unwrap();

    std::fs::write(base.data.join(MASTER_KEY_FILE), "rubbish").unwrap();
    let error = control::setup(&base).await.unwrap_err().to_string();
    assert!(error.contains(MASTER_KEY_FILE) && error.contains("backup"), "{error}");
}

#[tokio::test]
async fn nothing_is_lost_over_a_restart() {
    let platform = Platform::start(nobody()).await;
    platform.deploy("kept").await;
    let (owner, before) = (platform.owner.clone(), platform.get("/api/v1/instances/kept").await.json());
    let dir = tempfile::tempdir().unwrap();
    // A second process on the same files, as after a kill of the first.
    let config =
        config(platform.dir.path(), before["url"].as_str().unwrap().split("/mcp").next().unwrap(), nobody());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let served = tokio::spawn(control::run(config, vec![hop::serve::Listener::Tcp(listener)], stop.clone()));
    drop(dir);
    let request = http::Request::get("/api/v1/instances/kept")
        .header("authorization", format!("Bearer {owner}"))
        .body(http_body_util::Full::new(bytes::Bytes::new()))
        .unwrap();
    let pool = hop::pool::Pool::new();
    let response = pool.send(&hop::address::Address::Tcp(address), request).await.unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let after: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&after["id"], &after["url"]), (&before["id"], &before["url"]));
    assert_ne!(after["id"], json!(null));
    stop.cancel();
    served.await.unwrap().unwrap();
    platform.stop().await;
}
