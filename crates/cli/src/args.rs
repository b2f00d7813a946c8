//! What can be typed: the whole command line, as clap reads it. Nothing is decided here, and nothing is read but
//! the arguments and the two environment variables.

mod agent;
mod alerts;
mod audit;
mod authorize;
mod backup;
mod catalog;
mod changes;
mod child;
mod choices;
mod connect;
mod control;
mod dtma;
mod events;
mod import;
mod issuers;
mod key;
mod limits;
mod machines;
mod moves;
mod oauth;
mod oidc;
mod people;
mod public;
mod quotas;
mod rates;
mod registry;
mod rule;
mod secret;
mod service;
mod token;
mod toolbelt;
mod top;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::catalog::Transport;
use domain::container::{Health, Port, Profile, Volume};
use domain::egress::Egress;
use domain::secret::Secret;
use hop::tls::Pin;

pub(crate) use self::alerts::{AlertArgs, AlertsArgs, AlertsCommand};
pub(crate) use self::audit::{AuditArgs, AuditKeepArgs};
pub(crate) use self::authorize::AuthorizeArgs;
pub(crate) use self::backup::{BackupArgs, RestoreArgs};
pub(crate) use self::catalog::{CatalogCommand, SearchArgs, SortChoice};
pub(crate) use self::changes::{
    ChangesArgs, ConfigureArgs, HowArgs, InstanceUpgradeArgs, RollbackArgs, WhatArgs,
};
pub(crate) use self::child::{ChildArgs, HeartbeatArgs};
pub(crate) use self::choices::{PackagesChoice, ReachChoice, RuntimeChoice};
pub(crate) use self::connect::ConnectArgs;
pub(crate) use self::control::ControlArgs;
pub(crate) use self::dtma::DtmaArgs;
pub(crate) use self::events::EventsArgs;
pub(crate) use self::issuers::IssuerArgs;
pub(crate) use self::limits::{LimitArgs, SleepArgs};
pub(crate) use self::machines::{
    AddDropletArgs, AddHostArgs, CheckArgs, DtmaCommand, EnrolArgs, EnvAddCommand, EnvCommand,
    EnvOptionsCommand, JoinArgs,
};
pub(crate) use self::moves::{DeployFailoverArgs, FailoverArgs, MoveArgs};
pub(crate) use self::oauth::{ClientCommand, GrantCommand};
pub(crate) use self::oidc::OidcArgs;
pub(crate) use self::people::{
    AccountCommand, InviteCommand, MemberCommand, PasswordArgs, RecoverArgs, RoleChoice, SessionCommand,
};
pub(crate) use self::public::PublicArgs;
pub(crate) use self::service::{InstallArgs, UpgradeArgs};
pub(crate) use agent::{
    AgentCommand, AgentTokenCommand, CredentialCommand, GrantArgs, LevelChoice, RevokeArgs,
};
pub(crate) use import::{ImportCommand, LegacyArgs};
pub(crate) use key::{KeyArgs, KeyCommand};
pub(crate) use quotas::QuotaArgs;
pub(crate) use rates::RateArgs;
pub(crate) use registry::RegistryCommand;
pub(crate) use rule::{AddRuleArgs, EffectChoice, RuleCommand, SubjectArgs};
pub(crate) use secret::SecretCommand;
pub(crate) use token::TokenCommand;
pub(crate) use toolbelt::{ModeChoice, OnChangeChoice, SetArgs, ToolbeltCommand};
pub(crate) use top::TopArgs;

use crate::settings::{DATABASE_VARIABLE, PIN_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE};

