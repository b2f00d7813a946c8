//! Changes of images: other tags, what a tag is now, and what it was.

use http::{Method, StatusCode};
use serde_json::json;

use super::{Stage, THING};
use crate::images::{MANIFEST, Registry, digest};
use crate::reconciler::wait_for;

#[tokio::test]
async fn images_are_other_tags_and_what_a_tag_is_now() {
    let registry = Registry::start().await;
    let (address, now) = (registry.address, digest(MANIFEST.as_bytes()));
    let image = |rest: &str| format!("oci:{address}/{rest}");
    let named = format!("http://{address}");
    // A tool, so that nobody asks the played host for its tools.
    let body = json!({ "server": image("open/app"), "version": "1", "name": "thing", "container": {} });
    let stage = Stage::of(body, |config| {
        config.registries = control::Registries::default().with_images(&[named]).unwrap();
    })
    .await;
    let package = || stage.spec("thing").unwrap().package.to_string();
    assert_eq!(package(), image("open/app:1"));
    let first = digest(format!("{address}/open/app:1").as_bytes());

    // The tag is another image by now, and that is what is asked for from here on.
    let newest = json!({ "version": "newest" });
    let begun = stage.begun(newest.clone()).await;
    assert_eq!(begun["changed"], json!(["version"]));
    let changes = stage.goes_well(2).await;
    assert_eq!(package(), image(&format!("open/app:1@{now}")));
    assert_eq!((&changes[0]["digest"], &changes[1]["digest"]), (&json!(now), &json!(first)));
    let again = stage.change(newest.clone()).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{again:?}");
    assert!(again.error().contains("is what `thing` is already"), "{again:?}");
    stage.begun(json!({ "settings": { "WORD": "new" } })).await;
    stage.goes_well(3).await;
    assert_eq!(package(), image(&format!("open/app:1@{now}")), "nobody asked for another image");

    stage.begun(json!({ "version": "2" })).await;
    stage.goes_well(4).await;
    assert_eq!(package(), image("open/app:2"));

    // The way back leads to the images that ran, whatever their tags are now.
    for (to, generation, expected) in [(3, 5, &now), (1, 6, &first)] {
        let back = stage.platform.post(&format!("{THING}/rollback"), json!({ "to": to })).await;
        assert_eq!(back.status, StatusCode::CREATED, "{back:?}");
        wait_for(|| stage.spec("thing-next").is_some()).await;
        stage.goes_well(generation).await;
        assert_eq!(package(), image(&format!("open/app:1@{expected}")));
    }
    let same = stage.change(json!({ "version": first })).await;
    assert_eq!(same.status, StatusCode::CONFLICT, "{same:?}");

    let refused = async |name: &str, version: &str, status: u16, says: &str| {
        let body = json!({ "server": image(name), "name": "other", "container": {} });
        let made = stage.platform.post("/api/v1/instances", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let path = "/api/v1/instances/other";
        let answer = stage.platform.post(&format!("{path}/changes"), json!({ "version": version })).await;
        let error = answer.json()["error"].clone();
        assert_eq!(answer.status.as_u16(), status, "{name}: {error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{name}: {error}");
        assert_eq!(error["field"].as_str(), (status == 422).then_some("version"), "{name}: {error}");
        if version == "newest" {
            assert!(error["hint"].as_str().unwrap().contains("--version TAG"), "{name}: {error}");
        }
        stage.platform.send(Some(&stage.platform.owner), Method::DELETE, path, None).await;
        wait_for(|| stage.spec("other").is_none()).await;
    };
    refused("gone/app:1", "newest", 422, "shows no").await;
    refused("bearer/app:1", "newest", 422, "wants credentials").await;
    refused("moved/app:1", "newest", 422, "sends elsewhere").await;
    refused("away/token:1", "newest", 503, "169.254.169.254").await;
    refused("open/app:1", "a b", 422, "neither a tag").await;
}

#[tokio::test]
async fn of_an_image_that_a_catalog_lists_the_newest_is_the_lists() {
    let registry = Registry::start().await;
    let named = format!("http://{}", registry.address);
    let stage = Stage::of(json!({ "server": "npm:thing", "name": "thing" }), |config| {
        config.registries = control::Registries::default().with_images(&[named]).unwrap();
    })
    .await;
    let publish = async |version: &str, tag: &str| {
        let image = format!("{}/open/app:{tag}", registry.address);
        let entry = json!({
            "name": "io.acme/app", "description": "An app", "version": version,
            "packages": [{ "registryType": "oci", "identifier": image, "transport": { "type": "stdio" } }],
        });
        let added = stage.platform.post("/api/v1/catalog", json!({ "entries": [entry] })).await.json();
        assert_eq!(added["added"], 1, "{added}");
    };
    publish("1.0.0", "1").await;
    let made =
        stage.platform.post("/api/v1/instances", json!({ "server": "io.acme/app", "name": "app" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    wait_for(|| stage.spec("app").is_some()).await;
    stage.all_run().await;
    publish("2.0.0", "2").await;
    // That registry has no image with this tag.
    let path = "/api/v1/instances/app/changes";
    let newest = stage.platform.post(path, json!({ "version": "newest" })).await;
    assert!(newest.error().contains("/open/app:2"), "{newest:?}");
    // By its number in the list it is not asked for.
    let begun = stage.platform.post(path, json!({ "version": "2.0.0" })).await;
    assert_eq!(begun.status, StatusCode::CREATED, "{begun:?}");
    assert!(begun.json()["package"].as_str().unwrap().ends_with("/open/app:2"), "{begun:?}");
    let none = stage.platform.post("/api/v1/instances/thing/changes", json!({ "version": "sha256:1" })).await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY, "{none:?}");
    stage.platform.stop().await;
}
