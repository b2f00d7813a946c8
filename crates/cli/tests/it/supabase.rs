//! The older platform's front end on Berth: its own client library, a token of its Supabase project, and every function it calls, against
//! a platform whose droplets are processes here.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::conformance::{node, parts};
use testkit::digitalocean::{Config, Fake, TOKEN};
use testkit::platform::Platform;

use crate::BERTH;
use crate::enrol::Host;

const PROJECT: &str = "https://abc.supabase.co";
const SECRET: &str = "super-secret-jwt-token-with-at-least-32-characters";

/// The line that a droplet's first start runs.
fn line(user_data: &str) -> String {
    let (_, config) = user_data.split_once('\n').expect("a head");
    let config: serde_json::Value = serde_json::from_str(config).expect("JSON");
    let script = config["runcmd"][0][4].as_str().expect("a script").to_owned();
    let (_, line) = script.split_once("; do ").expect("a loop");
    line.split_once(" && exit 0").expect("its end").0.to_owned()
}

/// Boots the droplet that is made, and starts its host agent again whenever it ends, as systemd does there.
fn boot(fake: &Fake, is_over: &AtomicBool) {
    let mut host: Option<Host> = None;
    while !is_over.load(Ordering::Relaxed) {
        match &mut host {
            Some(host) => host.keep(),
            None => {
                if let Some(machine) = fake.machines().first() {
                    let started = Host::new();
                    let output = started.paste(&line(&machine.user_data));
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "the droplet's first start: {said}");
                    host = Some(started);
                }
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A path with braces in the place of what is filled in.
fn shape(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn the_older_front_end_goes_through_its_flows() {
    let part = parts().join("supabase").canonicalize().expect("`cargo xtask parts` installs it");
    let script = part.join("flows.mjs");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/supabase/flows.mjs");
    // Modules are looked up beside the script.
    std::fs::copy(source, &script).expect("the script is copied");
    let fake = Fake::start(Config::default());
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), SECRET).expect("it is written");
    let file = secret.path().to_str().expect("a path");
    let platform = Platform::start_in(
        BERTH,
        &["--supabase-url", PROJECT, "--supabase-jwt-secret-file", file, "--heartbeat-ms", "500"],
        &[("DIGITALOCEAN_API_URL", &fake.url()), ("DIGITALOCEAN_TOKEN", TOKEN)],
    );
    let is_over = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        scope.spawn(|| boot(&fake, &is_over));
        let output = Command::new(node(&parts().join("conformance/node_modules")))
            .arg(&script)
            .args([platform.url(), platform.token(), SECRET, PROJECT])
            .stdin(Stdio::null())
            .output();
        is_over.store(true, Ordering::Relaxed);
        output.expect("node starts")
    });
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.ends_with("DONE\n"), "{said}\n{errors}");
    let called: BTreeSet<String> = said.lines().map(str::to_owned).collect();
    let functions = control::older_paths().into_iter().filter(|(_, path)| {
        // Those that only hosts call have tests of their own.
        path.starts_with("/functions/v1/")
            && !path.ends_with("/heartbeat")
            && !path.ends_with("-tool-secrets")
    });
    let missed: Vec<String> = functions
        .map(|(method, path)| format!("{method} {}", shape(path)))
        .filter(|path| !called.contains(path))
        .collect();
    assert_eq!(missed, Vec::<String>::new(), "some functions were not called");
    assert_eq!(fake.machines(), [], "no droplet is left");
}
