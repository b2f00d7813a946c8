use serde_json::{Value, json};

use super::*;
use crate::catalog::{CatalogEntry, Input, InputTarget};

fn entry(server: Value) -> CatalogEntry {
    let document = Document::read(server).expect("a document");
    document.entry(CatalogEntryId::generate(), "test", false)
}

/// How it would be run, in one line: package, transport, arguments, fixed variables, templates, inputs; or why it cannot be.
#[expect(clippy::format_push_string, reason = "a line for a person to read, in a test")]
fn line(entry: &CatalogEntry) -> String {
    if let Some(why) = &entry.listing.unavailable {
        return format!("! {why}");
    }
    let target = |target: &InputTarget| match target {
        InputTarget::Env { variable } => format!("${variable}"),
        InputTarget::Argument { flag } => flag.clone().unwrap_or_else(|| "arg".to_owned()),
        InputTarget::Header { header } => format!("{header}:"),
        InputTarget::Address => "address".to_owned(),
        InputTarget::Part => "part".to_owned(),
    };
    let mut line = entry.package.as_ref().map(ToString::to_string).unwrap_or_default();
    if !entry.launch.transport.is_stdio() {
        let (port, path) = (entry.launch.port, entry.launch.path.as_deref().unwrap_or_default());
        line += &format!(" {:?}{path}", entry.launch.transport);
        line += &port.map(|port| format!(" :{port}")).unwrap_or_default();
    }
    for argument in &entry.launch.args {
        line += &format!(" {argument}");
    }
    for (name, value) in &entry.launch.env {
        line += &format!(" {name}={value}");
    }
    for template in &entry.templates {
        line += &format!(" [{} {}]", target(&template.target), template.text);
    }
    for Input { name, target: to, required, secret, default, choices, .. } in &entry.inputs {
        let marks = [(*required, "!"), (*secret, "*")].map(|(is, mark)| if is { mark } else { "" }).concat();
        let default = default.as_ref().map(|text| format!("={text}")).unwrap_or_default();
        let choices = if choices.is_empty() { String::new() } else { format!(" of {}", choices.join("|")) };
        line += &format!(" ({name}{marks}{default}{choices} {})", target(to));
    }
    line
}

#[track_caller]
fn package(mut package: Value, expected: &str) {
    package.as_object_mut().unwrap().entry("transport").or_insert_with(|| json!({ "type": "stdio" }));
    check(json!({ "packages": [package] }), expected);
}

#[track_caller]
fn check(mut server: Value, expected: &str) {
    server.as_object_mut().unwrap().insert("name".to_owned(), json!("io.github.acme/thing"));
    assert_eq!(line(&entry(server)), expected);
}

#[test]
fn packages() {
    let npm =
        |version: Value| json!({ "registryType": "npm", "identifier": "@acme/thing", "version": version });
    package(npm(json!("1.2.3")), "npm:@acme/thing@1.2.3");
    package(npm(json!("latest")), "npm:@acme/thing");
    package(npm(Value::Null), "npm:@acme/thing");
    package(
        npm(json!("^1")),
        "! `^1` is not an exact version: ranges and tags are not accepted, leave it out for the newest",
    );
    package(
        json!({ "registryType": "pypi", "identifier": "Acme_Thing", "version": "1" }),
        "pypi:acme-thing@1",
    );
    package(
        json!({ "registryType": "npm", "identifier": "x", "registryBaseUrl": "https://npm.example.corp/a/" }),
        "! its package is in the registry at `npm.example.corp`, and Berth installs from the public ones",
    );
    package(
        json!({ "registryType": "npm", "identifier": "x", "registryBaseUrl": "https://registry.npmjs.org" }),
        "npm:x",
    );
    package(json!({ "registryType": "oci", "identifier": "ghcr.io/a/b:1.0" }), "oci:ghcr.io/a/b:1.0");
    package(
        json!({ "registryType": "oci", "registryBaseUrl": "https://ghcr.io", "identifier": "a/b", "version": "2" }),
        "oci:ghcr.io/a/b:2",
    );
    package(
        json!({ "registryType": "oci", "registryBaseUrl": "https://docker.io", "identifier": "a/b", "version": "2" }),
        "oci:a/b:2",
    );
    package(
        json!({ "registryType": "mcpb", "identifier": "https://github.com/a/b.mcpb", "fileSha256": "00" }),
        "! it is an MCPB bundle, which Berth does not deploy yet",
    );
    package(
        json!({ "registryType": "nuget", "identifier": "x" }),
        "! it is a .NET package, which Berth does not deploy yet",
    );
    package(
        json!({ "registryType": "car\u{7}go", "identifier": "x" }),
        "! its package is in the registry `car go`, which Berth does not know",
    );
    package(
        json!({ "registryType": "npm", "identifier": "../x" }),
        "! `../x` is not an npm package name (such as `@scope/name`)",
    );
    check(json!({}), "! it names neither a package nor an address");
    check(json!({ "packages": [7], "remotes": "x" }), "! nothing says in which registry its package is");
}

