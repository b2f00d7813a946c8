use std::collections::BTreeMap;

use api::catalog::{Input, InputFormat, InputTarget, Listing, Transport};
use domain::secret::Secret;
use proptest::prelude::*;

use super::*;

fn request(server: &str) -> DeployRequest {
    serde_json::from_value(serde_json::json!({ "server": server })).expect("a request")
}

/// An entry with one input of each kind.
fn entry() -> CatalogEntry {
    let input = |name: &str, target, required, secret| Input {
        name: name.to_owned(),
        description: String::new(),
        target,
        format: InputFormat::String,
        required,
        secret,
        default: None,
        placeholder: None,
        choices: vec![],
    };
    let env = |variable: &str| InputTarget::Env { variable: variable.to_owned() };
    CatalogEntry {
        id: CatalogEntryId::generate(),
        name: "issues".to_owned(),
        title: String::new(),
        description: String::new(),
        category: String::new(),
        transport: Transport::Stdio,
        package: Some("npm:issues@1.0.0".parse().expect("a package")),
        launch: Launch { args: vec!["stdio".to_owned()], ..Launch::default() },
        inputs: vec![
            input("key", env("ISSUES_KEY"), true, true),
            input("site", env("ISSUES_SITE"), true, false),
            input("project", InputTarget::Argument { flag: Some("--project".to_owned()) }, false, false),
        ],
        templates: vec![],
        documentation_url: None,
        listing: Listing::default(),
    }
}

#[track_caller]
fn refused(request: &DeployRequest, field: &str, words: &str) {
    let Err(Problem::Refused(detail)) = plan(request, &[entry()]) else { panic!("it is not refused") };
    assert_eq!(detail.field.as_deref(), Some(field));
    let said = format!("{} {}", detail.message, detail.hint.unwrap_or_default());
    assert!(said.contains(words), "{said}");
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let mut request = request("issues");
    refused(&request, "secrets.key", "`key` (a secret), `site`");
    refused(&request, "secrets.key", "give --secret key=… --set site=…");
    request.settings.insert("key".to_owned(), "hunter2".to_owned());
    refused(&request, "settings.key", "--secret key=…");
    request.settings = BTreeMap::from([("sit".to_owned(), "x".to_owned())]);
    refused(&request, "settings.sit", "did you mean `site`?");
    request.settings = BTreeMap::from([("site".to_owned(), "x".to_owned())]);
    request.secrets.values.insert("key".to_owned(), Secret::new("hunter2"));
    request.secrets.values.insert("project".to_owned(), Secret::new("hunter2"));
    refused(&request, "secrets.project", "--set project=…");
}

#[test]
fn values_go_where_the_entry_says() {
    let mut request = request("issues");
    request.secrets.values.insert("key".to_owned(), Secret::new("hunter2"));
    request.settings =
        BTreeMap::from([("site".to_owned(), "acme".to_owned()), ("project".to_owned(), "P".to_owned())]);
    request.args = vec!["-v".to_owned()];
    request.version = Some("1.1.0".to_owned());
    let plan = plan(&request, &[entry()]).expect("a deployment");
    assert_eq!(plan.package.to_string(), "npm:issues@1.1.0");
    assert_eq!(plan.launch.args, ["stdio", "--project", "P", "-v"]);
    assert_eq!(plan.env, BTreeMap::from([("ISSUES_SITE".to_owned(), "acme".to_owned())]));
    assert_eq!(plan.secrets["ISSUES_KEY"].expose(), "hunter2");
    assert_eq!(plan.secret_names, ["key"]);
    assert_eq!(plan.name_base.as_str(), "issues");
}

/// A request with one field set, as JSON.
fn with(server: &str, field: &str, value: &serde_json::Value) -> DeployRequest {
    serde_json::from_value(serde_json::json!({ "server": server, field: value })).expect("a request")
}

