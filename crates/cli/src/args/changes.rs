//! What can be typed about changing what an instance is: `berth upgrade`, `berth configure`, `berth rollback` and `berth changes`.

use clap::Args;
use domain::container::Profile;
use domain::egress::Egress;
use domain::secret::Secret;

/// `berth upgrade`.
#[derive(Debug, Args)]
#[command(
    after_help = "The new version is started beside the old one, as `NAME-next`. Once it answers, its tools are compared, and it takes
the old one's place; its address, secrets and sessions stay. What does not work changes nothing.

Examples:
  berth upgrade clock --wait
  berth upgrade clock --version 1.2.0 --review --wait
  berth upgrade postgres --version 17.7 --wait"
)]
pub(crate) struct InstanceUpgradeArgs {
    /// Name of the instance
    pub(crate) name: String,
    /// Exact version, of an image a tag or a digest; default: the newest, of an image what its tag is now
    #[arg(long)]
    pub(crate) version: Option<String>,
    /// What else is different.
    #[command(flatten)]
    pub(crate) what: WhatArgs,
    /// How it goes on.
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

/// `berth configure`.
#[derive(Debug, Args)]
#[command(
    after_help = "It stays the version that it is. As with `berth upgrade`, what it would be is started beside it first.

Examples:
  berth configure clock --set ZONE=Europe/Berlin --wait
  berth configure search --secret TOKEN=@token.txt --unset LEVEL --memory-mib 512"
)]
pub(crate) struct ConfigureArgs {
    /// Name of the instance
    pub(crate) name: String,
    /// What is different.
    #[command(flatten)]
    pub(crate) what: WhatArgs,
    /// How it goes on.
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

/// What an instance is to be; what is not given stays.
#[derive(Debug, Args)]
pub(crate) struct WhatArgs {
    /// A setting with another value, or a new one; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// A secret setting, likewise; `@FILE` reads it from a file, `@-` from standard input, `secret:NAME` is one of `berth secret`
    #[arg(long = "secret", value_name = "KEY=VALUE|KEY=@FILE|KEY=secret:NAME", value_parser = super::secret_setting)]
    pub(crate) secrets: Vec<(String, Secret)>,
    /// A setting or secret that it is to have no more; may be repeated
    #[arg(long = "unset", value_name = "KEY")]
    pub(crate) unset: Vec<String>,
    /// An argument for the server, after the catalog's own, in place of those there were; may be repeated
    #[arg(long = "arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
    /// No arguments but the catalog's own
    #[arg(long, conflicts_with = "arguments")]
    pub(crate) no_args: bool,
    /// A constraint for the install, such as `mcp<2`, in place of those there were; may be repeated
    #[arg(long = "constraint", value_name = "CONSTRAINT")]
    pub(crate) constraints: Vec<String>,
    /// No constraints but the catalog's own
    #[arg(long, conflicts_with = "constraints")]
    pub(crate) no_constraints: bool,
    /// Which clients share a process: `shared`, `per-principal`, `per-session` or `pool(N)`
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// When it sleeps.
    #[command(flatten)]
    pub(crate) sleep: super::SleepArgs,
    /// How much it may do on its host, in a container: `strict` or `standard`
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<Profile>,
    /// What it may reach on the network, in a container: `none`, `open`, or `allow=HOST[:PORT],…`
    #[arg(long, value_name = "EGRESS")]
    pub(crate) egress: Option<Egress>,
    /// What it may use.
    #[command(flatten)]
    pub(crate) limits: super::LimitArgs,
}

/// How a change goes on.
#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// Show what is different and wait for `berth changes NAME --switch` before it takes the instance's place
    #[arg(long)]
    pub(crate) review: bool,
    /// Wait until it has, showing each step
    #[arg(long)]
    pub(crate) wait: bool,
}

/// `berth rollback`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth rollback clock --wait
  berth rollback clock --to 3")]
pub(crate) struct RollbackArgs {
    /// Name of the instance
    pub(crate) name: String,
    /// Number of the change to go back to, from `berth changes`; default: what it was last
    #[arg(long, value_name = "NUMBER")]
    pub(crate) to: Option<u64>,
    /// How it goes on.
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

/// `berth changes`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth changes clock
  berth changes clock --switch 4
  berth changes clock --drop 4")]
pub(crate) struct ChangesArgs {
    /// Name of the instance
    pub(crate) name: String,
    /// Let this change, which is `ready`, take the instance's place
    #[arg(long, value_name = "NUMBER")]
    pub(crate) switch: Option<u64>,
    /// Give this change up
    #[arg(long, value_name = "NUMBER", conflicts_with = "switch")]
    pub(crate) drop: Option<u64>,
}
