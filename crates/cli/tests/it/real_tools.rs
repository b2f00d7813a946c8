//! nginx, PostgreSQL and Redis of the catalog, real ones, on a real Docker engine: deployed by their names, reached on their
//! ports by real clients, stopped as their images want it.

use std::process::Command;

use serde_json::{Value, json};
use testkit::docker::{Docker, engine};
use testkit::platform::Platform;
use testkit::{tools, wait};

use crate::BERTH;

const PASSWORD: &str = "hush-hush-of-the-database";

/// One tool that was deployed.
struct Deployed<'a> {
    docker: &'a Docker,
    platform: &'a Platform,
    name: &'static str,
}

impl Deployed<'_> {
    fn object(&self) -> String {
        let instance = self.platform.instance(self.name).expect("the instance");
        format!("berth-{}", instance["id"].as_str().expect("an id"))
    }

    fn container(&self) -> Option<Value> {
        self.docker.get(&format!("/containers/{}/json", self.object()))
    }

    /// The users of its processes, by a word of their command lines.
    fn users(&self, word: &str) -> Vec<u32> {
        let top = self.docker.get(&format!("/containers/{}/top", self.object())).expect("its processes");
        let rows = top["Processes"].as_array().expect("rows").iter();
        let pids = rows.filter(|row| row.to_string().contains(word)).filter_map(|row| row[1].as_str());
        let user = |pid: &str| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.to_owned();
            line.split_whitespace().next()?.parse().ok()
        };
        pids.filter_map(user).collect()
    }

    /// Another container, after `act`, that runs.
    fn anew(&self, act: &str) -> Value {
        let before = self.container().expect("its container")["Id"].clone();
        self.platform.ok(&[act, self.name]);
        let after =
            wait::until("another container", || self.container().filter(|after| after["Id"] != before));
        self.platform.wait_for(self.name, "running");
        after
    }

    /// Stops it; its last words have `words` among them, so that the signal was its image's.
    fn stops_with(&self, words: &str) {
        self.platform.ok(&["stop", self.name]);
        self.platform.wait_for(self.name, "stopped");
        let log = self.platform.ok(&["logs", self.name, "-n", "1000"]);
        assert!(log.contains(words), "{}: no `{words}` in {log}", self.name);
        assert!(!log.contains("is killed"), "{}: it was given its time: {log}", self.name);
        assert_eq!(self.container(), None, "{}", self.name);
    }

    /// Nothing is left of it.
    fn remove(&self, volume: Option<&str>) {
        let object = self.object();
        let volume = volume.map(|volume| format!("/volumes/{object}-{volume}"));
        if let Some(volume) = &volume {
            assert!(self.docker.get(volume).is_some(), "{}: it is kept until then", self.name);
        }
        self.platform.ok(&["remove", self.name, "--yes"]);
        wait::until("its end", || self.platform.instance(self.name).is_none().then_some(()));
        assert_eq!(self.docker.get(&format!("/containers/{object}/json")), None, "{}", self.name);
        assert_eq!(volume.and_then(|volume| self.docker.get(&volume)), None, "{}", self.name);
    }
}