#[test]
fn how_a_server_is_reached_and_shared_is_checked() {
    let remote = "https://mcp.example.com/mcp";
    for (server, field, value, wrong, words) in [
        ("npm:x", "mode", "everybody".into(), "mode", "`per-principal`"),
        ("npm:x", "path", "/mcp".into(), "path", "give `transport` too"),
        (remote, "path", "/mcp".into(), "path", "into the address"),
        ("npm:x", "port", 8000.into(), "port", "leave `port` out"),
        ("oci:x", "port", 8000.into(), "port", "give `transport` too"),
        (remote, "transport", "stdio".into(), "transport", "use `http`"),
        (remote, "args", serde_json::json!(["-v"]), "args", "leave them out"),
        (remote, "version", "1".into(), "version", "leave `version` out"),
        (remote, "settings", serde_json::json!({"a b": "c"}), "settings.a b", "`Authorization`"),
        (
            remote,
            "settings",
            serde_json::json!({"Mcp-Session-Id": "c"}),
            "settings.Mcp-Session-Id",
            "set by Berth",
        ),
        (remote, "secrets", serde_json::json!({"Host": "c"}), "secrets.Host", "set by Berth"),
        (remote, "secrets", serde_json::json!({"X": "a\r\nb"}), "secrets.X", "one line"),
        ("npm:x", "sleep_after_seconds", 9.into(), "sleep_after_seconds", "never sleeps"),
        ("npm:x", "sleep_after_seconds", 604_801.into(), "sleep_after_seconds", "from 10 seconds"),
        (remote, "sleep_after_seconds", 60.into(), "sleep_after_seconds", "no process here"),
        ("https://a:b@x/", "args", serde_json::json!([]), "server", "without user"),
    ] {
        refused(&with(server, field, &value), wrong, words);
    }
    let http = |path: &str| {
        let request = serde_json::json!({"server": "npm:x", "transport": "http", "path": path});
        plan(&serde_json::from_value(request).expect("a request"), &[])
    };
    assert_eq!(http("/v1/mcp").expect("a deployment").launch.path.as_deref(), Some("/v1/mcp"));
    assert!(http("mcp").is_err() && http("/m cp").is_err());
    let port = |port: u16| {
        let request = serde_json::json!({"server": "oci:x", "transport": "http", "port": port});
        plan(&serde_json::from_value(request).expect("a request"), &[])
    };
    assert_eq!(port(8000).expect("a deployment").launch.port, Some(8000));
    assert!(port(0).is_err());
    for seconds in [10, 604_800] {
        let sleepy = plan(&with("npm:x", "sleep_after_seconds", &seconds.into()), &[]).expect("a deployment");
        assert_eq!(sleepy.launch.sleep_after_seconds, Some(seconds));
    }
    let mut sleeper = CatalogEntry { name: "sleeper".to_owned(), inputs: vec![], ..entry() };
    sleeper.launch.sleep_after_seconds = Some(60);
    let sleeps = |request: &DeployRequest| {
        plan(request, std::slice::from_ref(&sleeper)).expect("a deployment").launch.sleep_after_seconds
    };
    assert_eq!(sleeps(&request("sleeper")), Some(60));
    assert_eq!(sleeps(&with("sleeper", "sleep_after_seconds", &0.into())), None);
    let pooled = plan(&with("npm:x", "mode", &"pool(3)".into()), &[]).expect("a deployment");
    assert_eq!(pooled.launch.mode, Some(Mode::Pool(3)));
    let headers = with(remote, "secrets", &serde_json::json!({"Authorization": "Bearer x"}));
    let plan = plan(&headers, &[]).expect("a deployment");
    assert_eq!(
        (plan.launch.transport, plan.secret_names),
        (Transport::Http, vec!["Authorization".to_owned()])
    );
}

