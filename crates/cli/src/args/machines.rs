//! What can be typed about other machines: `berth env …` and `berth dtma enrol`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::ids::EnvironmentId;
use dtma::Proxy;
use hop::tls::Pin;

use crate::settings::PROXY_VARIABLE;

use super::{InstallArgs, PackagesChoice, UpgradeArgs};

/// `berth env …`.
#[derive(Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// List the machines
    #[command(visible_alias = "ls")]
    List,
    /// Show everything about one machine
    Show {
        /// Name of the environment
        name: String,
    },
    /// Show what a machine's host agent itself says since it was started; what its servers say is in `berth logs`
    Logs {
        /// Name of the environment
        name: String,
        /// Go on with new lines as they come
        #[arg(long, short)]
        follow: bool,
        /// How many of the last lines, of which the host agent keeps 2000
        #[arg(long, short = 'n', value_name = "LINES", default_value_t = 100)]
        tail: u32,
    },
    /// Show what of a machine does for an environment and what does not, with what to do; exit code 1 when something fails
    Check {
        /// Name of the environment
        name: String,
    },
    /// Make another machine an environment
    #[command(subcommand)]
    Add(EnvAddCommand),
    /// Show what a machine that is made elsewhere can be, and what it costs
    #[command(subcommand)]
    Options(EnvOptionsCommand),
    /// Show droplets that carry Berth's tags and are no environment's, and destroy one
    Strays {
        /// Number of the one to destroy
        #[arg(long, value_name = "ID")]
        destroy: Option<u64>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Print the line that makes a host this environment, or makes it one again, for an admin: good for an hour and one host
    Enrol {
        /// Name of the environment
        name: String,
    },
    /// Take away what a machine's host agent may do: its token opens nothing any more, its tunnel closes
    Revoke {
        /// Name of the environment
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Print the token of a machine's host agent, for an admin; each time is noted in the audit
    Token {
        /// Name of the environment
        name: String,
    },
    /// Give a machine another name; the addresses of its instances stay
    Rename {
        /// Name of the environment
        name: String,
        /// Its new name
        new: String,
    },
    /// Let a machine take no new instances; those that it has go on
    Cordon {
        /// Name of the environment
        name: String,
    },
    /// Let a machine take new instances again
    Uncordon {
        /// Name of the environment
        name: String,
    },
    /// Cordon a machine and move its instances to others; says which stay, and why
    Drain {
        /// Name of the environment
        name: String,
        /// Wait until those that left run elsewhere
        #[arg(long)]
        wait: bool,
    },
    /// Label a machine, for `berth deploy --env auto --env-label KEY=VALUE`
    #[command(after_help = "Examples:
  berth env label workshop gpu=yes
  berth env label workshop gpu-      (takes it away)")]
    Label {
        /// Name of the environment
        name: String,
        /// Labels to set, as KEY=VALUE, and to take away, as KEY-
        #[arg(required = true, value_name = "KEY=VALUE|KEY-", value_parser = label)]
        labels: Vec<(String, Option<String>)>,
    },
    /// Replace the host agents of machines by the program that the control plane is, in waves; without names, how far that is
    #[command(after_help = "Examples:
  berth env upgrade workshop --wait
  berth env upgrade --all --wave 1,25%,100% --wait")]
    Upgrade {
        /// Names of environments, in this order
        #[arg(conflicts_with = "all")]
        names: Vec<String>,
        /// All that can be upgraded, report and are another program
        #[arg(long)]
        all: bool,
        /// How many are done when each wave is: a number, or a share of all
        #[arg(long, value_name = "N|N%", value_delimiter = ',', default_value = "1,25%,100%")]
        wave: Vec<String>,
        /// Wait until all are done, or one failed
        #[arg(long)]
        wait: bool,
    },
    /// Remove from a machine what no instance needs, nor the way back: images and packages that Berth fetched, copies of
    /// its own binary, ended containers, its network
    Cleanup {
        /// Name of the environment
        name: String,
        /// Only show what would be removed
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Remove a machine that has no instances; a droplet that Berth made is destroyed, however far it is
    #[command(visible_alias = "rm")]
    Remove {
        /// Name of the environment
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Do not wait until a droplet is destroyed
        #[arg(long)]
        no_wait: bool,
    },
}

/// `berth env add …`.
#[derive(Debug, Subcommand)]
pub(crate) enum EnvAddCommand {
    /// A Linux host that is there: its host agent opens a tunnel to this control plane, or is dialled at `--address`
    #[command(after_help = "Examples:
  berth env add host --name workshop
  berth env add host --name frankfurt --address 10.0.0.5:30000 --host-pin sha256//…")]
    Host(AddHostArgs),
    /// A droplet that Berth makes at DigitalOcean; without region and size, what there is and what it costs
    #[command(
        name = "digitalocean",
        after_help = "The control plane needs DIGITALOCEAN_TOKEN in its environment.

Examples:
  berth env options digitalocean
  berth env add digitalocean --name frankfurt --region fra1 --size s-1vcpu-1gb"
    )]
    DigitalOcean(AddDropletArgs),
}

/// `berth env options …`.
#[derive(Debug, Subcommand)]
pub(crate) enum EnvOptionsCommand {
    /// Regions, sizes with their prices, images and SSH keys, as DigitalOcean has them now
    #[command(name = "digitalocean")]
    DigitalOcean,
}