/// Deploys MCP servers onto machines you own, and puts one authenticated address in front of each.
#[derive(Debug, Parser)]
#[command(name = "berth", version, propagate_version = false, max_term_width = 110)]
#[command(after_help = "Start with `berth up`, then `berth call welcome echo '{\"message\":\"hi\"}'`.")]
pub(crate) struct Cli {
    /// Which Berth is meant, and how it answers.
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Connection {
    /// Address of the control plane; default: what `berth up` wrote to the data directory
    #[arg(long, global = true, env = URL_VARIABLE, value_name = "URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// API token; better in the environment than on a command line that others can see
    #[arg(long, global = true, env = TOKEN_VARIABLE, value_name = "TOKEN", hide_env_values = true, value_parser = secret)]
    pub(crate) token: Option<Secret>,
    /// Key of the control plane, when no authority knows its certificate, as it prints it: `sha256//…`
    #[arg(long, global = true, env = PIN_VARIABLE, value_name = "PIN", hide_env_values = true)]
    pub(crate) tls_pin: Option<Pin>,
    /// Data directory; default: `berth-data` here or in a directory above
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The commands. One that is not built is not here.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run Berth on this machine: control plane, gateway and host agent
    Up(UpArgs),
    /// Run the control plane and the gateway alone
    Server(ServerArgs),
    /// Run the host agent (DTMA) alone
    Dtma(DtmaArgs),
    /// Look at the master key that seals stored secrets, or change it, on the control plane's machine
    #[command(subcommand)]
    Key(KeyCommand),
    /// Write all that the control plane knows to a file, on its own machine; it may run
    Backup(BackupArgs),
    /// Make a control plane of a backup, where none is
    Restore(RestoreArgs),
    /// Print a link that signs you in, on Berth's own machine, when nothing else does
    Recover(RecoverArgs),
    /// Take over what another platform has, on Berth's own machine
    #[command(subcommand)]
    Import(ImportCommand),
    /// What asks a control plane.
    #[command(flatten)]
    Ask(AskCommand),
    /// Run the shim of one instance; started by the DTMA
    #[command(hide = true)]
    Shim(ShimArgs),
    /// Serve the built-in `welcome` server on standard input and output
    #[command(name = "__welcome", hide = true)]
    Welcome,
}

/// The commands that ask a control plane.
#[derive(Debug, Subcommand)]
pub(crate) enum AskCommand {
    /// Deploy a server from the catalog, npm, PyPI, an image or this machine
    Deploy(Box<DeployArgs>),
    /// List the instances
    #[command(visible_alias = "ls")]
    List,
    /// Watch machines and instances: what they use and how they are called
    Top(TopArgs),
    /// Show everything about one instance
    Status(NameArgs),
    /// Show what an instance's server wrote to its standard error
    Logs(LogsArgs),
    /// Show what happened to an instance, newest first
    Events(EventsArgs),
    /// Start a stopped instance
    Start(NameArgs),
    /// Stop an instance and keep it stopped
    Stop(NameArgs),
    /// Restart an instance's server
    Restart(NameArgs),
    /// Remove an instance and all it stored
    #[command(visible_alias = "rm")]
    Remove(RemoveArgs),
    /// Make an instance another version, tried beside the old one first
    Upgrade(Box<InstanceUpgradeArgs>),
    /// Change an instance's settings, secrets, arguments or limits, in the same way
    Configure(Box<ConfigureArgs>),
    /// Make an instance what it was before
    Rollback(RollbackArgs),
    /// List what an instance was, and decide on what it may become
    Changes(ChangesArgs),
    /// Move an instance to another machine; its address stays
    Move(MoveArgs),
    /// Start an instance on another machine when its own is lost
    Failover(FailoverArgs),
    /// List the tools of an instance
    Tools(NameArgs),
    /// Call one tool of an instance
    Call(CallArgs),
    /// Let a person authorize Berth at the server of an instance that runs elsewhere
    Authorize(AuthorizeArgs),
    /// Print the configuration that connects an MCP client to an instance
    Connect(ConnectArgs),
    /// Put the tools of several instances behind one address
    #[command(subcommand)]
    Toolbelt(ToolbeltCommand),
    /// Look after AI agents: each has a toolbelt and tokens, and calls what it was granted
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Look into the catalog of servers, and say where it is read from
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Make, list and revoke API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// List and take back what people allowed MCP clients
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Register OAuth clients by hand
    #[command(subcommand)]
    Client(ClientCommand),
    /// Make and list accounts
    #[command(subcommand)]
    Account(AccountCommand),
    /// Look after who is in the account
    #[command(subcommand)]
    Member(MemberCommand),
    /// Let somebody into the account by a link
    #[command(subcommand)]
    Invite(InviteCommand),
    /// List and end the sessions of your browsers
    #[command(subcommand)]
    Session(SessionCommand),
    /// Say who may use what of the account's instances
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Keep, list and remove the account's secrets, which instances use by name
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Keep, list and forget logins of registries of container images
    #[command(subcommand)]
    Registry(RegistryCommand),
    /// Look after the machines that run instances
    #[command(subcommand)]
    Env(EnvCommand),
    /// Show what is broken, and what was lately; `berth alerts test` shows whether those who are told are reached
    Alerts(AlertsArgs),
    /// Show who did what, and when, newest first, or with `--calls` who called what; for an admin
    Audit(AuditArgs),
    /// Show whom the token speaks for
    Whoami,
    /// Set your password, with which you sign in to the pages
    Password(PasswordArgs),
}

/// `berth up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Address of pages, API and gateway; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8420")]
    pub(crate) listen: SocketAddr,
    /// Address of the host agent (DTMA); port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:30000")]
    pub(crate) dtma_listen: SocketAddr,
    /// Let the host agent be reached from other machines without encryption: whoever is between reads its token
    #[arg(long)]
    pub(crate) insecure_http: bool,
    /// What runs the servers
    #[arg(long, value_enum, default_value_t = RuntimeChoice::Auto)]
    pub(crate) runtime: RuntimeChoice,
    /// Database: a file, or `postgres://…`; default: `control/berth.db` in the data directory
    #[arg(long, value_name = "URL", env = DATABASE_VARIABLE, hide_env_values = true, value_parser = secret)]
    pub(crate) database: Option<Secret>,
    /// The address that others use.
    #[command(flatten)]
    pub(crate) public: PublicArgs,
    /// Everything else.
    #[command(flatten)]
    pub(crate) control: ControlArgs,
    /// How often host agents report.
    #[command(flatten)]
    pub(crate) heartbeat: HeartbeatArgs,
}