#[test]
fn settings() {
    let with = |key: &str, list: Value| {
        let mut package = json!({ "registryType": "npm", "identifier": "x" });
        package.as_object_mut().unwrap().insert(key.to_owned(), list);
        package
    };
    package(
        with(
            "environmentVariables",
            json!([
                { "name": "API_KEY", "isRequired": true, "isSecret": true, "description": "k" },
                { "name": "MODE", "choices": ["a", "b"], "default": "b" },
                { "name": "URL", "value": "http://x" },
                { "name": "PAGES", "format": "number", "default": "many" },
                { "name": "DSN", "value": "pg://{user}:{pass}@h", "variables": { "user": {}, "pass": { "isSecret": true } } },
                { "name": "T", "value": "{token}", "variables": { "token": { "isSecret": true } } },
                { "name": "SOME_TOKEN" },
                { "name": "SOME_TOKENS", "isSecret": false },
            ]),
        ),
        "npm:x [$DSN pg://{user}:{pass}@h] (API_KEY!* $API_KEY) (MODE=b of a|b $MODE) (URL=http://x $URL) (PAGES $PAGES) \
         (user part) (pass* part) (token* $T) (SOME_TOKEN* $SOME_TOKEN) (SOME_TOKENS $SOME_TOKENS)",
    );
    package(with("environmentVariables", json!([{ "name": "LD_PRELOAD", "value": "x" }])), "npm:x");
    package(
        with("environmentVariables", json!([{ "name": "PATH", "isRequired": true }])),
        "! it wants the variable `PATH`, which is not for it to set",
    );
    package(
        with(
            "packageArguments",
            json!([
                { "type": "positional", "value": "serve" },
                { "type": "named", "name": "--quiet", "value": "" },
                { "type": "named", "name": "--root", "format": "filepath", "isRequired": true },
                { "type": "positional", "value": "{a}/{b}", "variables": { "a": { "default": "1" } } },
                { "type": "positional", "valueHint": "root" },
                { "type": "positional", "value": "end" },
            ]),
        ),
        "npm:x serve --quiet [--root {root}] [arg {a}/{b}] [arg {root-2}] [arg end] (root! part) (a=1 part) (root-2 part)",
    );
    package(
        with(
            "packageArguments",
            json!([{ "type": "named", "name": "--token", "isSecret": true, "isRequired": true, "format": "string" }]),
        ),
        "! its secret `token` belongs onto the command line, which others of its host can read",
    );
    package(
        with(
            "packageArguments",
            json!([{ "type": "named", "name": "--api-key", "isSecret": true, "format": "string" }]),
        ),
        "npm:x",
    );
    package(
        with(
            "runtimeArguments",
            json!([{ "type": "positional", "value": "-y" }, { "type": "named", "name": "-u", "value": "node" }]),
        ),
        "npm:x",
    );
    package(
        with("runtimeArguments", json!([{ "type": "named", "name": "-v", "value": "/data:/data" }])),
        "! it wants to have a directory of its host mounted (`/data:/data`)",
    );
    package(
        with("runtimeArguments", json!([{ "type": "named", "name": "--privileged" }])),
        "! its runtime is to be given `--privileged`, which Berth does not do",
    );
    package(
        json!({ "registryType": "oci", "identifier": "a/b:1", "runtimeArguments": [
            { "type": "named", "name": "-e", "value": "KEY={key}", "variables": { "key": { "isSecret": true, "isRequired": true } } },
            { "type": "named", "name": "-e", "value": "CI=true" },
            { "type": "named", "name": "-e", "value": "LD_PRELOAD=x" },
        ]}),
        "oci:a/b:1 (key!* $KEY) (CI=true $CI)",
    );
}