/// `berth env add digitalocean`.
#[derive(Debug, Args)]
pub(crate) struct AddDropletArgs {
    /// Name of the environment; the droplet is called `berth-NAME`
    #[arg(long)]
    pub(crate) name: String,
    /// Where it is to be, such as `fra1`
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// How large it is to be, such as `s-1vcpu-1gb`
    #[arg(long)]
    pub(crate) size: Option<String>,
    /// What it starts from; default: `debian-13-x64`
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// Name, number or fingerprint of an SSH key of the DigitalOcean account that its root lets in; may be given again
    #[arg(long = "ssh-key", value_name = "KEY")]
    pub(crate) ssh_keys: Vec<String>,
    /// Let SSH in from everywhere; otherwise no port is open
    #[arg(long, requires = "ssh_keys")]
    pub(crate) allow_ssh: bool,
    /// Do not ask whether this control plane answers at its public address
    #[arg(long)]
    pub(crate) no_check: bool,
    /// Do not wait until it reports
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// `berth env add host`.
#[derive(Debug, Args)]
pub(crate) struct AddHostArgs {
    /// Name of the environment
    #[arg(long)]
    pub(crate) name: String,
    /// Where its host agent will listen and this control plane dials it; default: nowhere, it opens a tunnel
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) address: Option<String>,
    /// Key of the host agent there, which serves TLS, as `berth dtma pin` prints it on the host
    #[arg(long, value_name = "PIN", requires = "address", conflicts_with = "insecure_http")]
    pub(crate) host_pin: Option<Pin>,
    /// Do not ask whether this control plane answers at its public address
    #[arg(long)]
    pub(crate) no_check: bool,
    /// Speak to that address without encryption: whoever is between reads its token and the secrets of its servers
    #[arg(long)]
    pub(crate) insecure_http: bool,
}

/// `berth dtma …`.
#[derive(Debug, Subcommand)]
pub(crate) enum DtmaCommand {
    /// Make this machine an environment, with the one-time token of `berth env enrol`: looks whether it can be one, enrols it,
    /// installs the service and waits for its first report
    #[command(
        after_help = "The line that `berth env enrol NAME` prints fetches this program and calls this. By hand, as root:
  berth dtma join --control-url https://berth.example.com --token-file token.txt"
    )]
    Join(JoinArgs),
    /// Look whether this machine can be an environment, and say what to do where it cannot; changes nothing
    Check(CheckArgs),
    /// Make this machine an environment of a control plane: writes its id, token and control plane to the data directory
    #[command(after_help = "Example, on the machine that `berth env add` was used on:
  berth env token frankfurt | ssh root@10.0.0.5 berth dtma enrol --environment ID --control-url URL --token-file -")]
    Enrol(EnrolArgs),
    /// Print the pin of this host's own key, by which a control plane knows it that dials it; made when there is none
    Pin,
    /// Make the host agent a service of this host: systemd starts it, and holds its socket
    Install(InstallArgs),
    /// Replace the service's binary without a refused connection; one that does not work is taken back
    Upgrade(UpgradeArgs),
    /// Take the service away again; instances and data stay
    Uninstall,
}

/// `berth dtma enrol`.
#[derive(Debug, Args)]
pub(crate) struct EnrolArgs {
    /// Id of the environment, as `berth env add` and `berth env show` print it
    #[arg(long, value_name = "ID")]
    pub(crate) environment: EnvironmentId,
    /// Address of the control plane, as this machine reaches it
    #[arg(long, value_name = "URL")]
    pub(crate) control_url: String,
    /// File with the environment's token, as `berth env token` prints it; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,
    /// Proxy through which this host reaches the control plane, npm and PyPI, where it has no other way out:
    /// `http://[USER:PASSWORD@]HOST:PORT`; it is kept beside the token
    #[arg(long, value_name = "URL", env = PROXY_VARIABLE, hide_env_values = true)]
    pub(crate) proxy: Option<Proxy>,
}

/// `berth dtma join`. The data directory is `--data`, by default `/var/lib/berth`.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Address of the control plane, as this machine reaches it
    #[arg(long, value_name = "URL")]
    pub(crate) control_url: String,
    /// File with the one-time token, as `berth env enrol` prints it; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,
    /// Speak to the control plane, or let it speak to this host, without encryption: whoever is between reads tokens and
    /// secrets
    #[arg(long)]
    pub(crate) insecure_http: bool,
    /// On Debian and Ubuntu, install what is missing: Docker, Node with npm, Python 3 with pip, nftables
    #[arg(long)]
    pub(crate) install_missing: bool,
    /// Enrol only: install no service, and say how to start the host agent
    #[arg(long)]
    pub(crate) no_service: bool,
    /// Proxy through which this host reaches the control plane, npm and PyPI, where it has no other way out:
    /// `http://[USER:PASSWORD@]HOST:PORT`; it is kept beside the token
    #[arg(long, value_name = "URL", env = PROXY_VARIABLE, hide_env_values = true)]
    pub(crate) proxy: Option<Proxy>,
    /// Where packages of npm and PyPI and container images come from, for a host that reaches no registries
    #[arg(long, value_enum)]
    pub(crate) packages: Option<PackagesChoice>,
}

/// `berth dtma check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Address of a control plane that this machine is to reach
    #[arg(long, value_name = "URL")]
    pub(crate) control_url: Option<String>,
    /// Proxy through which this host reaches the control plane, npm and PyPI, where it has no other way out:
    /// `http://[USER:PASSWORD@]HOST:PORT`; it is kept beside the token
    #[arg(long, value_name = "URL", env = PROXY_VARIABLE, hide_env_values = true)]
    pub(crate) proxy: Option<Proxy>,
}

/// `KEY=VALUE`, or `KEY-` to take it away.
fn label(text: &str) -> Result<(String, Option<String>), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), Some(value.to_owned()))),
        None => match text.strip_suffix('-') {
            Some(key) => Ok((key.to_owned(), None)),
            None => Err("a label is written KEY=VALUE, or KEY- to take it away".to_owned()),
        },
    }
}
