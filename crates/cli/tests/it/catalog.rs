//! `berth catalog add|sync|sources`: from a file and from another Berth to a server that was deployed by its name in a registry.

use serde_json::json;
use testkit::platform::Platform;

use crate::BERTH;

#[test]
fn entries_come_from_files_and_from_another_berth() {
    let dir = tempfile::tempdir().expect("a directory");
    let official = "io.modelcontextprotocol.registry/official";
    let server = |name: &str, package: &str| {
        json!({ "name": name, "description": format!("What {name} does"), "version": "1.0.0",
            "packages": [{ "registryType": package, "identifier": "thing", "version": "1.0.0", "transport": { "type": "stdio" },
                "environmentVariables": [{ "name": "API_KEY", "isRequired": true, "isSecret": true }] }] })
    };
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        path.to_str().expect("text").to_owned()
    };
    let many: Vec<_> = (0..250).map(|i| server(&format!("io.acme/thing-{i}"), "npm")).collect();
    let page = json!({ "servers": [{ "server": server("io.acme/page", "npm"), "_meta": { official: { "status": "active" } } }] });
    let files = [
        write("many.json", json!(many).to_string()),
        write("page.json", page.to_string()),
        write("one.json", server("io.acme/bundle", "mcpb").to_string()),
    ];

    let first = Platform::start_with(BERTH, &["--allow-private-upstreams"]);
    for file in &files {
        first.ok(&["catalog", "add", file]);
    }
    let again = first.json(&["catalog", "add", &files[0], "--json"]);
    assert_eq!((&again["added"], &again["unchanged"]), (&json!(0), &json!(250)));
    let found = first.json(&["catalog", "search", "acme", "--limit", "300", "--json"]);
    assert_eq!(found.as_array().expect("a list").len(), 252);
    let shown = first.ok(&["catalog", "search", "thing-249"]);
    assert!(shown.contains("io.acme/thing-249") && shown.contains("npm:thing@1.0.0"), "{shown}");
    let output = first.run(&["catalog", "show", "io.acme/bundle"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("cannot be deployed: it is an MCPB bundle"), "{said}");
    let deployed = first.json(&["deploy", "io.acme/thing-7", "--secret", "API_KEY=hunter2", "--json"]);
    assert_eq!((&deployed["name"], &deployed["package"]), (&json!("thing-7"), &json!("npm:thing@1.0.0")));
    for (arguments, words) in [
        (&["catalog", "add", "nothing.json"][..], "cannot read `nothing.json`"),
        (&["catalog", "add", "x", "--name", "y"], "`--name` is for registries"),
        (&["catalog", "add", "https://127.0.0.1:1/x.json", "--name", "away"], "127.0.0.1"),
        (&["catalog", "sync", "nothing"], "no source `nothing`"),
        (&["catalog", "remove-source", "nothing"], "no source `nothing`"),
        (&["deploy", "io.acme/bundle"], "MCPB"),
    ] {
        let output = first.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
    }

    // A registry is any that answers as one, such as another Berth; what was added there from files is not for everybody.
    let second = Platform::start_with(BERTH, &["--allow-private-upstreams"]);
    second.ok(&["catalog", "add", first.url(), "--name", "first"]);
    let sources = second.ok(&["catalog", "sources"]);
    assert!(sources.contains("first") && sources.contains(first.url()), "{sources}");
    assert_eq!(second.json(&["catalog", "search", "acme", "--json"]), json!([]));
    second.ok(&["catalog", "sync"]);
    second.ok(&["catalog", "remove-source", "first"]);
    assert_eq!(second.json(&["catalog", "sources", "--json"]), json!([]));
}