#[test]
fn servers_that_listen() {
    let at = |registry: &str, url: &str, more: Value| {
        let mut package = json!({
            "registryType": registry, "identifier": "acme/x", "transport": { "type": "streamable-http", "url": url },
        });
        if registry == "npm" {
            package["identifier"] = json!("x");
        }
        for (key, value) in more.as_object().unwrap() {
            package[key] = value.clone();
        }
        package
    };
    package(at("oci", "http://localhost:8080/mcp", json!({})), "oci:acme/x Http/mcp :8080");
    package(
        at("npm", "http://localhost:8080/mcp", json!({})),
        "! it serves on the port 8080 whatever it is told, and several of it could not run on one host",
    );
    package(
        at(
            "npm",
            "http://localhost:8080/mcp",
            json!({ "environmentVariables": [{ "name": "PORT", "default": "8080" }] }),
        ),
        "npm:x Http/mcp PORT={port}",
    );
    package(
        at(
            "npm",
            "http://127.0.0.1:{port}/",
            json!({ "packageArguments": [{ "type": "named", "name": "--port", "default": "1" }] }),
        ),
        "npm:x Http [--port {port}]",
    );
    package(
        at(
            "npm",
            "http://127.0.0.1:3000",
            json!({ "packageArguments": [{ "type": "named", "name": "--port", "value": "3000" }] }),
        ),
        "npm:x Http --port {port}",
    );
    package(at("npm", "", json!({})), "! nothing says on which port it serves");
}

#[test]
fn servers_elsewhere() {
    let remote = |remote: Value| json!({ "remotes": [remote] });
    let url = "https://mcp.example.com/mcp";
    check(remote(json!({ "type": "streamable-http", "url": url })), "https://mcp.example.com/mcp Http");
    check(remote(json!({ "type": "sse", "url": "https://x.example/sse" })), "https://x.example/sse Sse");
    check(
        remote(json!({ "type": "streamable-http", "url": url, "headers": [
            { "name": "Authorization", "value": "Bearer {key}", "isRequired": true, "isSecret": true, "variables": { "key": { "description": "K" } } },
            { "name": "X-Region", "choices": ["eu", "us"] },
            { "name": "X-Client", "value": "berth" },
            { "name": "Host", "value": "x" },
        ]})),
        "https://mcp.example.com/mcp Http [Authorization: Bearer {key}] [X-Client: berth] (key!* part) (X-Region of eu|us X-Region:)",
    );
    check(
        remote(
            json!({ "type": "streamable-http", "url": "https://{tenant}.example.com/mcp", "variables": { "tenant": {} } }),
        ),
        "https://{tenant}.example.com/mcp Http [address https://{tenant}.example.com/mcp] (tenant! part)",
    );
    check(
        remote(json!({ "type": "sse", "url": "https://{x}/sse" })),
        "! `https://{x}/sse` is no address of a server",
    );
    check(
        remote(json!({ "type": "sse", "url": "http://localhost:1/sse" })),
        "! its address is on the machine of whoever runs it",
    );
    check(remote(json!({ "type": "sse", "url": "http://x.example/sse" })), "! its address has no TLS");
    check(
        remote(json!({ "type": "sse", "url": "javascript:alert(1)" })),
        "! `javascript:alert(1)` is no address of a server",
    );
    check(remote(json!({ "url": url })), "! nothing says how its address is reached");
    let both = json!({
        "remotes": [{ "type": "sse", "url": "https://x.example/sse" }],
        "packages": [{ "registryType": "mcpb", "identifier": "x" }, { "registryType": "oci", "identifier": "a/b" },
            { "registryType": "npm", "identifier": "x" }],
    });
    check(both.clone(), "npm:x");
    let mut both = both;
    both["name"] = json!("a/b");
    let also: Vec<String> = entry(both).listing.also.iter().map(ToString::to_string).collect();
    assert_eq!(also, ["oci:a/b", "https://x.example/sse"]);
}