/// `berth server`.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Address of pages, API and gateway; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8420")]
    pub(crate) listen: SocketAddr,
    /// Address of this machine's own DTMA, whose token lies in the data directory
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:30000")]
    pub(crate) dtma: SocketAddr,
    /// Database: a file, or `postgres://…`; default: `control/berth.db` in the data directory
    #[arg(long, value_name = "URL", env = DATABASE_VARIABLE, hide_env_values = true, value_parser = secret)]
    pub(crate) database: Option<Secret>,
    /// The address that others use.
    #[command(flatten)]
    pub(crate) public: PublicArgs,
    /// Everything else.
    #[command(flatten)]
    pub(crate) control: ControlArgs,
    /// How often host agents report.
    #[command(flatten)]
    pub(crate) heartbeat: HeartbeatArgs,
    /// How the supervisor started it.
    #[command(flatten)]
    pub(crate) child: ChildArgs,
}

/// `berth shim`.
#[derive(Debug, Args)]
pub(crate) struct ShimArgs {
    /// Socket that gives the configuration; default: it comes on standard input
    #[arg(long, value_name = "PATH")]
    pub(crate) config_socket: Option<PathBuf>,
}

/// `berth deploy`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth deploy everything --wait
  berth deploy npm:@modelcontextprotocol/server-everything --name everything --wait
  berth deploy pypi:mcp-server-time@2026.10.19 --name clock --set timezone=Europe/Berlin
  berth deploy oci:ghcr.io/owner/mcp-server:1.2 --wait
  berth deploy oci:ghcr.io/owner/http-server:1.2 --transport http --port 8000 --wait
  berth deploy oci:redis:7 --tool --publish 6379:6379 --volume data:/data --health tcp:6379 --wait
  berth deploy npm:some-server --secret API_KEY=@key.txt
  berth deploy file:./my-server --wait            (an executable, or a directory with one; `berth restart` takes it anew)
  berth deploy file:./my-http-server --transport http --arg=--port={port} --wait
  berth deploy https://mcp.example.com/mcp --name elsewhere --secret Authorization=@header.txt --wait")]
