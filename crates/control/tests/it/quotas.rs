//! How much an account may have.

use api::users::Role;
use control::Quotas;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::platform::{Answer, Life, Platform, nobody};

async fn deploy(platform: &Platform, name: &str, memory: Option<u64>) -> Answer {
    let limits = memory.map_or(json!({}), |mib| json!({ "memory_mib": mib }));
    let body: Value = json!({ "server": "npm:x@1.0.0", "name": name, "limits": limits });
    platform.post("/api/v1/instances", body).await
}

#[tokio::test]
async fn an_account_has_so_many_and_others_are_not_counted() {
    let quotas = Quotas { instances: Some(2), memory_mib: None };
    let platform = Platform::start_with(nobody(), |config| config.quotas = quotas).await;
    // `welcome` is one.
    assert_eq!(deploy(&platform, "second", None).await.status, StatusCode::CREATED);
    let refused = deploy(&platform, "third", None).await;
    let expected =
        "409 conflict | - | an account may have 2 instances, and this one has 2 | remove one first";
    assert!(refused.error().starts_with(expected), "{}", refused.error());
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let body = json!({ "server": "npm:x@1.0.0" });
    let theirs = platform.send(Some(&stranger), Method::POST, "/api/v1/instances", Some(body)).await;
    assert!(theirs.error().contains("this account has no environment"), "{}", theirs.error());
    platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/instances/second", None).await;
    assert_eq!(
        deploy(&platform, "third", None).await.status,
        StatusCode::CREATED,
        "one that goes counts no more"
    );
    platform.stop().await;
}

#[tokio::test]
async fn two_at_once_are_not_both_the_last_that_fits() {
    let quotas = Quotas { instances: Some(4), memory_mib: None };
    let platform = Platform::start_with(nobody(), |config| config.quotas = quotas).await;
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let all = futures_util::future::join_all(names.map(|name| deploy(&platform, name, None))).await;
    let made = all.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert_eq!((made, all.len()), (3, 8));
    platform.stop().await;
}

#[tokio::test]
async fn memory_is_what_each_may_use_or_what_is_usual() {
    let usual = domain::placement::TYPICAL_MEMORY_MIB;
    let quotas = Quotas { instances: None, memory_mib: Some(usual + 1024) };
    let platform = Platform::start_with(nobody(), |config| config.quotas = quotas).await;
    assert_eq!(deploy(&platform, "half", Some(1000)).await.status, StatusCode::CREATED);
    for memory in [Some(25), None] {
        let refused = deploy(&platform, "more", memory).await;
        let expected = format!(
            "409 conflict | limits.memory_mib | the instances of an account may use {} MiB of memory together: those there are may use {}, this one {}",
            usual + 1024,
            usual + 1000,
            memory.unwrap_or(usual)
        );
        assert!(refused.error().starts_with(&expected), "{}", refused.error());
    }
    assert_eq!(deploy(&platform, "more", Some(24)).await.status, StatusCode::CREATED);
    platform.stop().await;
}
