//! Lists are whole, and their pages are the provider's own.

use std::collections::BTreeSet;

use digitalocean::Error;
use serde_json::json;
use testkit::digitalocean::{Config, Fake, Fault};

use crate::{client, tag};

#[tokio::test]
async fn all_pages() {
    let fake = Fake::start(Config { burst: 5000, ..Config::default() });
    let client = client(&fake);
    for (count, requests) in [(0, 1), (200, 1), (201, 2), (401, 3)] {
        let known = client.tags().await.unwrap().len();
        for n in known..count {
            client.create_tag(&tag(&format!("t:{n}"))).await.unwrap();
        }
        let before = fake.requests("GET", "/v2/tags");
        let names: BTreeSet<String> = client.tags().await.unwrap().into_iter().map(|tag| tag.name).collect();
        assert_eq!(names.len(), count);
        assert_eq!(fake.requests("GET", "/v2/tags") - before, requests, "{count}");
    }
}

#[tokio::test]
async fn broken_lists_are_no_empty_lists() {
    let fake = Fake::start(Config::default());
    let client = client(&fake);
    let next = |url: &str| json!({"droplets": [], "links": {"pages": {"next": url}}, "meta": {"total": 0}});
    for (answer, says) in [
        (json!({}), "it has no `droplets`"),
        (json!({"droplets": null}), "`droplets`: "),
        (json!({"droplets": [{"id": "seven"}]}), "`droplets`: "),
        (json!([]), "invalid type"),
        (next("https://api.example/v2/droplets?page=2"), "its next page is at another address"),
        (next("http://127.0.0.1:1/v2/droplets?page=2"), "its next page is at another address"),
    ] {
        fake.inject("GET", "/v2/droplets", Fault::Answer(200, answer.clone()));
        let error = client.droplets().await.unwrap_err();
        let Error::Garbled { reason, request_id, .. } = &error else { panic!("{answer}: {error}") };
        assert!(reason.contains(says), "{answer}: {reason}");
        assert!(request_id.is_some());
    }
    // What is told of more than is known here is read all the same.
    let more = json!({
        "droplets": [{
            "id": 7, "name": "web1", "status": "hibernated", "region": {"slug": "mars1"}, "networks": null, "tags": null,
            "brand_new": {"x": 1},
        }],
        "links": null,
    });
    fake.inject("GET", "/v2/droplets", Fault::Answer(200, more));
    let droplets = client.droplets().await.unwrap();
    assert_eq!((droplets[0].status.as_str(), droplets[0].region()), ("hibernated", "mars1"));
}