pub(crate) struct DeployArgs {
    /// A catalog name, `npm:PKG[@VERSION]`, `pypi:PKG[@VERSION]`, `oci:IMAGE` for a container image, `file:PATH` for a server on Berth's own machine, or
    /// `https://…` for one that runs elsewhere, whose settings and secrets are headers
    pub(crate) server: String,
    /// Name of the instance; default: made from the server's
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Environment that it runs in, or `auto` for the one with most room; default: `local`
    #[arg(long = "env", value_name = "ENVIRONMENT")]
    pub(crate) environment: Option<String>,
    /// A label that the environment of `--env auto` must have, such as `region=fra1`; may be repeated
    #[arg(long = "env-label", value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) environment_labels: Vec<(String, String)>,
    /// Exact version, of an image a tag or a digest; default: the catalog's, or the newest
    #[arg(long)]
    pub(crate) version: Option<String>,
    /// A setting; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// A secret setting; `@FILE` reads it from a file, `@-` from standard input, `secret:NAME` is one of `berth secret`; may be repeated
    #[arg(long = "secret", value_name = "KEY=VALUE|KEY=@FILE|KEY=secret:NAME", value_parser = secret_setting)]
    pub(crate) secrets: Vec<(String, Secret)>,
    /// A setting that each caller brings for themselves with `berth secret own`; may be repeated
    #[arg(long = "each-caller", value_name = "KEY")]
    pub(crate) each_caller: Vec<String>,
    /// An argument for the server, after the catalog's own; may be repeated
    #[arg(long = "arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
    /// A further constraint for the install, such as `mcp<2`; may be repeated
    #[arg(long = "constraint", value_name = "CONSTRAINT")]
    pub(crate) constraints: Vec<String>,
    /// How messages reach the server; default: the catalog's, else standard input and output
    #[arg(long, value_enum)]
    pub(crate) transport: Option<TransportChoice>,
    /// Where a server that serves HTTP takes messages; default: `/mcp`, of HTTP+SSE `/sse`
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// Port on which an image's server serves HTTP whatever it is told
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Which clients share a process: `shared`, `per-principal`, `per-session` or `pool(N)`; default: the catalog's, else
    /// `per-principal`
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// End a session with the process that served it, for servers that keep state for each
    #[arg(long)]
    pub(crate) strict_sessions: bool,
    /// When it sleeps.
    #[command(flatten)]
    pub(crate) sleep: SleepArgs,
    /// It is a container tool and no MCP server: its image's own command runs
    #[arg(long)]
    pub(crate) tool: bool,
    /// Publish a port of a container tool on its host, on 127.0.0.1 unless an address is given; may be repeated
    #[arg(long, value_name = "[ADDR:]HOST:CONTAINER[/udp]")]
    pub(crate) publish: Vec<Port>,
    /// Keep a directory of a container tool until the instance is removed; may be repeated
    #[arg(long = "volume", value_name = "NAME:/PATH")]
    pub(crate) volumes: Vec<Volume>,
    /// How a container tool is known to work, from inside its container; default: its process lives
    #[arg(long, value_name = "tcp:PORT|http:PORT/PATH")]
    pub(crate) health: Option<Health>,
    /// How much it may do on its host, in a container: `strict` or `standard`
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<Profile>,
    /// What it may reach on the network, in a container: `none`, `open`, or `allow=HOST[:PORT],…`, where HOST is a name,
    /// `*.SUFFIX`, an IPv4 address or `ADDRESS/BITS`
    #[arg(long, value_name = "EGRESS")]
    pub(crate) egress: Option<Egress>,
    /// What it may use.
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// What happens when its host is lost.
    #[command(flatten)]
    pub(crate) failover: DeployFailoverArgs,
    /// Wait until it runs, showing each step
    #[arg(long)]
    pub(crate) wait: bool,
}

