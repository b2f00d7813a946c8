//! Logins of registries: given by admins, never shown, handed to the host that needs them and to no other.

use std::sync::Arc;

use api::users::Role;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::dtma::FakeDtma;
use crate::platform::{Life, Platform, nobody};

const PASSWORD: &str = "hunter2-of-the-registry";

async fn login(platform: &Platform, token: &str, host: &str, body: Value) -> crate::platform::Answer {
    platform.send(Some(token), Method::PUT, &format!("/api/v1/registries/{host}"), Some(body)).await
}

#[tokio::test]
async fn each_account_has_its_own_and_a_password_is_never_shown() {
    let platform = Platform::start(nobody()).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let owner = platform.owner.clone();
    let body = |user: &str| json!({"username": user, "password": PASSWORD});
    for (token, user) in [(&owner, "me"), (&stranger, "you"), (&owner, "again")] {
        let kept = login(&platform, token, "GHCR.io", body(user)).await;
        assert_eq!(kept.status, StatusCode::OK, "{}", kept.error());
        assert_eq!((&kept.json()["host"], &kept.json()["username"]), (&json!("ghcr.io"), &json!(user)));
        assert!(!kept.json().to_string().contains(PASSWORD));
    }
    for (token, user) in [(&owner, "again"), (&stranger, "you")] {
        let list = platform.send(Some(token), Method::GET, "/api/v1/registries", None).await.json();
        let rows = list.as_array().unwrap();
        assert_eq!((rows.len(), &rows[0]["username"]), (1, &json!(user)));
        assert!(!list.to_string().contains(PASSWORD));
    }
    // It is sealed in the database, and no line of the audit has it.
    let files = std::fs::read_dir(platform.dir.path().join("control")).unwrap();
    for file in files.map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes()), "{}", file.display());
    }
    let path = "/api/v1/registries/ghcr.io";
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        assert_eq!(platform.send(Some(&owner), Method::DELETE, path, None).await.status, status);
    }
    let list = platform.send(Some(&stranger), Method::GET, "/api/v1/registries", None).await.json();
    assert_eq!(list.as_array().unwrap().len(), 1, "another account's is left alone");
    platform.stop().await;
}

#[tokio::test]
async fn a_login_goes_with_the_specs_that_need_it_and_with_no_other() {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let body = json!({"username": "me", "password": PASSWORD});
    login(&platform, &platform.owner, "ghcr.io", body.clone()).await;
    login(&platform, &stranger, "quay.io", body).await;
    for (server, name, has_login) in [
        ("oci:ghcr.io/owner/image:1", "ours", true),
        ("oci:ghcr.io.example/owner/image:1", "alike", false),
        ("oci:quay.io/owner/image:1", "of-another-account", false),
        ("oci:image:1", "of-the-hub", false),
        ("npm:thing", "package", false),
    ] {
        let made = platform.post("/api/v1/instances", json!({"server": server, "name": name})).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.error());
        assert!(!made.json().to_string().contains(PASSWORD));
        platform.instance_until(name, |instance| instance["status"] == "installing").await;
        let given = dtma.spec(name).unwrap().registry;
        assert_eq!(given.is_some(), has_login, "{server}");
        if let Some(given) = given {
            let shown = (given.host.as_str(), given.username.as_str(), given.password.expose());
            assert_eq!(shown, ("ghcr.io", "me", PASSWORD));
        }
    }
    // Another password, and that there is none any more, reach the host by themselves, and are no change of the instance.
    let told = async |expected: Option<&str>| {
        let deadline = std::time::Instant::now() + crate::platform::PATIENCE;
        loop {
            let spec = dtma.spec("ours").unwrap();
            let password = spec.registry.as_ref().map(|login| login.password.expose());
            if password == expected {
                assert_eq!((spec.generation, spec.restarts_asked), (1, 0));
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{expected:?} is not told");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    login(&platform, &stranger, "ghcr.io", json!({"username": "me", "password": "of-another-account"})).await;
    for password in ["new", "newer"] {
        login(&platform, &platform.owner, "ghcr.io", json!({"username": "me", "password": password})).await;
        told(Some(password)).await;
    }
    platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/registries/ghcr.io", None).await;
    told(None).await;
    assert!(dtma.spec("alike").unwrap().registry.is_none());
    platform.stop().await;
}

#[tokio::test]
async fn bad_input_names_the_field() {
    let platform = Platform::start(nobody()).await;
    let good = json!({"username": "me", "password": "x"});
    for (host, body, start) in [
        ("registry", good.clone(), "422 invalid | host"),
        ("ghcr.io%2Fowner", good.clone(), "422 invalid | host"),
        ("http%3A%2F%2Fghcr.io", good, "422 invalid | host"),
        ("ghcr.io", json!({"username": "", "password": "x"}), "422 invalid | username"),
        ("ghcr.io", json!({"username": "a:b", "password": "x"}), "422 invalid | username"),
        ("ghcr.io", json!({"username": "me", "password": ""}), "422 invalid | password"),
        ("ghcr.io", json!({"username": "me", "password": "a\nb"}), "422 invalid | password"),
        ("ghcr.io", json!({"username": "me", "password": "x".repeat(20_000)}), "422 invalid | password"),
        ("ghcr.io", json!({"username": "me", "password": "x", "colour": "red"}), "422 invalid | colour"),
        ("ghcr.io", json!({"username": "me"}), "422 invalid | password"),
    ] {
        let answer = login(&platform, &platform.owner, host, body).await;
        assert!(answer.error().starts_with(start), "{host}: {}", answer.error());
        assert!(!answer.error().contains("a\\nb"), "a password is repeated: {}", answer.error());
    }
    platform.stop().await;
}