#[test]
fn what_is_around_them() {
    let official = "io.modelcontextprotocol.registry/official";
    let server = json!({ "name": "a.b/c", "version": "2.0.0", "description": "d\n\u{1b}[31mx", "websiteUrl": "javascript:x" });
    let read = Document::read(json!({ "server": server, "_meta": { official: {
        "status": "deprecated", "statusMessage": "use d", "isLatest": true,
        "publishedAt": "2025-09-16T08:00:00Z", "updatedAt": "2025-09-17T08:00:00.5Z",
    }}}))
    .unwrap();
    assert_eq!((read.name.as_str(), read.version.as_str()), ("a.b/c", "2.0.0"));
    assert_eq!((read.status, read.is_latest), (Standing::Deprecated, Some(true)));
    assert_eq!(read.published_at, Some(Timestamp(1_758_009_600_000_000)));
    let entry = read.entry(CatalogEntryId::generate(), "official", true);
    assert_eq!((entry.title.as_str(), entry.description.as_str()), ("C", "d [31mx"));
    assert_eq!(entry.documentation_url, None);
    assert!(entry.is_verified() && entry.listing.publisher.as_deref() == Some("a.b"));

    let old = Document::read(
        json!({ "name": "a/b", "version_detail": { "version": "0.0.1-seed", "release_date": "2025-05-16T18:56:49Z", "is_latest": true } }),
    );
    let old = old.unwrap();
    assert_eq!(
        (old.version.as_str(), old.is_latest, old.updated_at.is_some()),
        ("0.0.1-seed", Some(true), true)
    );
    let inner = Document::read(json!({ "name": "a/b", "packages": [{ "version": "3" }] })).unwrap();
    assert_eq!(inner.version, "3");
    assert_eq!(Document::read(json!({ "name": "a/b" })).unwrap().version, "latest");
    for name in ["", "x", "a/b/c", "a/", "/b", "a b/c", "ä/b", "a/<b>"] {
        let error = Document::read(json!({ "name": name })).unwrap_err();
        assert!(matches!(error, Unreadable::Name(_)), "{name}: {error}");
    }
    assert_eq!(Document::read(json!([])), Err(Unreadable::Shape));
    assert_eq!(split(b"7"), Err(Unreadable::Shape));
    assert_eq!(split(b"{}"), Err(Unreadable::Shape));
    assert!(matches!(split(b"{"), Err(Unreadable::Json(_))));
    for (text, servers) in
        [(&br#"[{"name":"a/b"},{}]"#[..], 2), (br#"{"servers":[]}"#, 0), (br#"{"name":"x"}"#, 1)]
    {
        assert_eq!(split(text).unwrap().len(), servers);
    }
}

#[test]
fn the_newest_version() {
    #[track_caller]
    fn check(versions: &[&str], expected: &str) {
        let read = |text: &&str| {
            let (version, mark) = text.split_at(text.find(['!', '*']).unwrap_or(text.len()));
            let mut document = Document::read(json!({ "name": "a/b", "version": version })).unwrap();
            document.is_latest = (mark == "!").then_some(true);
            if mark == "*" {
                document.status = Standing::Deleted;
            }
            document
        };
        let documents: Vec<Document> = versions.iter().map(read).collect();
        assert_eq!(newest(&documents).map(|it| it.version.as_str()), Some(expected), "{versions:?}");
    }
    check(&["1.0.0", "1.10.0", "1.9.0"], "1.10.0");
    check(&["1.0.0", "1.0.0-rc.1"], "1.0.0");
    check(&["1.0.0-rc.9", "1.0.0-rc.10"], "1.0.0-rc.10");
    check(&["1.0.0!", "2.0.0"], "1.0.0");
    check(&["1.0.0", "2.0.0*"], "1.0.0");
    check(&["1.0.0*"], "1.0.0");
    check(&["seed", "other"], "other");
}

#[test]
fn the_shape_of_may_2025() {
    let package = |registry: &str, arguments: Value| {
        let server = json!({
            "name": "io.github.acme/thing", "version_detail": { "version": "0.0.1-seed" },
            "packages": [{ "registry_name": registry, "name": "thing", "version": "1.0", "package_arguments": arguments,
                "environment_variables": [{ "name": "API_KEY", "description": "<key>" }, { "name": "HOST", "value": "<host>" }] }],
        });
        line(&entry(server))
    };
    let positional = |text: &str| json!({ "type": "positional", "value": text, "default": text, "value_hint": text, "is_required": true });
    assert_eq!(
        package(
            "npm",
            json!([positional("serve"), { "type": "named", "name": "--url <your url>", "value": "--url <your url>", "is_required": true }])
        ),
        "npm:thing@1.0 serve [--url {url}] (API_KEY* $API_KEY) (HOST $HOST) (url! part)",
    );
    assert_eq!(
        package(
            "pypi",
            json!([{ "type": "named", "name": "--directory /x", "value": "x" }, positional("run"), positional("thing")])
        ),
        "pypi:thing@1.0 (API_KEY* $API_KEY) (HOST $HOST)",
    );
    assert_eq!(
        package("pypi", json!([positional("src/x.py")])),
        "! it is started from a copy of its sources, or as a part of its package"
    );
    assert_eq!(
        package("docker", json!([positional("-i")])),
        "! nothing says which of its arguments are its image's own"
    );
    assert_eq!(package("unknown", json!([])), "! nothing says in which registry its package is");
}