#[test]
fn what_a_container_tool_is_told_is_checked() {
    let tool = |container: serde_json::Value| serde_json::json!({"server": "oci:x", "container": container});
    let port = |host: u16, container: u16| serde_json::json!({"host": host, "container": container});
    let on = |host: u16, address: &str| serde_json::json!({"host": host, "container": 1, "address": address});
    let ports = |ports: serde_json::Value| tool(serde_json::json!({ "ports": ports }));
    let volumes = |volumes: &[(&str, &str)]| {
        let volumes: Vec<_> =
            volumes.iter().map(|(name, path)| serde_json::json!({"name": name, "path": path})).collect();
        tool(serde_json::json!({ "volumes": volumes }))
    };
    let health = |health: serde_json::Value| tool(serde_json::json!({ "health": health }));
    let with = |mut body: serde_json::Value, key: &str, value: serde_json::Value| {
        body[key] = value;
        body
    };
    let many: Vec<_> = (1..=33).map(|number| port(number, 1)).collect();
    let longest = "v".repeat(33);
    let (first, second) = ("container.ports[0]", "container.ports[1]");
    let (name, path) = ("container.volumes[0].name", "container.volumes[0].path");
    for (body, field, words) in [
        (serde_json::json!({"server": "npm:x", "container": {}}), "container", "only an image"),
        (with(tool(serde_json::json!({})), "transport", "http".into()), "transport", "speaks no MCP"),
        (with(tool(serde_json::json!({})), "path", "/mcp".into()), "path", "give `transport` too"),
        (with(tool(serde_json::json!({})), "mode", "shared".into()), "mode", "leave `mode` out"),
        (
            with(tool(serde_json::json!({})), "strict_sessions", true.into()),
            "strict_sessions",
            "speaks no MCP",
        ),
        (
            with(tool(serde_json::json!({})), "sleep_after_seconds", 60.into()),
            "sleep_after_seconds",
            "no call could wake it",
        ),
        (ports(many.into()), "container", "at most 32"),
        (ports(serde_json::json!([port(0, 80)])), first, "from 1 to 65535"),
        (ports(serde_json::json!([port(80, 0)])), first, "from 1 to 65535"),
        (ports(serde_json::json!([port(30000, 80)])), first, "the DTMA's own"),
        (ports(serde_json::json!([port(1, 80), port(1, 81)])), second, "given twice"),
        (ports(serde_json::json!([on(1, "0.0.0.0"), port(1, 81)])), second, "given twice"),
        (ports(serde_json::json!([on(1, "::1"), on(1, "::1")])), second, "given twice"),
        (volumes(&[("", "/a")]), name, "is no name"),
        (volumes(&[("a b", "/a")]), name, "small letters"),
        (volumes(&[("-a", "/a")]), name, "is no name"),
        (volumes(&[("A", "/a")]), name, "is no name"),
        (volumes(&[(&longest, "/a")]), name, "at most 32"),
        (volumes(&[("a", "a")]), path, "no absolute path"),
        (volumes(&[("a", "/")]), path, "no absolute path"),
        (volumes(&[("a", "/a/../b")]), path, "no absolute path"),
        (volumes(&[("a", "/a//b")]), path, "no absolute path"),
        (volumes(&[("a", "/a\n")]), path, "no absolute path"),
        (volumes(&[("a", "/berth/x")]), path, "belongs to Berth"),
        (volumes(&[("a", "/proc")]), path, "belongs to Berth"),
        (volumes(&[("a", "/a"), ("a", "/b")]), "container.volumes[1]", "given twice"),
        (volumes(&[("a", "/a"), ("b", "/a")]), "container.volumes[1]", "given twice"),
        (health(serde_json::json!({"check": "tcp", "port": 0})), "container.health.port", "from 1 to 65535"),
        (
            health(serde_json::json!({"check": "http", "port": 1, "path": "x"})),
            "container.health.path",
            "`/healthz`",
        ),
        (
            health(serde_json::json!({"check": "http", "port": 1, "path": "/a b"})),
            "container.health.path",
            "is no path",
        ),
    ] {
        refused(&serde_json::from_value(body).expect("a request"), field, words);
    }
    for body in [
        ports(serde_json::json!([on(1, "127.0.0.1"), on(1, "127.0.0.2"), on(1, "::1")])),
        ports(serde_json::json!([port(1, 80), {"host": 1, "container": 80, "protocol": "udp"}])),
        volumes(&[("a", "/berthed"), ("0-b", "/var/lib/data")]),
        health(serde_json::json!({"check": "http", "port": 1, "path": "/a?b=c"})),
    ] {
        let request = serde_json::from_value(body.clone()).expect("a request");
        assert!(plan(&request, &[]).is_ok(), "{body}");
    }
}

