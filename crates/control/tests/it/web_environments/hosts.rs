//! A host from its form to its first report, and to its end.

use http::{Method, StatusCode};
use serde_json::json;

use super::{API, PAGE, admin, again, goes_to, has, host, lacks, roomy, shown};
use crate::browser::text;
use crate::environments::beat;
use crate::platform::{Platform, audit_lines, nobody};

/// What is typed of a host that is dialled.
const DIALLED: [(&str, &str); 4] =
    [("name", "far"), ("labels", ""), ("reached", "dialled"), ("address", "10.0.0.5:30000")];

#[tokio::test]
async fn what_cannot_be_keeps_what_was_typed_and_names_its_field() {
    let platform = Platform::start(nobody()).await;
    let admin = admin(&platform).await;
    host(&platform, "taken").await;
    let add = format!("{PAGE}/add");
    for (change, status, words, wrong) in [
        (("name", "taken"), 409, "An environment `taken` exists already", "name"),
        (("name", "My Host"), 422, "Use `my-host`", "name"),
        (("name", "auto"), 422, "whichever environment has most room", "name"),
        (("name", "upgrades"), 422, "a page beside those of environments", "name"),
        (("address", ""), 422, "A host that is dialled needs an address", "address"),
        (("address", "far.example.com"), 422, "is no IP address with a port", "address"),
        (("tls_pin", "x"), 422, "`berth dtma pin` prints it on the host", "tls_pin"),
        (("labels", "gpu=yes\nfast"), 422, "`fast` is no label", "labels"),
        (("labels", "gpu=yes\ngpu=no"), 422, "The label `gpu` is there twice", "labels"),
        (("labels", "region=fra1"), 422, "is what the provider says", "labels"),
    ] {
        let mut fields: Vec<(&str, &str)> = DIALLED.to_vec();
        fields.retain(|(name, _)| *name != change.0);
        fields.push(change);
        let answer = admin.submit(&add, &add, &fields).await;
        again(&answer, status, &[words, "role=\"alert\"", "value=\"dialled\" checked"]);
        let page = text(&answer);
        // The field that is wrong is marked, and no other.
        let marked: Vec<&str> = page.split('<').filter(|tag| tag.contains("aria-invalid")).collect();
        assert_eq!(marked.len(), 1, "{change:?}: {marked:?}");
        assert!(marked[0].contains(&format!("name=\"{wrong}\"")), "{change:?}: {marked:?}");
        for (_, typed) in fields.iter().filter(|(name, _)| matches!(*name, "name" | "address" | "tls_pin")) {
            has(&page, &[&format!("value=\"{typed}\"")]);
        }
        if change.0 == "labels" {
            has(&page, &[&format!(">{}</textarea>", change.1)]);
        }
    }
    let names = platform.get(API).await.json();
    assert_eq!(names.as_array().unwrap().len(), 2, "nothing was made: {names}");
    platform.stop().await;
}

