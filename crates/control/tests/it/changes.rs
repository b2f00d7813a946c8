//! Changes of what instances are: tried beside them first, put in their place when they work, and taken back when they do not.

mod images;

use std::sync::Arc;

use api::users::Role;
use domain::change::{ChangeState, ToolChange, ToolChanges};
use domain::spec::InstanceSpec;
use domain::status::InstanceStatus;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::wait::PATIENCE;

use crate::browser::{Browser, location, text};
use crate::dtma::{FakeDtma, Up};
use crate::platform::{Answer, Life, Platform};
use crate::reconciler::wait_for;

const THING: &str = "/api/v1/instances/thing";

/// A platform whose host is played, with the instance `thing` of version 1.0.0.
struct Stage {
    platform: Platform,
    dtma: Arc<FakeDtma>,
    address: std::net::SocketAddr,
    _up: Up,
}

impl Stage {
    async fn start() -> Self {
        // Each caller brings a value, so that nobody asks the played host for tools.
        let body = json!({
            "server": "npm:thing", "name": "thing", "version": "1.0.0", "each_caller": ["MINE"],
            "settings": { "WORD": "old" }, "secrets": { "KEY": "hunter2" },
        });
        Self::of(body, |_| {}).await
    }

    /// With an instance `thing` that is deployed with this.
    async fn of(body: Value, change: impl FnOnce(&mut control::Config)) -> Self {
        let dtma = Arc::new(FakeDtma::default());
        let (address, up) = dtma.listen(None).await;
        let stage = Self { platform: Platform::start_with(address, change).await, dtma, address, _up: up };
        let made = stage.platform.post("/api/v1/instances", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        wait_for(|| stage.spec("thing").is_some()).await;
        stage.all_run().await;
        stage.platform.instance_until("thing", |it| it["status"] == "running").await;
        stage
    }

    fn spec(&self, name: &str) -> Option<InstanceSpec> {
        self.dtma.spec(name)
    }

    async fn all_run(&self) {
        self.dtma.report(&self.platform, |_| (InstanceStatus::Running, None)).await;
    }

    /// All run but one.
    async fn fails(&self, name: &'static str, status: InstanceStatus) {
        let said = |spec: &InstanceSpec| {
            if spec.name.as_str() == name {
                (status, Some("it has no heart"))
            } else {
                (InstanceStatus::Running, None)
            }
        };
        self.dtma.report(&self.platform, said).await;
    }

    async fn change(&self, body: Value) -> Answer {
        self.platform.post(&format!("{THING}/changes"), body).await
    }

    /// Begins a change, and waits until its candidate is on the host.
    async fn begun(&self, body: Value) -> Value {
        let begun = self.change(body).await;
        assert_eq!(begun.status, StatusCode::CREATED, "{begun:?}");
        let begun = begun.json();
        assert_eq!((&begun["state"], &begun["candidate"]), (&json!("trying"), &json!("thing-next")));
        wait_for(|| self.spec("thing-next").is_some()).await;
        begun
    }

    /// Until the newest change is in a state.
    async fn until(&self, state: &str) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let changes = self.platform.get(&format!("{THING}/changes")).await.json();
            if changes[0]["state"] == state {
                return changes;
            }
            assert!(std::time::Instant::now() < deadline, "waited in vain for `{state}`: {changes:#}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Until the candidate is gone from the host, and its name is free.
    async fn candidate_goes(&self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.platform.get("/api/v1/instances/thing-next").await.status != StatusCode::NOT_FOUND {
            assert!(std::time::Instant::now() < deadline, "waited in vain for the candidate to go");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(self.spec("thing-next").is_none());
    }

    /// The change that is tried works, and takes the instance's place, where it works too.
    async fn goes_well(&self, generation: u64) -> Value {
        self.all_run().await;
        wait_for(|| self.spec("thing").is_some_and(|spec| spec.generation == generation)).await;
        self.candidate_goes().await;
        self.all_run().await;
        self.until("current").await
    }
}

#[tokio::test]
async fn what_works_beside_it_takes_its_place() {
    let stage = Stage::start().await;
    let before = stage.platform.get(THING).await.json();
    let begun = stage
        .begun(json!({
            "version": "2.0.0", "settings": { "WORD": "new", "MORE": "1" }, "secrets": { "TOKEN": "hunter3" },
            "limits": { "memory_mib": 256 },
        }))
        .await;
    assert_eq!(begun["number"], 2);
    assert_eq!(
        begun["changed"],
        json!(["limits.memory_mib", "secrets.TOKEN", "settings.MORE", "settings.WORD", "version"])
    );
    let (tried, running) = (stage.spec("thing-next").unwrap(), stage.spec("thing").unwrap());
    assert_eq!(tried.package.to_string(), "npm:thing@2.0.0");
    assert_eq!((running.generation, running.package.to_string()), (1, "npm:thing@1.0.0".to_owned()));
    let candidate = stage.platform.get("/api/v1/instances/thing-next").await.json();
    assert_eq!(candidate["candidate_of"], "thing");

    let changes = stage.goes_well(2).await;
    let spec = stage.spec("thing").unwrap();
    assert_eq!(spec.package.to_string(), "npm:thing@2.0.0");
    assert_eq!((spec.env["WORD"].as_str(), spec.env["MORE"].as_str()), ("new", "1"));
    let secrets: Vec<(&str, &str)> =
        spec.secrets.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(secrets, [("KEY", "hunter2"), ("TOKEN", "hunter3")]);
    assert_eq!(spec.limits.memory_mib, Some(256));
    assert_eq!(spec.launch.each_caller.len(), 1, "what was not named stays");
    let states: Vec<&Value> = changes.as_array().unwrap().iter().map(|change| &change["state"]).collect();
    assert_eq!(states, ["current", "replaced"]);
    assert_eq!((&changes[0]["version"], &changes[1]["version"]), (&json!("2.0.0"), &json!("1.0.0")));
    let after = stage.platform.get(THING).await.json();
    for same in ["id", "url", "name", "environment", "created_at"] {
        assert_eq!(after[same], before[same], "{same}");
    }

    // The way back leads to the version that ran, with its settings and secrets.
    let back = stage.platform.post(&format!("{THING}/rollback"), json!({})).await;
    assert_eq!((back.status, &back.json()["back_to"]), (StatusCode::CREATED, &json!(1)), "{back:?}");
    wait_for(|| stage.spec("thing-next").is_some()).await;
    let changes = stage.goes_well(3).await;
    let spec = stage.spec("thing").unwrap();
    assert_eq!(spec.package.to_string(), "npm:thing@1.0.0");
    assert_eq!((spec.env.len(), spec.env["WORD"].as_str()), (1, "old"));
    assert_eq!(spec.secrets.keys().collect::<Vec<_>>(), ["KEY"]);
    assert_eq!(changes[0]["number"], 3);

    // And a change after that begins with what it is now.
    stage
        .begun(json!({ "unset": ["KEY"], "settings": { "WORD": "newer" }, "sleep_after_seconds": 600 }))
        .await;
    stage.goes_well(4).await;
    let spec = stage.spec("thing").unwrap();
    assert_eq!((spec.env["WORD"].as_str(), spec.secrets.len()), ("newer", 0));
    assert_eq!(spec.launch.sleep_after_seconds, Some(600));
    assert_eq!(spec.package.to_string(), "npm:thing@1.0.0", "nobody asked for another version");

    let events = stage.platform.get(&format!("{THING}/events")).await;
    let text = String::from_utf8(events.body.to_vec()).unwrap();
    assert!(text.contains("instance.change") && text.contains("instance.rollback"), "{text}");
}

#[tokio::test]
async fn what_does_not_work_beside_it_changes_nothing() {
    let stage = Stage::start().await;
    for status in [InstanceStatus::ErrorInstall, InstanceStatus::ErrorRuntime] {
        stage.begun(json!({ "version": "2.0.0" })).await;
        stage.fails("thing-next", status).await;
        let changes = stage.until("failed").await;
        assert_eq!(changes[0]["message"], "it has no heart");
        stage.candidate_goes().await;
        assert_eq!(stage.spec("thing").unwrap().generation, 1);
    }
    let instance = stage.platform.get(THING).await.json();
    assert_eq!((&instance["status"], &instance["version"]), (&json!("running"), &json!("1.0.0")));
}

#[tokio::test]
async fn what_does_not_work_in_its_place_is_taken_back() {
    let stage = Stage::start().await;
    stage.begun(json!({ "version": "2.0.0", "secrets": { "KEY": "hunter3" } })).await;
    stage.all_run().await;
    wait_for(|| stage.spec("thing").is_some_and(|spec| spec.generation == 2)).await;
    assert_eq!(stage.spec("thing").unwrap().secrets["KEY"].expose(), "hunter3");
    stage.fails("thing", InstanceStatus::ErrorRuntime).await;
    let changes = stage.until("rolled_back").await;
    assert_eq!(changes[0]["message"], "it has no heart; it is again what change 1 made it");
    wait_for(|| stage.spec("thing").is_some_and(|spec| spec.generation == 3)).await;
    let spec = stage.spec("thing").unwrap();
    assert_eq!(
        (spec.package.to_string().as_str(), spec.secrets["KEY"].expose()),
        ("npm:thing@1.0.0", "hunter2")
    );
    stage.all_run().await;
    stage.platform.instance_until("thing", |it| it["status"] == "running").await;
    assert_eq!(stage.until("rolled_back").await[1]["state"], "current");
}

#[tokio::test]
async fn one_that_is_reviewed_waits_for_a_word() {
    let stage = Stage::start().await;
    stage.begun(json!({ "version": "2.0.0", "review": true })).await;
    stage.all_run().await;
    stage.until("ready").await;
    assert_eq!(stage.spec("thing").unwrap().generation, 1, "it waits");
    assert!(stage.spec("thing-next").is_some(), "it can be tried meanwhile");
    let dropped = stage.platform.post(&format!("{THING}/changes/2/drop"), json!({})).await;
    assert_eq!(
        (dropped.status, &dropped.json()["state"]),
        (StatusCode::OK, &json!("dropped")),
        "{dropped:?}"
    );
    stage.candidate_goes().await;

    stage.begun(json!({ "version": "2.0.0", "review": true })).await;
    stage.all_run().await;
    stage.until("ready").await;
    let switched = stage.platform.post(&format!("{THING}/changes/3/switch"), json!({})).await;
    assert_eq!(
        (switched.status, &switched.json()["state"]),
        (StatusCode::OK, &json!("switching")),
        "{switched:?}"
    );
    let again = stage.platform.post(&format!("{THING}/changes/3/switch"), json!({})).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{again:?}");
    stage.goes_well(2).await;
}

#[tokio::test]
async fn a_control_plane_that_ends_goes_on_where_it_was() {
    let stage = Stage::start().await;
    stage.begun(json!({ "version": "2.0.0" })).await;
    let address = stage.address;
    let platform = stage
        .platform
        .again(|config| config.local.as_mut().expect("the host that is played").dtma = address)
        .await;
    let stage = Stage { platform, ..stage };
    stage.goes_well(2).await;
    assert_eq!(stage.spec("thing").unwrap().package.to_string(), "npm:thing@2.0.0");
}

#[tokio::test]
async fn what_is_removed_takes_its_candidate_along() {
    let stage = Stage::start().await;
    stage.begun(json!({ "version": "2.0.0" })).await;
    let removed = stage.platform.send(Some(&stage.platform.owner), Method::DELETE, THING, None).await;
    assert!(removed.status.is_success(), "{removed:?}");
    wait_for(|| stage.spec("thing").is_none() && stage.spec("thing-next").is_none()).await;

    // And one whose candidate is removed is over.
    let stage = Stage::start().await;
    stage.begun(json!({ "version": "2.0.0" })).await;
    let path = "/api/v1/instances/thing-next";
    stage.platform.send(Some(&stage.platform.owner), Method::DELETE, path, None).await;
    assert_eq!(stage.until("failed").await[0]["message"], "what it was tried as was removed");
}

#[tokio::test]
async fn what_publishes_a_port_is_changed_in_its_place() {
    let stage = Stage::start().await;
    let body = json!({
        "server": "oci:redis:7", "name": "cache",
        "container": { "ports": [{ "host": 6390, "container": 6379 }] },
    });
    let made = stage.platform.post("/api/v1/instances", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    wait_for(|| stage.spec("cache").is_some()).await;
    stage.all_run().await;
    let path = "/api/v1/instances/cache/changes";
    let reviewed = stage.platform.post(path, json!({ "settings": { "A": "1" }, "review": true })).await;
    assert_eq!(reviewed.status, StatusCode::UNPROCESSABLE_ENTITY, "{reviewed:?}");
    assert_eq!(reviewed.json()["error"]["field"], "review");
    let begun = stage.platform.post(path, json!({ "settings": { "A": "1" } })).await;
    assert_eq!((begun.status, begun.json()["candidate"].clone()), (StatusCode::CREATED, Value::Null));
    wait_for(|| stage.spec("cache").is_some_and(|spec| spec.generation == 2)).await;
    assert_eq!(stage.spec("cache").unwrap().env["A"], "1");
}

#[tokio::test]
async fn the_page_says_what_else_the_catalog_has() {
    let listed = async |body: Value| {
        let stage = Stage::of(body, |_| {}).await;
        let page = shown(&browser(&stage).await).await;
        let said = page.split_once("The catalog has <code>").map(|(_, rest)| rest.split('<').next().unwrap());
        said.map(str::to_owned)
    };
    let of = |server: &str, version: Option<&str>| json!({ "server": server, "version": version, "name": "thing", "each_caller": [] });
    assert_eq!(listed(of("redis", Some("7.2"))).await.as_deref(), Some("8"));
    assert_eq!(listed(of("redis", None)).await, None, "it is what the catalog has");
    assert_eq!(listed(of("oci:docker.io/library/redis:7", None)).await, None, "it is not of the catalog");
}

#[tokio::test]
async fn bad_changes_say_what_is_wrong() {
    let stage = Stage::start().await;
    let check = async |path: &str, body: Value, status: u16, field: Option<&str>, says: &str| {
        let answer = stage.platform.post(&format!("{THING}{path}"), body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {answer:?}");
        let error = answer.json()["error"].clone();
        assert_eq!(error["field"].as_str(), field, "{body}: {error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{body}: {error}");
    };
    let nothing = "that is what `thing` is already";
    check("/changes", json!({}), 409, None, nothing).await;
    check("/changes", json!({ "settings": { "WORD": "old" }, "version": "1.0.0" }), 409, None, nothing).await;
    check("/changes", json!({ "unset": ["WORT"] }), 422, Some("unset[0]"), "no setting `WORT`").await;
    check("/changes", json!({ "version": "latest" }), 422, Some("version"), "not an exact version").await;
    check("/changes", json!({ "settings": { "9": "x" } }), 422, Some("settings.9"), "not a name").await;
    check("/changes", json!({ "mode": "both" }), 422, Some("mode"), "no process mode").await;
    check(
        "/changes",
        json!({ "limits": { "memory_mib": 1 } }),
        422,
        Some("limits.memory_mib"),
        "at least 16",
    )
    .await;
    check("/changes", json!({ "secrets": { "X": { "secret": "none" } } }), 422, Some("secrets.X"), "none")
        .await;
    check("/changes", json!({ "color": "red" }), 422, Some("color"), "unknown field").await;
    check("/rollback", json!({}), 409, None, "never anything else").await;
    check("/rollback", json!({ "to": 9 }), 404, None, "9").await;
    check("/rollback", json!({ "to": 1 }), 409, Some("to"), "is what change 1 made it").await;

    stage.begun(json!({ "version": "2.0.0" })).await;
    check("/changes", json!({ "version": "3.0.0" }), 409, None, "change 2 of `thing` is under way").await;
    check("/rollback", json!({}), 409, None, "is under way").await;
    check("/changes/2/switch", json!({}), 409, None, "is `trying`").await;
    check("/changes/9/drop", json!({}), 404, None, "9").await;
    check("-next/changes", json!({ "version": "3.0.0" }), 409, None, "what `thing` may become").await;
    check("-next/move", json!({ "environment": "local" }), 409, None, "it is tried beside `thing`").await;
    let stranger = stage.platform.person("other", Role::Owner, Life::Good).await;
    for (method, path) in [
        (Method::GET, "changes"),
        (Method::POST, "changes"),
        (Method::POST, "rollback"),
        (Method::POST, "changes/2/switch"),
        (Method::POST, "changes/2/drop"),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        let answer = stage.platform.send(Some(&stranger), method, &format!("{THING}/{path}"), body).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {answer:?}");
    }
    stage.fails("thing-next", InstanceStatus::ErrorInstall).await;
    stage.until("failed").await;
    check("/rollback", json!({ "to": 2 }), 422, Some("to"), "never was what change 2").await;
    check("/changes/2/drop", json!({}), 409, None, "is `failed`").await;

    // Nothing of a secret is anywhere to be read.
    let told = stage.platform.get(&format!("{THING}/changes")).await;
    assert!(!String::from_utf8_lossy(&told.body).contains("hunter"), "{told:?}");
    for file in ["berth.db", "berth.db-wal"] {
        let bytes = std::fs::read(stage.platform.data().join(file)).unwrap_or_default();
        assert!(!bytes.windows(7).any(|part| part == b"hunter2"), "{file}");
    }
}

/// What is read as markup where somebody forgot that it is text.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

const PASSWORD: &str = "correct horse battery staple";
const PAGE: &str = "/a/default/instances/thing/changes";

/// The page, without anything that a hostile text would need.
async fn shown(browser: &Browser<'_>) -> String {
    let answer = browser.get(PAGE).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let page = text(&answer);
    assert!(!page.contains("hunter") && !page.contains("<script>") && !page.contains("<img"), "{page}");
    page
}

async fn browser(stage: &Stage) -> Browser<'_> {
    stage.platform.set_password(&stage.platform.owner, PASSWORD).await;
    let browser = Browser::new(&stage.platform);
    browser.sign_in("admin", PASSWORD).await;
    browser
}

#[tokio::test]
async fn the_page_does_it_all_without_a_script() {
    let stage = Stage::start().await;
    let browser = browser(&stage).await;
    let first = shown(&browser).await;
    assert!(
        first.contains("name=\"set.WORD\" value=\"old\"") && first.contains("name=\"secret.KEY\""),
        "{first}"
    );
    assert!(first.contains("as it was deployed"), "{first}");

    let fields = [
        ("do", "configure"),
        ("set.WORD", "new"),
        ("more", "MORE=1"),
        ("secret.KEY", "hunter3"),
        ("review", "1"),
    ];
    let begun = browser.submit(PAGE, PAGE, &fields).await;
    assert_eq!((begun.status, location(&begun)), (StatusCode::SEE_OTHER, PAGE), "{}", text(&begun));
    wait_for(|| stage.spec("thing-next").is_some()).await;
    let spec = stage.spec("thing-next").unwrap();
    assert_eq!((spec.env["WORD"].as_str(), spec.env["MORE"].as_str()), ("new", "1"));
    assert_eq!(spec.secrets["KEY"].expose(), "hunter3");
    let open = shown(&browser).await;
    assert!(open.contains("is tried beside it") && !open.contains("name=\"set.WORD\""), "{open}");
    let candidate = text(&browser.get("/a/default/instances/thing-next/changes").await);
    assert!(candidate.contains("may become"), "{candidate}");
    stage.all_run().await;
    stage.until("ready").await;

    // What strangers call their tools is text.
    let instance = stage.spec("thing").unwrap().id;
    let mut row = store::changes::list(&stage.platform.store, instance).await.unwrap().remove(0);
    let tool = ToolChange { name: HOSTILE.to_owned(), before: "1".to_owned(), after: HOSTILE.to_owned() };
    row.tools = Some(ToolChanges {
        added: vec![HOSTILE.to_owned()],
        removed: vec![HOSTILE.to_owned()],
        changed: vec![tool],
        same: 1,
    });
    let mut tx = stage.platform.store.begin().await.unwrap();
    assert!(store::changes::advance(&mut tx, ChangeState::Ready, &row).await.unwrap());
    tx.commit().await.unwrap();
    let ready = shown(&browser).await;
    assert!(ready.contains("waits for you") && ready.contains("1 added, 1 removed, 1 changed"), "{ready}");

    let one = format!("{PAGE}/2");
    let nonsense = browser.submit(PAGE, &one, &[("do", "dance")]).await;
    assert_eq!(nonsense.status, StatusCode::UNPROCESSABLE_ENTITY);
    let switched = browser.submit(PAGE, &one, &[("do", "switch")]).await;
    assert_eq!(switched.status, StatusCode::SEE_OTHER, "{}", text(&switched));
    wait_for(|| stage.spec("thing").is_some_and(|spec| spec.generation == 2)).await;
    stage.candidate_goes().await;
    stage.all_run().await;
    stage.until("current").await;
    assert!(shown(&browser).await.contains("Back to this"));

    // An empty field is none, and a secret can be taken away; then back to how it was deployed.
    let fields = [("do", "configure"), ("set.WORD", ""), ("forget", "KEY")];
    assert_eq!(browser.submit(PAGE, PAGE, &fields).await.status, StatusCode::SEE_OTHER);
    wait_for(|| stage.spec("thing-next").is_some()).await;
    assert_eq!(stage.spec("thing-next").unwrap().env.keys().collect::<Vec<_>>(), ["MORE"]);
    assert!(stage.spec("thing-next").unwrap().secrets.is_empty());
    let dropped = browser.submit(PAGE, &format!("{PAGE}/3"), &[("do", "drop")]).await;
    assert_eq!(dropped.status, StatusCode::SEE_OTHER);
    stage.candidate_goes().await;
    let back = browser.submit(PAGE, &format!("{PAGE}/1"), &[("do", "return")]).await;
    assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", text(&back));
    wait_for(|| stage.spec("thing-next").is_some_and(|spec| spec.env["WORD"] == "old")).await;
}

#[tokio::test]
async fn a_form_that_cannot_be_says_so_and_keeps_what_was_typed() {
    let stage = Stage::start().await;
    let browser = browser(&stage).await;
    for (fields, status, says) in [
        (
            vec![("do", "configure"), ("set.WORD", "old")],
            StatusCode::CONFLICT,
            "what <code>thing</code> is already",
        ),
        (
            vec![("do", "configure"), ("set.WORD", HOSTILE), ("memory_mib", "much")],
            StatusCode::UNPROCESSABLE_ENTITY,
            "whole number",
        ),
        (
            vec![("do", "configure"), ("more", "no setting")],
            StatusCode::UNPROCESSABLE_ENTITY,
            "is no setting",
        ),
        (
            vec![("do", "upgrade"), ("version", "^2")],
            StatusCode::UNPROCESSABLE_ENTITY,
            "not an exact version",
        ),
    ] {
        let answer = browser.submit(PAGE, PAGE, &fields).await;
        let again = text(&answer);
        assert_eq!(answer.status, status, "{fields:?}: {again}");
        assert!(again.contains(says), "{fields:?}: {again}");
        assert!(!again.contains("<script>") && !again.contains("<img"), "{fields:?}: {again}");
        for (_, typed) in fields.iter().filter(|(name, _)| ["more", "version"].contains(name)) {
            assert!(again.contains(typed), "{fields:?}: {again}");
        }
    }
}