#[test]
fn what_is_asked_for_takes_the_place_of_what_a_tool_of_the_catalog_has() {
    let catalog = crate::catalog::builtin().expect("the data file is readable");
    let planned = |further: serde_json::Value| {
        let mut body = serde_json::json!({"server": "postgres", "secrets": {"POSTGRES_PASSWORD": "x"}});
        body.as_object_mut().expect("an object").extend(further.as_object().cloned().unwrap_or_default());
        plan(&serde_json::from_value(body).expect("a request"), &catalog).expect("a deployment").launch
    };
    let shown = |launch: &Launch| {
        let container = launch.container.as_ref().expect("a tool");
        let words = |all: Vec<String>| all.join(" ");
        let ports = words(container.ports.iter().map(ToString::to_string).collect());
        let volumes = words(container.volumes.iter().map(ToString::to_string).collect());
        let health = container.health.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{ports} {volumes} {health} {}", launch.profile.expect("a profile"))
    };
    let volume = "data:/var/lib/postgresql/data";
    for (further, expected) in [
        (serde_json::json!({}), format!("127.0.0.1:5432:5432 {volume} tcp:5432 standard")),
        (
            serde_json::json!({"container": {"ports": [{"container": 5432, "host": 6000}]}}),
            format!("127.0.0.1:6000:5432 {volume} tcp:5432 standard"),
        ),
        (
            serde_json::json!({"container": {"volumes": [{"name": "d", "path": "/d"}]}, "profile": "strict"}),
            "127.0.0.1:5432:5432 d:/d tcp:5432 strict".to_owned(),
        ),
    ] {
        assert_eq!(shown(&planned(further)), expected);
    }
}

proptest! {
    /// Whatever comes in, what comes out can be started: or it is refused with the field that is wrong.
    #[test]
    fn a_deployment_is_sound_or_refused_with_its_field(
        server in prop_oneof!["issues", "(npm|pypi|oci|gem):[@a-zA-Z/._-]{0,12}(@[0-9x^.]{0,4})?", ".{0,12}"],
        name in proptest::option::of(".{0,45}"),
        version in proptest::option::of("[0-9.x^a ]{0,6}"),
        keys in proptest::collection::vec(("[A-Za-z0-9_ =]{0,12}", ".{0,8}", any::<bool>()), 0..4),
        args in proptest::collection::vec(".{0,8}", 0..3),
    ) {
        let mut request = request(&server);
        request.name = name;
        request.version = version;
        request.args = args;
        for (key, value, secret) in keys {
            if secret {
                request.secrets.values.insert(key, Secret::new(value));
            } else {
                request.settings.insert(key, value);
            }
        }
        match plan(&request, &[entry()]) {
            Ok(plan) => {
                let all = plan.env.keys().chain(plan.secrets.keys());
                for variable in all {
                    prop_assert!(!variable.is_empty() && !variable.contains(['=', '\0', ' ']));
                    prop_assert!(!variable.starts_with("LD_") && !variable.starts_with("BERTH_"));
                    prop_assert_ne!(variable.as_str(), "PATH");
                }
                prop_assert!(plan.launch.args.iter().all(|arg| !arg.contains('\0')));
                prop_assert!(plan.env.values().all(|value| !value.contains('\0')));
            }
            Err(Problem::Refused(detail)) => prop_assert!(detail.field.is_some(), "{}", detail.message),
            Err(problem) => prop_assert!(false, "{problem}"),
        }
    }
}

/// An entry as a registry publishes it: with templates, and elsewhere.
fn published(server: serde_json::Value) -> CatalogEntry {
    let mut server = server;
    server["name"] = "io.github.acme/mcp".into();
    let document = domain::server_json::Document::read(server).expect("a document");
    document.entry(CatalogEntryId::generate(), "official", true)
}