/// What PostgreSQL's own client prints.
fn psql(docker: &Docker, password: &str, statement: &str) -> Result<String, String> {
    let output = Command::new("nsenter")
        .arg(format!("--net=/proc/{}/ns/net", docker.pid()))
        .args(["psql", "-h", "127.0.0.1", "-p", "7290", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-tAqc"])
        .arg(statement)
        .env("PGPASSWORD", password)
        .env("PGCONNECT_TIMEOUT", "10")
        .output()
        .expect("`nsenter` starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn the_real_tools_of_the_catalog_run_keep_their_data_and_stop_as_they_want() {
    let docker = engine();
    tools::images(docker);
    let platform = Platform::start_in(BERTH, &[], &[("DOCKER_HOST", &docker.host())]);
    let tool = |name| Deployed { docker, platform: &platform, name };

    // The catalog says what they are.
    let shown = platform.json(&["catalog", "show", "postgres"]);
    assert_eq!((&shown["kind"], &shown["launch"]["profile"]), (&json!("tool"), &json!("standard")));
    assert_eq!(platform.json(&["catalog", "show", "postgres-mcp"])["kind"], "mcp");
    let shown = platform.ok(&["catalog", "show", "redis"]);
    assert!(shown.contains("127.0.0.1:6379:6379") && shown.contains("data:/data"), "{shown}");
    let listed = platform.ok(&["catalog", "search", "web", "server"]);
    assert!(listed.contains("nginx") && listed.contains("tool"), "{listed}");

    postgres(&tool("postgres"));
    nginx(&tool("nginx"));
    redis(&tool("redis"));
    assert_eq!(platform.files_with(PASSWORD), Vec::<std::path::PathBuf>::new(), "it lies in clear");
}

fn postgres(tool: &Deployed<'_>) {
    let Deployed { docker, platform, .. } = *tool;
    // Without its password it is not deployed, and the words say how.
    let refused = platform.run(&["deploy", "postgres", "--wait"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("--secret POSTGRES_PASSWORD="), "{words}");

    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let secret = format!("POSTGRES_PASSWORD=@{}", file.display());
    platform.ok(&["deploy", "postgres", "--publish", "7290:5432", "--secret", &secret, "--wait"]);
    let container = tool.container().expect("its container");
    assert!(!container.to_string().contains(PASSWORD), "a secret is shown: {container}");
    assert_eq!(container["HostConfig"]["CapDrop"], Value::Null, "the engine's own capabilities");
    assert_eq!(tool.users("postgres: checkpointer"), [999], "it is root only to begin with");
    let status = platform.ok(&["status", "postgres"]);
    for word in ["container tool", "127.0.0.1:7290:5432", "data:/var/lib/postgresql/data", "standard"] {
        assert!(status.contains(word), "no `{word}` in {status}");
    }

    let refused = psql(docker, "wrong", "SELECT 1");
    assert!(refused.as_ref().is_err_and(|words| words.contains("password")), "{refused:?}");
    let ask = |statement: &str| psql(docker, PASSWORD, statement).unwrap_or_else(|words| panic!("{words}"));
    ask("CREATE TABLE kept AS SELECT 6 * 7 AS answer");
    tool.anew("restart");
    assert_eq!(ask("SELECT answer FROM kept"), "42");

    // A newer image under the same tag is what the next start takes.
    docker.build("postgres:17", "FROM postgres:17\nENV NEWER yes\n", &[]);
    let newer = docker.get("/images/postgres:17/json").expect("the image")["Id"].clone();
    assert_eq!(tool.anew("restart")["Image"], newer);
    assert_eq!(ask("SELECT answer FROM kept"), "42");

    // SIGTERM would wait for its clients: one is connected.
    let mut client = Command::new("nsenter")
        .arg(format!("--net=/proc/{}/ns/net", docker.pid()))
        .args(["psql", "-h", "127.0.0.1", "-p", "7290", "-U", "postgres", "-c", "SELECT pg_sleep(600)"])
        .env("PGPASSWORD", PASSWORD)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("`nsenter` starts");
    let active =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND pid <> pg_backend_pid()";
    wait::until("the client", || (ask(active) == "1").then_some(()));
    tool.stops_with("received fast shutdown request");
    assert!(!client.wait().expect("it ends").success(), "it was sent away");
    platform.ok(&["start", "postgres"]);
    platform.wait_for("postgres", "running");
    assert_eq!(ask("SELECT answer FROM kept"), "42");
    tool.remove(Some("data"));
}

fn nginx(tool: &Deployed<'_>) {
    let Deployed { docker, platform, .. } = *tool;
    platform.ok(&["deploy", "nginx", "--publish", "7291:80", "--wait"]);
    let page = docker.talk(7291, b"GET / HTTP/1.0\r\nUser-Agent: the-test\r\n\r\n").expect("it answers");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("Welcome to nginx"), "{page}");
    assert_eq!(tool.users("nginx: master"), [0]);
    let workers = tool.users("nginx: worker");
    assert!(!workers.is_empty() && workers.iter().all(|user| *user == 33), "{workers:?}");
    wait::until("its line of the access log", || {
        platform.ok(&["logs", "nginx", "-n", "1000"]).contains("the-test").then_some(())
    });
    tool.anew("restart");
    assert!(docker.talk(7291, b"GET / HTTP/1.0\r\n\r\n").is_some());
    tool.stops_with("(SIGQUIT) received");
    tool.remove(None);
}

fn redis(tool: &Deployed<'_>) {
    let Deployed { docker, platform, .. } = *tool;
    platform.ok(&["deploy", "redis", "--publish", "7292:6379", "--wait"]);
    assert_eq!(tool.users("redis-server"), [998], "it is root only to begin with");
    let kept = docker.talk(7292, b"SET answer 42\r\nQUIT\r\n").expect("it answers");
    assert_eq!(kept, "+OK\r\n+OK\r\n");
    tool.anew("restart");
    let found = docker.talk(7292, b"GET answer\r\nQUIT\r\n").expect("it answers");
    assert_eq!(found, "$2\r\n42\r\n+OK\r\n");
    tool.stops_with("Received SIGTERM");
    tool.remove(Some("data"));
}