#[tokio::test]
async fn a_host_is_added_enrolled_and_reports() {
    let platform = Platform::start(nobody()).await;
    let admin = admin(&platform).await;
    let add = format!("{PAGE}/add");
    has(&shown(&admin, &add).await, &["which only its own machine reaches", "value=\"tunnel\" checked"]);
    // What is typed for the other way does not count.
    let fields = [
        ("name", " workshop "),
        ("labels", "gpu=yes\r\n\r\nsite = north"),
        ("reached", "tunnel"),
        ("address", "nonsense"),
    ];
    let made = admin.submit(&add, &add, &fields).await;
    assert_eq!(made.status, StatusCode::OK, "{}", text(&made));
    assert_eq!(made.headers["cache-control"], "no-store");
    let page = text(&made);
    let read_from = format!("id=\"progress\" data-live=\"{PAGE}/workshop?steps=all\"");
    has(&page, &["data-copy=\"line\"", &read_from, "It is shown this once", "it is good until"]);
    let token = page.split("--token ").nth(1).unwrap().split(['<', ' ']).next().unwrap().to_owned();
    assert!(token.starts_with("berth_enrol_"), "{token}");

    let workshop = format!("{PAGE}/workshop");
    let steps = async |path: &str| -> Vec<String> {
        let page = shown(&admin, path).await;
        let list =
            page.split("<ol class=\"progress\">").nth(1).map(|rest| rest.split("</ol>").next().unwrap());
        let items = list.unwrap_or_default().split("<li class=\"").skip(1);
        items.map(|item| item.split('"').next().unwrap().to_owned()).collect()
    };
    let before = shown(&admin, &workshop).await;
    lacks(&before, &["berth_enrol_"]);
    has(&before, &["waiting for its DTMA", "gpu=yes", "site=north", "there is none now"]);
    assert_eq!(steps(&workshop).await, ["done", "now", "later", "later"]);

    let enrol = json!({
        "token": token, "nonce": "0123456789abcdef0123", "hostname": "box", "dtma_version": "0.1.0",
    });
    let enrolled = platform.send(None, Method::POST, "/api/v1/dtma/enrol", Some(enrol)).await.json();
    assert_eq!(steps(&workshop).await, ["done", "done", "now", "later"]);
    let (id, own) = (enrolled["environment"].as_str().unwrap(), enrolled["token"].as_str().unwrap());
    let mut body = roomy(id, 1);
    body["system"]["disk"] = json!({ "mount": "/data", "total_bytes": 100_u64 << 30, "used_bytes": 25_u64 << 30, "free_bytes": 75_u64 << 30 });
    body["protections"] = json!([
        { "name": "Landlock", "granted": true, "detail": "ABI 7" },
        { "name": "egress rules", "granted": false, "detail": "not enforced: there is no `nft`" },
    ]);
    beat(&platform, own, body).await;
    let after = shown(&admin, &workshop).await;
    lacks(&after, &["<ol class=\"progress\">", own]);
    has(
        &after,
        &[
            "badge good\">active",
            "aria-label=\"Disk: 25 %\"",
            "mounted at <code>/data</code>",
            "1 of 2 is not there",
            "Install nftables on the host.",
            "ABI 7",
            "it reports, but has no tunnel open",
            &format!("href=\"{workshop}/logs\""),
            "data-gone=\"/a/default/environments\"",
        ],
    );
    assert_eq!(steps(&format!("{workshop}?steps=all")).await, ["done", "done", "done", "now"]);
    has(
        &shown(&admin, &format!("{workshop}/logs")).await,
        &["journalctl --unit berth-dtma", "does not answer"],
    );

    // Another line waits beside the host that there is.
    let line = admin.submit(&format!("{workshop}/enrol"), &format!("{workshop}/enrol"), &[]).await;
    has(&text(&line), &["--token berth_enrol_"]);
    lacks(&text(&line), &[&token]);
    assert_eq!(steps(&workshop).await, ["done", "now", "later", "later"]);

    has(&shown(&admin, &format!("{workshop}/revoke")).await, &["open nothing any more"]);
    goes_to(&admin.submit(&workshop, &format!("{workshop}/revoke"), &[]).await, &workshop);
    assert_eq!(beat(&platform, own, roomy(id, 2)).await.status, StatusCode::UNAUTHORIZED);
    has(&shown(&admin, &workshop).await, &["the token of its host was revoked"]);
    has(&shown(&admin, &format!("{workshop}/revoke")).await, &["No host may speak for workshop now"]);
    let account = platform.account("default").await;
    let lines = audit_lines(&platform.store, account, 20).await.unwrap();
    let of = |action: &str| lines.iter().filter(|line| line.action == action).count();
    assert_eq!(
        [of("environment.add"), of("environment.enrolment"), of("environment.revoke")],
        [1, 2, 1],
        "each act is told"
    );
    platform.stop().await;
}

