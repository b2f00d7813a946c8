//! Clearing a host with a real store and a real Docker engine: what nobody needs goes, what is somebody else's stays,
//! whatever its labels say.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};
use testkit::docker::{Docker, engine};
use testkit::platform::Platform;
use testkit::registry::Registry;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;

#[track_caller]
fn remove(platform: &Platform, name: &str) {
    platform.ok(&["remove", name, "--yes"]);
    wait::until("its end", || platform.instance(name).is_none().then_some(()));
}

/// Kind and name of all that would go.
fn planned(platform: &Platform) -> Vec<(String, String)> {
    let report = platform.json(&["env", "cleanup", "local", "--dry-run"]);
    assert_eq!((&report["dry_run"], &report["troubles"]), (&json!(true), &json!([])), "{report}");
    let things = report["things"].as_array().expect("a list").clone();
    let text = |thing: &Value, field: &str| thing[field].as_str().expect("a text").to_owned();
    things.iter().map(|thing| (text(thing, "kind"), text(thing, "name"))).collect()
}

#[test]
fn packages_go_after_a_yes() {
    let platform = Platform::start_with(BERTH, &["--runtime", "process"]);
    let server = format!("file:{}", fixture().display());
    platform.ok(&["deploy", &server, "--name", "one", "--wait"]);
    assert_eq!(planned(&platform), []);
    let packages = platform.data().join("dtma/packages");
    let count = || {
        let entries =
            fs::read_dir(&packages).expect("the store").map(|entry| entry.expect("an entry").file_name());
        entries.filter(|name| name.to_string_lossy().starts_with("sha256-")).count()
    };
    remove(&platform, "one");
    let found = planned(&platform);
    assert_eq!((found.len(), &*found[0].0, count()), (1, "package", 1));

    let Output { status, stderr, .. } = platform.run(&["env", "cleanup", "local"]);
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!((status.code(), count()), (Some(2), 1), "{said}");
    assert!(said.contains("--dry-run") && said.contains("--yes"), "{said}");

    let shown = platform.ok(&["env", "cleanup", "local", "--yes"]);
    assert!(shown.contains(&found[0].1) && shown.contains("MiB"), "{shown}");
    assert_eq!(count(), 0);
    assert_eq!(planned(&platform), []);
    // What was removed is installed again when it is wanted again.
    platform.ok(&["deploy", &server, "--name", "two", "--wait"]);
    assert_eq!((planned(&platform), count()), (vec![], 1));
}

#[test]
fn an_engine_is_cleared_of_what_is_ours_alone() {
    let docker = engine();
    let files = fixture();
    let image = |name: &str| docker.image(name, &[("/fixture", &files)], &[r#"ENTRYPOINT ["/fixture"]"#]);
    let registry = Registry::start(docker, 5009, false);
    image("mine:1");
    let pulled = registry.take(docker, "mine:1");
    docker.delete("/images/mine:1?force=1");
    // Not pulled by Berth, whatever runs of it.
    image("loaded:1");
    let mut platform =
        Platform::start_in(BERTH, &["--runtime", "docker"], &[("DOCKER_HOST", &docker.host())]);
    platform.ok(&["deploy", &format!("oci:{pulled}"), "--name", "pulled", "--wait"]);
    platform.ok(&["deploy", "oci:loaded:1", "--name", "loaded", "--wait"]);
    assert_eq!(planned(&platform), []);
    let forged = forge(docker, &platform);

    // A copy of the binary that nothing runs, as an upgrade leaves it.
    let old = platform.data().join("dtma/bin").join(format!("sha256-{}", "0".repeat(64)));
    fs::create_dir(&old).expect("a directory");
    fs::write(old.join("berth"), "old").expect("a file");
    remove(&platform, "pulled");
    remove(&platform, "loaded");
    let found = planned(&platform);
    let kinds: Vec<&str> = found.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["image", "binary"], "{found:?}");
    assert_eq!(found[0].1, pulled);

    let report = platform.json(&["env", "cleanup", "local", "--yes"]);
    assert_eq!((report["things"].as_array().map(Vec::len), &report["troubles"]), (Some(2), &json!([])));
    assert!(docker.get(&format!("/images/{pulled}/json")).is_none(), "what was pulled is gone");
    assert!(docker.get("/images/loaded:1/json").is_some(), "what was loaded is not");
    assert!(!old.exists());
    for path in &forged {
        assert!(docker.get(path).is_some(), "{path} is somebody else's");
    }
    assert_eq!(planned(&platform), []);

    // It is pulled again when it is wanted again, and is not ours once its name means another image.
    platform.ok(&["deploy", &format!("oci:{pulled}"), "--name", "again", "--wait"]);
    remove(&platform, "again");
    assert_eq!(planned(&platform), [("image".to_owned(), pulled.clone())]);
    let (repo, tag) = pulled.rsplit_once(':').expect("a tag");
    docker.image("other:1", &[("/other", &files)], &[r#"ENTRYPOINT ["/other"]"#]);
    docker.post(&format!("/images/other:1/tag?repo={repo}&tag={tag}"), &Value::Null);
    assert_eq!(planned(&platform), []);
    assert!(docker.get(&format!("/images/{pulled}/json")).is_some());

    // The network goes with the last instance that may reach others, and comes with the next one.
    let networks = || -> Vec<String> {
        let list = docker.get("/networks").expect("a list");
        let names = list.as_array().expect("an array").iter().filter_map(|network| network["Name"].as_str());
        names.filter(|name| name.starts_with("berth-")).map(str::to_owned).collect()
    };
    let before = networks();
    assert_eq!(before.len(), 1, "{before:?}");
    remove(&platform, "welcome");
    wait::until("the end of the network", || networks().is_empty().then_some(()));
    assert_eq!(planned(&platform), []);
    platform.ok(&["deploy", "oci:loaded:1", "--name", "again", "--wait"]);
    assert_eq!(networks(), before);
    // Who ends all leaves nothing.
    platform.end();
    assert_eq!(networks(), Vec::<String>::new());
    assert!(docker.get("/networks/forged").is_some());
}

/// Makes by hand what looks like ours: an ended container, a volume and a network with the labels of this very DTMA. The
/// paths of all.
fn forge(docker: &Docker, platform: &Platform) -> Vec<String> {
    let id = platform.instance("loaded").expect("it is there")["id"].as_str().expect("an id").to_owned();
    let real = docker.get(&format!("/containers/berth-{id}/json")).expect("its container");
    let labels = &real["Config"]["Labels"];
    let container =
        json!({"Image": "loaded:1", "Cmd": ["--version"], "Labels": labels, "NetworkDisabled": true});
    docker.post("/containers/create?name=forged", &container);
    docker.post("/containers/forged/start", &Value::Null);
    // With the name of an instance that this host never had.
    let stranger = "berth-01890000-0000-7000-8000-00000000dead";
    docker.post(&format!("/containers/create?name={stranger}"), &container);
    docker.post(&format!("/containers/{stranger}/start"), &Value::Null);
    let paths = ["forged", stranger].map(|name| format!("/containers/{name}/json"));
    for path in &paths {
        wait::until("its end", || (docker.get(path)?["State"]["Status"] == "exited").then_some(()));
    }
    docker.post("/volumes/create", &json!({"Name": "forged", "Labels": labels}));
    docker.post("/networks/create", &json!({"Name": "forged", "Labels": labels}));
    let mut paths = Vec::from(paths);
    paths.extend(["/volumes/forged", "/networks/forged"].map(str::to_owned));
    paths
}
