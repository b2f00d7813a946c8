//! Packages from the real registries, installed and started.

use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use domain::spec::Launch;
use domain::status::Progress;
use runtime::Runtime as _;
use runtime::error::RuntimeError;

use crate::support::{Host, Server, policy, spec};

fn launch(args: &[&str], constraints: &[&str]) -> Launch {
    let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect();
    Launch { args: list(args), constraints: list(constraints), ..Launch::default() }
}

/// Installs, starts, initialises; installs again without the registry; and the store holds one tree.
#[track_caller]
fn check_runs(package: &str, launch: Launch, args: &[&str], name: &str) {
    let host = Host::new();
    let spec = spec(package, launch);
    let steps = Mutex::new(Vec::new());
    let on_progress = |progress: Progress| steps.lock().unwrap().push(progress.step);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let prepared = runtime.block_on(host.runtime.prepare(&spec, &on_progress)).unwrap();
    assert!(prepared.digest.as_ref().unwrap().starts_with("sha256:"));
    let steps = steps.into_inner().unwrap();
    assert!(steps.iter().any(|step| step.starts_with("resolving")), "{steps:?}");
    assert!(steps.iter().any(|step| step.starts_with("downloading")), "{steps:?}");

    let work = host.data.path().join("work");
    let policy = policy(&work, &prepared);
    let answer = Server::start(&policy, &prepared, args).initialize();
    let server = answer["result"]["serverInfo"]["name"].as_str();
    assert_eq!(server, Some(name), "{answer}");

    let before = Instant::now();
    let again = runtime.block_on(host.runtime.prepare(&spec, &|step| panic!("{step:?}"))).unwrap();
    assert_eq!(again, prepared);
    assert!(before.elapsed().as_millis() < 500, "a recorded install asks nobody");
    let packages = host.data.path().join("dtma/packages");
    let trees: Vec<_> =
        std::fs::read_dir(packages).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(trees.len(), 2, "one tree and the requests: {trees:?}");
}

#[test]
fn an_npm_server_runs() {
    let package = "npm:@modelcontextprotocol/server-everything@2026.8.31";
    check_runs(package, launch(&[], &[]), &["stdio"], "mcp-servers/everything");
}

#[test]
fn a_pypi_server_runs() {
    check_runs("pypi:mcp-server-time", launch(&[], &[]), &["--local-timezone", "UTC"], "mcp-time");
}

#[track_caller]
fn check_refused(package: &str, launch: Launch, words: &str) {
    let host = Host::new();
    let spec = spec(package, launch);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(host.runtime.prepare(&spec, &|_| ())).expect_err("refused");
    let text = error.to_string();
    assert!(text.contains(words), "{text}: {error:?}");
    let packages = host.data.path().join("dtma/packages");
    let left: Vec<_> = std::fs::read_dir(packages).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["requests"], "nothing is left half done");
}

#[test]
fn unknown_npm_package() {
    check_refused("npm:berth-has-no-such-package", launch(&[], &[]), "npm has no package `berth-has-no");
}

#[test]
fn unknown_npm_version() {
    let package = "npm:@modelcontextprotocol/server-memory@99.9.9";
    check_refused(package, launch(&[], &[]), "has no version 99.9.9 on npm");
}

#[test]
fn unsatisfiable_npm_override() {
    let package = "npm:@modelcontextprotocol/server-memory";
    check_refused(package, launch(&[], &["zod@999.0.0"]), "no versions satisfy");
}

#[test]
fn unknown_pypi_project() {
    check_refused("pypi:berth-has-no-such-project", launch(&[], &[]), "PyPI has no package");
}

#[test]
fn unknown_pypi_version() {
    check_refused("pypi:mcp-server-time@99.9", launch(&[], &[]), "has no version 99.9 on PyPI");
}

#[test]
fn unsatisfiable_pypi_constraint() {
    check_refused("pypi:mcp-server-time", launch(&[], &["mcp<0.1"]), "no versions satisfy");
}

#[test]
fn constraints_that_cannot_be_read() {
    for bad in ["mcp", "mcp<2\n--index-url=http://x", "-r /etc/passwd", "mcp @ file:///etc", "mcp<"] {
        check_refused("pypi:mcp-server-time", launch(&[], &[bad]), "cannot be used");
    }
    for bad in ["zod", "zod@file:../x", "zod@", "@modelcontextprotocol/server-memory@1.0.0"] {
        check_refused("npm:@modelcontextprotocol/server-memory", launch(&[], &[bad]), "cannot be used");
    }
}

#[test]
fn missing_programs_are_named() {
    let launch = Launch { programs: vec!["no-such-program-of-ours".to_owned()], ..Launch::default() };
    check_refused("builtin:welcome", launch, "apt-get install no-such-program-of-ours");
}

#[test]
fn a_library_is_no_server() {
    check_refused_installed("npm:left-pad@1.3.0", Launch::default(), "`left-pad` has no executable");
}

#[test]
fn an_unknown_executable_lists_those_there_are() {
    let launch = Launch { executable: Some("nope".to_owned()), ..Launch::default() };
    check_refused_installed("npm:semver@7.6.0", launch, "has no executable `nope`, it has: semver");
}