#[tokio::test]
async fn name_labels_and_cordon_are_changed() {
    let platform = Platform::start(nobody()).await;
    let admin = admin(&platform).await;
    host(&platform, "workshop").await;
    host(&platform, "taken").await;
    let change = format!("{PAGE}/workshop/change");
    for (name, labels, status, words) in [
        ("taken", "", 409, "An environment `taken` exists already"),
        ("Work Shop", "", 422, "Use `work-shop`"),
        ("droplet", "", 422, "a page beside those of environments"),
        ("workshop", "gpu", 422, "`gpu` is no label"),
        ("workshop", "size=big", 422, "cannot be set"),
    ] {
        let answer = admin.submit(&change, &change, &[("name", name), ("labels", labels)]).await;
        again(&answer, status, &[words, &format!("value=\"{name}\""), &format!(">{labels}</textarea>")]);
    }
    let fields = [("name", "workshop"), ("labels", "gpu=yes\nsite=north")];
    goes_to(&admin.submit(&change, &change, &fields).await, &format!("{PAGE}/workshop"));
    let of_form = shown(&admin, &change).await;
    has(&of_form, &["gpu=yes\nsite=north</textarea>"]);
    // What is not there any more is taken away, and the name goes with it in one act.
    let fields = [("name", "lab"), ("labels", "site=south")];
    goes_to(&admin.submit(&change, &change, &fields).await, &format!("{PAGE}/lab"));
    let shown_as = platform.get(&format!("{API}/lab")).await.json();
    assert_eq!(shown_as["labels"], json!({ "site": "south" }));
    assert_eq!(admin.get(&format!("{PAGE}/workshop")).await.status, StatusCode::NOT_FOUND);

    let cordon = format!("{PAGE}/lab/cordon");
    for (word, is) in [("yes", true), ("yes", true), ("no", false)] {
        goes_to(&admin.submit(PAGE, &cordon, &[("cordoned", word)]).await, &format!("{PAGE}/lab"));
        let page = shown(&admin, &format!("{PAGE}/lab")).await;
        assert_eq!(page.contains("It takes no new instances"), is, "{page}");
        assert_eq!(platform.get(&format!("{API}/lab")).await.json()["cordoned"], is);
    }
    // The control plane's own machine keeps its name.
    let own = format!("{PAGE}/local/change");
    lacks(&shown(&admin, &own).await, &["name=\"name\""]);
    goes_to(&admin.submit(&own, &own, &[("labels", "a=b")]).await, &format!("{PAGE}/local"));
    let refused = admin.submit(&own, &own, &[("name", "other"), ("labels", "")]).await;
    again(&refused, 409, &["It keeps its name"]);
    platform.stop().await;
}

#[tokio::test]
async fn removing_says_what_is_lost() {
    let platform = Platform::start(nobody()).await;
    let admin = admin(&platform).await;
    super::active(&platform, "workshop").await;
    let deploy = json!({ "server": "npm:thing", "name": "x", "environment": "workshop" });
    assert_eq!(platform.post("/api/v1/instances", deploy).await.status, StatusCode::CREATED);
    let remove = format!("{PAGE}/workshop/remove");
    let page = shown(&admin, &remove).await;
    has(&page, &["First, its instances", "/a/default/instances/x/danger", "/workshop/drain"]);
    lacks(&page, &["action=\"/a/default/environments/workshop/remove\""]);
    let refused = admin.submit(PAGE, &remove, &[]).await;
    again(&refused, 409, &["`workshop` has an instance: `x`"]);

    platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/instances/x", None).await;
    let page = shown(&admin, &remove).await;
    has(&page, &["Not yet", "is being removed", "once its host has let go of it"]);
    lacks(&page, &["action=\"/a/default/environments/workshop/remove\""]);
    host(&platform, "empty").await;
    let page = shown(&admin, &format!("{PAGE}/empty/remove")).await;
    has(&page, &["What is lost", "The host itself stays yours", "<code>/var/lib/berth</code>"]);
    lacks(&page, &["name=\"confirm\""]);
    goes_to(&admin.submit(PAGE, &format!("{PAGE}/empty/remove"), &[]).await, PAGE);
    assert_eq!(platform.get(&format!("{API}/empty")).await.status, StatusCode::NOT_FOUND);

    // The control plane's own stays.
    let own = shown(&admin, &format!("{PAGE}/local/remove")).await;
    has(&own, &["It stays for as long as the control plane runs here"]);
    let refused = admin.submit(PAGE, &format!("{PAGE}/local/remove"), &[]).await;
    again(&refused, 409, &["own machine"]);
    lacks(&shown(&admin, &format!("{PAGE}/local")).await, &["Danger zone", "/local/enrol"]);
    has(&shown(&admin, &format!("{PAGE}/local/enrol")).await, &["it enrols itself"]);
    platform.stop().await;
}
