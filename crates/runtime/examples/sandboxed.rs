//! The parts of the binary that this crate's tests start: the sandbox helper, and as a shim the least that starts
//! a server and waits for it.

use std::io::Read as _;
use std::process::Command;

use domain::shim::ShimConfig;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let first = args.next().unwrap_or_default();
    if first == "__sandbox" {
        runtime::sandbox::run(args);
    }
    assert_eq!(first, "shim");
    let mut document = Vec::new();
    std::io::stdin().read_to_end(&mut document)?;
    let config: ShimConfig = serde_json::from_slice(&document)?;
    let secrets = config.secrets.iter().map(|(name, secret)| (name, secret.expose()));
    let status = Command::new(&config.command[0])
        .args(&config.command[1..])
        .current_dir(&config.cwd)
        .env_clear()
        .envs(&config.env)
        .envs(secrets)
        .status()?;
    std::process::exit(status.code().unwrap_or(1));
}
