//! What a host says of itself is shown as text, whatever it is.

use domain::status::InstanceStatus;
use http::{Method, StatusCode};
use serde_json::json;

use super::{API, PAGE, active, admin, has, lacks, roomy, shown};
use crate::browser::text;
use crate::environments::beat;
use crate::platform::{Platform, nobody};

/// What would run, or leave its place, if it were markup.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</textarea><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% include %}",
    "<!--",
];

#[tokio::test]
async fn what_a_host_says_is_text() {
    let platform = Platform::start(nobody()).await;
    let admin = admin(&platform).await;
    let (id, token) = active(&platform, "workshop").await;
    let deploy = json!({ "server": "npm:thing", "name": "x", "environment": "workshop" });
    let made = platform.post("/api/v1/instances", deploy).await.json();
    let paths = [PAGE, "/a/default/environments/workshop", "/a/default/environments/upgrades"];
    let mut plain = Vec::new();
    for path in paths {
        plain.push(tags(&shown(&admin, path).await));
    }
    for (at, hostile) in HOSTILE.iter().enumerate() {
        let report = json!([{
            "id": made["id"], "generation": made["generation"], "status": InstanceStatus::ErrorRuntime,
            "message": hostile, "restarts": 1, "since": 1, "version": hostile,
            "confinement": { "runtime": hostile, "processes": 1, "open_files": 1 },
        }]);
        let mut body = roomy(&id, at as u64 + 2);
        body["instances"] = report;
        body["dtma_version"] = json!(hostile);
        body["protections"] = json!([{ "name": hostile, "granted": false, "detail": hostile }]);
        body["system"]["disk"] =
            json!({ "mount": hostile, "total_bytes": 4, "used_bytes": 1, "free_bytes": 3 });
        let taken = beat(&platform, &token, body).await;
        assert_eq!(taken.status, StatusCode::NO_CONTENT, "{hostile}: {taken:?}");
        let page = shown(&admin, paths[1]).await;
        has(&page, &["crashed"]);
        for path in paths {
            let page = shown(&admin, path).await;
            lacks(
                &page,
                &["<script>alert", "<img", "<svg/", " onerror=alert(1)>", "' onmouseover='", "<!--"],
            );
            assert!(!page.contains("49{"), "nothing is computed");
        }
        // The markup is the same for each of them: none makes an element or an attribute.
        let found = tags(&page);
        plain.push(found);
    }
    let of_hostile = &plain[paths.len()..];
    assert!(of_hostile.windows(2).all(|pair| pair[0] == pair[1]), "{of_hostile:#?}");
    platform.stop().await;
}

/// The elements of a page, without what is in them.
fn tags(page: &str) -> Vec<String> {
    let names =
        page.split('<').skip(1).map(|tag| tag.split([' ', '>']).next().unwrap_or_default().to_owned());
    names.collect()
}

#[tokio::test]
async fn labels_and_what_is_typed_are_text() {
    let platform = Platform::start(nobody()).await;
    let admin = admin(&platform).await;
    active(&platform, "workshop").await;
    let patch =
        json!({ "labels": { "x": "<img/src=x/onerror=alert(1)>", "y": "\"><script>alert(1)</script>" } });
    let answer =
        platform.send(Some(&platform.owner), Method::PATCH, &format!("{API}/workshop"), Some(patch)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.error());
    for path in [PAGE.to_owned(), format!("{PAGE}/workshop"), format!("{PAGE}/workshop/change")] {
        let page = shown(&admin, &path).await;
        has(&page, &["x=&#60;img/src=x"]);
        lacks(&page, &["<img", "<script>alert"]);
    }
    for hostile in HOSTILE {
        let fields = [
            ("name", *hostile),
            ("labels", hostile),
            ("reached", "dialled"),
            ("address", hostile),
            ("tls_pin", hostile),
            ("waves", hostile),
            ("environment", hostile),
            ("confirm", hostile),
            ("region", hostile),
        ];
        for path in ["add", "droplet", "upgrades", "workshop/change"] {
            let answer = admin.submit(PAGE, &format!("{PAGE}/{path}"), &fields).await;
            assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{path} {hostile}");
            lacks(
                &text(&answer),
                &["<script>alert", "<img", "<svg/", "' onmouseover='", "<!--\"", "<textarea><"],
            );
        }
        // A path is typed, too.
        let encoded: String = hostile.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let lost = admin.get(&format!("{PAGE}/{encoded}")).await;
        assert_eq!(lost.status, StatusCode::NOT_FOUND, "{hostile}");
        lacks(&text(&lost), &["<script>alert", "<img", "<svg/"]);
    }
    platform.stop().await;
}
