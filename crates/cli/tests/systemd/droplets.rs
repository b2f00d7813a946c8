//! From nothing to a tool call on a droplet and back to nothing: the provider is a fake, the machine, its cloud-init, its systemd
//! and its Docker are not, and what the control plane gave the provider as `user_data` runs there unchanged.

use std::time::Instant;

use testkit::docker::engine;
use testkit::droplets::{Droplets, GATEWAY};
use testkit::platform::Platform;
use testkit::{digitalocean, wait};

use crate::BERTH;

/// Says how long each step took.
struct Steps {
    begun: Instant,
}

impl Steps {
    fn done(&mut self, what: &str) {
        println!("{:>6.1} s  {what}", self.begun.elapsed().as_secs_f32());
        self.begun = Instant::now();
    }
}

/// Calls a tool of `everything` on the droplet.
fn echo(platform: &Platform, message: &str) -> Option<()> {
    let arguments = format!(r#"{{"message":"{message}"}}"#);
    let output = platform.run(&["call", "everything", "echo", &arguments]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success() && text.contains(message)).then_some(())
}

#[test]
fn a_droplet_from_nothing_to_a_tool_call_and_back_to_nothing() {
    let mut steps = Steps { begun: Instant::now() };
    let droplets = Droplets::start(engine(), &["registry.npmjs.org"]);
    let url = droplets.fake().url();
    let platform = Platform::start_within(
        BERTH,
        &["--runtime", "process", "--https-listen", &format!("{GATEWAY}:0"), "--heartbeat-ms", "1000"],
        &[("DIGITALOCEAN_TOKEN", digitalocean::TOKEN), ("DIGITALOCEAN_API_URL", &url)],
        Some(engine().pid()),
    );
    steps.done("berth up");

    platform.ok(&[
        "env",
        "add",
        "digitalocean",
        "--name",
        "web",
        "--region",
        "fra1",
        "--size",
        "s-1vcpu-1gb",
    ]);
    steps.done("berth env add digitalocean: active");
    let made = droplets.fake().machines();
    let [made] = &made[..] else { panic!("one droplet, not {made:?}") };
    assert!(!made.user_data.contains(digitalocean::TOKEN), "the provider's token stays at home");
    let machine = droplets.machine(made.id);

    platform.ok(&[
        "deploy",
        "npm:@modelcontextprotocol/server-everything",
        "--name",
        "everything",
        "--env",
        "web",
        "--wait",
    ]);
    steps.done("berth deploy npm:…: running");
    wait::until("a call", || echo(&platform, "before"));
    steps.done("berth call");

    machine.power("restart");
    wait::until("a call after the reboot", || echo(&platform, "after"));
    assert_eq!(platform.json(&["env", "show", "web"])["status"], "active");
    steps.done("reboot and call");

    platform.ok(&["remove", "everything", "--yes"]);
    wait::until("the instance's end", || platform.instance("everything").is_none().then_some(()));
    steps.done("berth remove");
    drop(machine);
    platform.ok(&["env", "remove", "web", "--yes"]);
    assert_eq!(droplets.fake().machines(), []);
    assert_eq!(droplets.fake().firewalls(), 0);
    wait::until("the machine's end", || (droplets.count() == 0).then_some(()));
    assert!(!platform.run(&["env", "show", "web"]).status.success());
    steps.done("berth env remove: nothing left");
}