/// How messages reach a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportChoice {
    /// Standard input and output
    Stdio,
    /// Streamable HTTP, on the port that the server finds in `PORT` or in the place of `{port}`
    Http,
    /// HTTP+SSE of 2024-11-05, likewise
    Sse,
}

impl TransportChoice {
    pub(crate) fn transport(self) -> Transport {
        match self {
            Self::Stdio => Transport::Stdio,
            Self::Http => Transport::Http,
            Self::Sse => Transport::Sse,
        }
    }
}

/// A command on one instance.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Name of the instance
    pub(crate) name: String,
}

/// `berth logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Name of the instance
    pub(crate) name: String,
    /// Go on with new lines as they come
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How many of the last lines
    #[arg(long, short = 'n', value_name = "LINES", default_value_t = 100)]
    pub(crate) tail: u32,
}

/// `berth remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Name of the instance
    pub(crate) name: String,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `berth call`.
#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// Name of the instance
    pub(crate) name: String,
    /// Name of the tool; `berth tools NAME` lists them
    pub(crate) tool: String,
    /// The tool's arguments as a JSON object; `@FILE` reads them from a file, `-` from standard input
    #[arg(value_name = "JSON", default_value = "{}", allow_hyphen_values = true)]
    pub(crate) arguments: String,
}

#[expect(clippy::unnecessary_wraps, reason = "what clap calls may fail")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// An origin as browsers send it (RFC 6454 §6.2): scheme, host and a port that is not the scheme's own.
fn origin(text: &str) -> Result<String, &'static str> {
    let text = text.to_ascii_lowercase();
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/?#@*".contains(c)) {
        return Err("write scheme and host alone, such as https://app.example.com or http://localhost:5173");
    }
    Ok(text)
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

/// The text itself is not repeated in the error: it may be the secret.
pub(crate) fn secret_setting(text: &str) -> Result<(String, Secret), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), Secret::new(value))),
        _ => Err("write it as KEY=VALUE or KEY=@FILE"),
    }
}

/// Cores as people write them, in thousandths: `2`, `0.5`, `.25`.
fn millicores(text: &str) -> Result<u64, &'static str> {
    let parsed = || {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + part.len() == 0 || !is_number(whole) || !is_number(part) || 3 < part.len() {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
        format!("{part:0<3}").parse::<u64>().ok()?.checked_add(whole.checked_mul(1000)?)
    };
    parsed().ok_or("write a number of cores with at most three decimals, such as `2` or `0.5`")
}

/// `90s`, `15m`, `12h`, `30d`, `4w`; a bare number is seconds.
fn duration_seconds(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err("write a number with one of s, m, h, d, w, such as `30d`".to_owned()),
    };
    match digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit)) {
        Some(seconds) if 0 < seconds => Ok(seconds),
        _ => Err("write a number above 0 with one of s, m, h, d, w, such as `30d`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn cores() {
        for (text, expected) in [
            ("2", Some(2000)),
            ("0.5", Some(500)),
            (".25", Some(250)),
            ("1.", Some(1000)),
            ("0.001", Some(1)),
            ("0.0001", None),
            ("", None),
            (".", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("1.2.3", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(millicores(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in
            [("90", Some(90)), ("90s", Some(90)), ("2h", Some(7200)), ("30d", Some(2_592_000))]
        {
            assert_eq!(duration_seconds(text).ok(), seconds, "{text}");
        }
        for text in ["", "d", "0d", "-1d", "1y", "99999999999999999999d", "1.5h"] {
            assert!(duration_seconds(text).is_err(), "{text}");
        }
    }
}
