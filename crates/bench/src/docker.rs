//! Containers: how long a deployment takes until it is ready, over `docker run` and `initialize` by hand of the same
//! container, and what the DTMA weighs and burns beside fifty of them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use testkit::docker::Docker;
use testkit::platform::Platform;
use testkit::processes::pss;

use crate::pipes::Server;
use crate::processes::{cpu, of_command};
use crate::start::{find, median};

const ROUNDS: usize = 9;
const INSTANCES: usize = 50;
/// Eight heartbeats.
const WATCHED: Duration = Duration::from_mins(2);

/// Prints the tables.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let docker = Docker::start()?;
    let fixture = crate::fixture()?;
    docker.image("fixture:1", &[("/fixture", Path::new(&fixture))], &[r#"ENTRYPOINT ["/fixture"]"#]);
    let host = docker.host();
    let platform = Platform::start_in(&crate::berth()?, &["--runtime", "docker"], &[("DOCKER_HOST", &host)]);

    println!(
        "\n| in a container, median of {ROUNDS} | `berth deploy --wait` ms | `docker run` and `initialize` by hand ms | over by hand ms | goal |"
    );
    println!("|---|---:|---:|---:|---:|");
    row(&platform, &host, "an image over pipes", "oci:fixture:1", None, 150).await?;
    // Its first deployment installs the package.
    platform.ok(&["deploy", "everything", "--name", "first", "--wait"]);
    let program = find(&platform.data().join("dtma/packages"), "mcp-server-everything")
        .context("the installed server was not found")?;
    row(&platform, &host, "an installed npm package", "everything", Some(&program), 100).await?;
    platform.ok(&["remove", "first", "--yes"]);
    many(&platform).await
}

async fn row(
    platform: &Platform,
    host: &str,
    what: &str,
    package: &str,
    program: Option<&Path>,
    goal: u64,
) -> anyhow::Result<()> {
    let (mut deployed, mut by_hand) = (vec![], vec![]);
    for round in 0..ROUNDS {
        let name = format!("again-{round}");
        let begun = Instant::now();
        platform.ok(&["deploy", package, "--name", &name, "--wait"]);
        deployed.push(begun.elapsed());
        let arguments = like_its_container(platform, host, &name, program).await?;
        platform.ok(&["remove", &name, "--yes"]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let begun = Instant::now();
        let server = Server::start(Path::new("docker"), &arguments).await?;
        by_hand.push(begun.elapsed());
        drop(server);
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (deployed, by_hand) = (ms(median(deployed)?), ms(median(by_hand)?));
    println!("| {what} | {deployed:.0} | {by_hand:.0} | {:.0} | {goal} |", deployed - by_hand);
    Ok(())
}

/// The arguments of `docker` that run an instance's server in a container like the instance's own.
async fn like_its_container(
    platform: &Platform,
    host: &str,
    name: &str,
    program: Option<&Path>,
) -> anyhow::Result<Vec<String>> {
    let id = platform.instance(name).context("it is not listed")?;
    let id = id["id"].as_str().context("it has no id")?;
    let shown = tokio::process::Command::new("docker")
        .args(["--host", host, "inspect", &format!("berth-{id}")])
        .output()
        .await
        .context("`docker` cannot be started: install docker.io or docker-cli")?;
    let shown: Value = serde_json::from_slice(&shown.stdout)?;
    let (config, limits) = (&shown[0]["Config"], &shown[0]["HostConfig"]);
    let mut arguments: Vec<String> =
        ["--host", host, "run", "--rm", "--interactive", "--read-only", "--tmpfs", "/tmp"]
            .map(str::to_owned)
            .into();
    arguments.extend(["--cap-drop", "ALL", "--security-opt", "no-new-privileges"].map(str::to_owned));
    arguments.push(format!("--memory={}", limits["Memory"]));
    arguments.push(format!("--pids-limit={}", limits["PidsLimit"]));
    arguments.push(format!("--network={}", limits["NetworkMode"].as_str().unwrap_or("bridge")));
    if program.is_some() {
        arguments.push(format!("--user={}", config["User"].as_str().unwrap_or_default()));
    }
    for mount in limits["Mounts"].as_array().into_iter().flatten() {
        let (source, target) = (mount["Source"].as_str(), mount["Target"].as_str());
        if let Some((source, target)) = source.zip(target).filter(|(_, target)| !target.starts_with("/berth"))
        {
            arguments.push(format!("--volume={source}:{target}:ro"));
        }
    }
    match program {
        None => arguments.push(config["Image"].as_str().context("no image")?.to_owned()),
        Some(program) => {
            arguments.push(format!("--entrypoint={}", program.display()));
            arguments.push(config["Image"].as_str().context("no image")?.to_owned());
            arguments.push("stdio".to_owned());
        }
    }
    Ok(arguments)
}

async fn many(platform: &Platform) -> anyhow::Result<()> {
    for number in 1..INSTANCES {
        platform.ok(&["deploy", "oci:fixture:1", "--name", &format!("idle-{number}"), "--wait"]);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let dtma = of_command(&platform.processes(), "dtma");
    ensure!(dtma.len() == 1, "{} DTMAs", dtma.len());
    let before = cpu(&dtma);
    tokio::time::sleep(WATCHED).await;
    let burnt = (cpu(&dtma).saturating_sub(before)).as_secs_f64() / WATCHED.as_secs_f64() * 100.0;
    let bytes = pss(dtma[0]).context("the DTMA ended meanwhile")?;
    let mib = f64::from(u32::try_from(bytes / 1024)?) / 1024.0;
    println!("\n| the DTMA beside {INSTANCES} idle containers | | goal |");
    println!("|---|---:|---:|");
    println!("| memory, MiB (PSS) | {mib:.2} | 15 |");
    println!("| CPU over {} s, % of a core | {burnt:.2} | 0.5 |", WATCHED.as_secs());
    Ok(())
}
