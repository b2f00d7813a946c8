//! Shims: started detached, killed with all they started, and nobody else's process with them.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use domain::secret::Secret;
use domain::spec::Launch;
use runtime::Runtime as _;

use crate::support::{Host, spec};

#[tokio::test]
async fn a_shim_and_its_server_are_killed_whole() {
    let host = Host::new();
    let mut spec = spec("builtin:welcome", Launch::default());
    let script = "echo \"$PLAIN $HIDDEN $PRESET\" > seen; setsid sleep 600 & exec sleep 601";
    spec.launch.args = vec!["-c".to_owned(), script.to_owned()];
    // A setting has the last word.
    spec.launch.env =
        [("PLAIN", "none"), ("PRESET", "{work}")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    spec.env.insert("PLAIN".to_owned(), "one".to_owned());
    spec.secrets.insert("HIDDEN".to_owned(), Secret::new("two"));
    let mut prepared = host.runtime.prepare(&spec, &|_| ()).await.unwrap();
    prepared.command = vec!["/bin/sh".to_owned()];

    let shim = host.runtime.spawn_shim(&spec, &prepared).await.unwrap();
    let layout = host.runtime.layout();
    let seen = layout.work_dir(spec.id).join("seen");
    let expected = format!("one two {}\n", layout.work_dir(spec.id).display());
    until(|| fs::read_to_string(&seen).is_ok_and(|text| text == expected), &|| {
        fs::read_to_string(layout.shim_log(spec.id)).unwrap_or_default()
    });
    assert!(!running(&layout.work_dir(spec.id).display().to_string()).is_empty());

    host.runtime.kill_leftovers(spec.id).await.unwrap();
    assert!(shim.ended.await.unwrap().contains("signal: 9"));
    let work = layout.work_dir(spec.id).display().to_string();
    until(|| running(&work).is_empty(), &|| format!("{:?}", running(&work)));
    // Nothing to do is nothing wrong.
    host.runtime.kill_leftovers(spec.id).await.unwrap();
}

#[tokio::test]
async fn a_reused_number_is_spared() {
    let host = Host::new();
    let spec = spec("builtin:welcome", Launch::default());
    let layout = host.runtime.layout();
    fs::create_dir_all(layout.instance_dir(spec.id)).unwrap();
    let mut bystander = Command::new("sleep").arg("600").spawn().unwrap();
    // The number is the bystander's now; the start time is of the shim that had it before.
    fs::write(layout.shim_record(spec.id), format!("{} 1", bystander.id())).unwrap();
    host.runtime.kill_leftovers(spec.id).await.unwrap();
    assert_eq!(bystander.try_wait().unwrap(), None, "it still runs");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

/// Processes with this text on their command line.
fn running(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    lines.filter(|line| line.contains(text)).collect()
}

#[track_caller]
fn until(condition: impl Fn() -> bool, otherwise: &dyn Fn() -> String) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(10));
    }
}