/// The package itself is fine and stays; what is asked of it is not.
#[track_caller]
fn check_refused_installed(package: &str, launch: Launch, words: &str) {
    let host = Host::new();
    let spec = spec(package, launch);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(host.runtime.prepare(&spec, &|_| ())).expect_err("refused").to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn two_installs_of_one_request_run_once() {
    let host = Host::new();
    let spec = spec("npm:semver@7.6.0", Launch::default());
    let resolved = Mutex::new(0);
    let on_progress = |progress: Progress| {
        if progress.step.starts_with("resolving") {
            *resolved.lock().unwrap() += 1;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = runtime.block_on(async {
        tokio::join!(host.runtime.prepare(&spec, &on_progress), host.runtime.prepare(&spec, &on_progress))
    });
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!(resolved.into_inner().unwrap(), 1);
}

/// The directories and files in the store.
fn stored(host: &Host) -> Vec<String> {
    let entries = std::fs::read_dir(host.data.path().join("dtma/packages")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_abandoned_install_leaves_nothing_after_the_next_start() {
    let host = Host::new();
    let spec = spec("npm:@modelcontextprotocol/server-everything@2026.8.31", Launch::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let on_progress = move |progress: Progress| {
            // Nobody listens any more after the first download.
            let _ = tell.send(progress.step);
        };
        let downloading = async { while !told.recv().await.unwrap().starts_with("downloading") {} };
        tokio::select! {
            result = host.runtime.prepare(&spec, &on_progress) => panic!("too early: {result:?}"),
            () = downloading => {}
        }
    });
    let host = host.restarted();
    assert_eq!(stored(&host), ["requests"]);
    // And the request is free again.
    let prepared = runtime.block_on(host.runtime.prepare(&spec, &|_| ())).unwrap();
    assert_eq!(prepared.version.as_deref(), Some("2026.8.31"));
}

/// Runs itself again where the temporary directory is a small disk, as root of a namespace.
#[test]
fn a_full_disk_is_its_own_error() {
    const SMALL: &str = "BERTH_TEST_ON_SMALL_DISK";
    if std::env::var_os(SMALL).is_none() {
        let disk = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=6m tmpfs \"$TMPDIR\" && exec \"$0\" --exact packages::a_full_disk_is_its_own_error";
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(std::env::current_exe().unwrap())
            .env("TMPDIR", disk.path())
            .env(SMALL, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let host = Host::new();
    let spec = spec("npm:@modelcontextprotocol/server-everything@2026.8.31", Launch::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(host.runtime.prepare(&spec, &|_| ())).expect_err("refused");
    assert!(matches!(error, RuntimeError::NoSpace { .. }), "{error:?}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while stored(&host) != ["requests"] {
        assert!(Instant::now() < deadline, "left: {:?}", stored(&host));
    }
}

/// Set for a test that runs itself again in another environment.
const AGAIN: &str = "BERTH_TEST_AGAIN";

/// Whether the test is to go on: it runs again with these variables, and this run only looks at how that ended.
fn runs_again_with(test: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var_os(AGAIN).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("packages::{test}")])
        .envs(variables.iter().copied())
        .env(AGAIN, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    false
}

#[test]
fn the_hosts_registry_is_asked_and_missed_when_it_is_away() {
    let variables = [
        ("npm_config_registry", "http://127.0.0.1:1/"),
        ("npm_config_fetch_retries", "0"),
        ("PIP_INDEX_URL", "http://127.0.0.1:1/simple"),
        ("PIP_RETRIES", "0"),
    ];
    if runs_again_with("the_hosts_registry_is_asked_and_missed_when_it_is_away", &variables) {
        check_refused("npm:semver@7.6.0", launch(&[], &[]), "npm cannot be reached from this host");
        check_refused("pypi:mcp-server-time", launch(&[], &[]), "PyPI cannot be reached from this host");
    }
}

#[test]
fn a_missing_node_says_what_to_install() {
    if runs_again_with("a_missing_node_says_what_to_install", &[("PATH", "/no/such/directory")]) {
        check_refused("npm:semver@7.6.0", launch(&[], &[]), "apt-get install nodejs npm");
    }
}

/// A program's libraries are readable to the server, so the data directory must not lie among them.
#[test]
fn a_visible_data_directory_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    std::fs::create_dir_all(place.join("bin")).unwrap();
    std::fs::create_dir_all(place.join("lib")).unwrap();
    std::fs::copy("/bin/true", place.join("bin/neighbour")).unwrap();
    let variables = [("PATH", place.join("bin")), ("TMPDIR", place.join("lib"))];
    let variables = variables.each_ref().map(|(name, path)| (*name, path.to_str().unwrap()));
    if runs_again_with("a_visible_data_directory_is_refused", &variables) {
        let launch = Launch { programs: vec!["neighbour".to_owned()], ..Launch::default() };
        check_refused("builtin:welcome", launch, "which servers can read: move it elsewhere");
    }
}
