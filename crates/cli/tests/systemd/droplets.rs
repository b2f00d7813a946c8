//! From nothing to a tool call on a droplet and back to nothing: the provider is a fake, the machine, its cloud-init, its systemd
//! and its Docker are not, and what the control plane gave the provider as `user_data` runs there unchanged.

#![expect(clippy::print_stdout, reason = "each step says how long it took")]

use std::time::Instant;

use testkit::docker::engine;
use testkit::droplets::{Droplets, GATEWAY};
use testkit::platform::Platform;
use testkit::systemd::Machine;
use testkit::{digitalocean, packages, wait};

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

/// Calls a tool of an instance.
fn echo(platform: &Platform, instance: &str, message: &str) -> Option<()> {
    let arguments = format!(r#"{{"message":"{message}"}}"#);
    let output = platform.run(&["call", instance, "echo", &arguments]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success() && text.contains(message)).then_some(())
}

/// Deploys a package of npm, calls it, reboots its machine, calls it again, and removes it.
fn there_and_back(platform: &Platform, name: &str, machine: &Machine<'_>, steps: &mut Steps) {
    let package = "npm:@modelcontextprotocol/server-everything";
    platform.ok(&["deploy", package, "--name", name, "--env", name, "--wait"]);
    steps.done("berth deploy npm:…: running");
    wait::until("a call", || echo(platform, name, "before"));
    steps.done("berth call");

    machine.power("restart");
    wait::until("a call after the reboot", || echo(platform, name, "after"));
    wait::until("an environment that is well", || {
        let shown = platform.json(&["env", "show", name]);
        (shown["status"] == "active" && shown["message"].is_null()).then_some(())
    });
    steps.done("reboot and call");

    platform.ok(&["remove", name, "--yes"]);
    wait::until("the instance's end", || platform.instance(name).is_none().then_some(()));
    steps.done("berth remove");
}

/// A control plane in the droplets' network.
fn control_plane(droplets: &Droplets) -> Platform {
    let url = droplets.fake().url();
    Platform::start_within(
        BERTH,
        &["--runtime", "process", "--https-listen", &format!("{GATEWAY}:0"), "--heartbeat-ms", "1000"],
        &[("DIGITALOCEAN_TOKEN", digitalocean::TOKEN), ("DIGITALOCEAN_API_URL", &url)],
        Some(engine().pid()),
    )
}

#[test]
fn a_droplet_from_nothing_to_a_tool_call_and_back_to_nothing() {
    let mut steps = Steps { begun: Instant::now() };
    let droplets = Droplets::start(engine(), &[packages::host(&packages::npm())]);
    let platform = control_plane(&droplets);
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

    there_and_back(&platform, "web", &machine, &mut steps);
    drop(machine);
    platform.ok(&["env", "remove", "web", "--yes"]);
    assert_eq!(droplets.fake().machines(), []);
    assert_eq!(droplets.fake().firewalls(), 0);
    wait::until("the machine's end", || (droplets.count() == 0).then_some(()));
    assert!(!platform.run(&["env", "show", "web"]).status.success());
    steps.done("berth env remove: nothing left");
}

/// Nobody reaches it; what it asked for itself comes back.
const NO_WAY_IN: &str = "table inet closed { chain input { type filter hook input priority 0; policy drop; \
    iif lo accept; ct state established,related accept; }; }";

#[test]
fn a_host_behind_nat_and_one_that_is_dialled() {
    let mut steps = Steps { begun: Instant::now() };
    let droplets = Droplets::start(engine(), &[packages::host(&packages::npm())]);
    let platform = control_plane(&droplets);
    steps.done("berth up");
    for (name, last, options) in
        [("hidden", 201, &[][..]), ("dialled", 202, &["--address", "10.90.0.202:30000"])]
    {
        let machine = droplets.host(name, last);
        steps.done("a machine");
        let is_hidden = options.is_empty();
        if is_hidden {
            let script = format!("echo '{NO_WAY_IN}' >/etc/nftables.conf && systemctl enable --now nftables");
            machine.ok(&["sh", "-c", &script]);
        }
        let line = platform.ok(&[&["env", "add", "host", "--name", name], options].concat());
        machine.ok(&["sh", "-c", line.trim()]);
        steps.done("the pasted line: active");
        let dialled = engine().in_its_network(|| {
            let address = std::net::SocketAddr::from(([10, 90, 0, last], 30000));
            std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(2)).is_ok()
        });
        assert_eq!(dialled, !is_hidden, "`{name}` can be dialled");
        // A line is good once.
        let again = machine.run(&["sh", "-c", line.trim()]);
        let said = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(!again.status.success() && said.contains("was used already"), "{said}");
        there_and_back(&platform, name, &machine, &mut steps);
        platform.ok(&["env", "remove", name, "--yes"]);
        steps.done("berth env remove");
    }
}