#[test]
fn values_are_put_into_templates() {
    let elsewhere = published(serde_json::json!({ "remotes": [{
        "type": "streamable-http", "url": "https://{tenant}.example.com/mcp", "variables": { "tenant": {} },
        "headers": [{ "name": "Authorization", "value": "Bearer {key}", "variables": { "key": { "isSecret": true } } },
            { "name": "X-Client", "value": "berth" }, { "name": "X-Region", "choices": ["eu", "us"] }],
    }]}));
    let known = [elsewhere];
    let request = |settings: serde_json::Value, secrets: serde_json::Value| -> DeployRequest {
        let request =
            serde_json::json!({ "server": "io.github.acme/mcp", "settings": settings, "secrets": secrets });
        serde_json::from_value(request).expect("a request")
    };
    let made =
        plan(&request(serde_json::json!({ "tenant": "a" }), serde_json::json!({ "key": "hunter2" })), &known);
    let made = made.expect("a deployment");
    assert_eq!(made.package.to_string(), "https://a.example.com/mcp");
    assert_eq!(made.secrets["Authorization"].expose(), "Bearer hunter2");
    assert_eq!(made.env, BTreeMap::from([("X-Client".to_owned(), "berth".to_owned())]));
    assert_eq!((made.launch.transport, made.name_base.as_str()), (Transport::Http, "acme"));
    assert!(!format!("{made:?}").contains("hunter2"));
    // Without the secret the header is left out as a whole.
    let made = plan(&request(serde_json::json!({ "tenant": "a" }), serde_json::json!({})), &known);
    assert!(made.expect("a deployment").secrets.is_empty());
    for (settings, secrets, field, words) in [
        (serde_json::json!({}), serde_json::json!({}), "settings.tenant", "needs `tenant`"),
        (serde_json::json!({ "tenant": "a b" }), serde_json::json!({}), "settings.tenant", "no address"),
        (serde_json::json!({}), serde_json::json!({ "tenant": "a" }), "secrets.tenant", "cannot be a secret"),
        (
            serde_json::json!({ "tenant": "a", "X-Region": "x" }),
            serde_json::json!({}),
            "settings.X-Region",
            "one of `eu`, `us`",
        ),
        (
            serde_json::json!({ "tenant": "a", "X-Region": "eu" }),
            serde_json::json!({ "key": "a\r\nb" }),
            "secrets.key",
            "one line",
        ),
    ] {
        let Err(Problem::Refused(detail)) = plan(&request(settings, secrets), &known) else {
            panic!("{words}")
        };
        assert_eq!(detail.field.as_deref(), Some(field), "{}", detail.message);
        assert!(detail.message.contains(words), "{}", detail.message);
    }

    let here = published(serde_json::json!({ "packages": [{
        "registryType": "npm", "identifier": "x", "version": "1.0.0",
        "packageArguments": [{ "type": "named", "name": "--root", "format": "filepath", "default": "data" },
            { "type": "positional", "valueHint": "extra" }, { "type": "positional", "value": "serve" }],
    }]}));
    let made = plan(&request(serde_json::json!({}), serde_json::json!({})), &[here]).expect("a deployment");
    assert_eq!(made.launch.args, ["--root", "{work}/data", "serve"]);
}

#[test]
fn what_cannot_be_deployed_says_why() {
    let mut bundle =
        published(serde_json::json!({ "packages": [{ "registryType": "mcpb", "identifier": "x" }] }));
    let refused = |entry: &CatalogEntry| {
        let Err(Problem::Refused(detail)) = plan(&request("io.github.acme/mcp"), std::slice::from_ref(entry))
        else {
            panic!("it is not refused")
        };
        assert_eq!(detail.field.as_deref(), Some("server"));
        detail.message
    };
    assert!(refused(&bundle).contains("MCPB"));
    bundle.listing.status = Standing::Deleted;
    assert!(refused(&bundle).contains("was withdrawn"));
}

#[test]
fn names_are_short() {
    for (name, expected) in [
        ("@modelcontextprotocol/server-everything", "everything"),
        ("io.github.acme/mcp", "acme"),
        ("io.github.acme/mcp-server", "acme"),
        ("io.github.acme/weather-mcp", "weather"),
        ("io.github.acme/weather-mcp-server", "weather"),
        ("time", "time"),
        ("mcp", "mcp"),
    ] {
        assert_eq!(short(name), expected, "{name}");
    }
}
