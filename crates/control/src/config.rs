//! What the control plane must be told. It reads no flag, no environment variable and no file of settings itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use domain::provisioning::Limits;
use domain::rate::Rate;
use domain::secret::Secret;

use crate::acme::Acme;
use crate::app::relay::Registries;
use crate::auth::issuers::Issuer;
use crate::auth::oidc::Oidc;
use crate::proxies::Proxies;
use crate::public::Public;
use crate::receivers::Receivers;
use crate::secrets::GivenKey;

/// What [`crate::run`] and [`crate::setup`] need.
#[derive(Debug, Clone)]
pub struct Config {
    /// The control plane's own directory (`{data}/control`, mode 0700): database and master key.
    pub data: PathBuf,
    /// A database other than `berth.db` in [`Config::data`]: a path, `sqlite:PATH` or `postgres://…`.
    pub database: Option<String>,
    /// The address that others use.
    pub public: Public,
    /// Further addresses that lead here, without a path, such as this machine's own `http://127.0.0.1:8420`.
    pub own_urls: Vec<String>,
    /// Proxies before it, whose word counts for who calls and how.
    pub proxies: Proxies,
    /// The authority that is asked for a certificate of the public address.
    pub acme: Option<Acme>,
    /// Where packages are fetched from for hosts that cannot.
    pub registries: Registries,
    /// How far documents are fetched from, and authorization servers asked, that MCP clients and servers elsewhere name.
    pub outside: fetch::Reach,
    /// The environment of this machine, when there is one.
    pub local: Option<LocalEnvironment>,
    /// Further origins whose pages may call MCP addresses (CORS), such as `https://app.example.com`.
    pub allowed_origins: Vec<String>,
    /// How calls reach instances of this machine. For measurements; the default is the shorter way.
    pub local_way: LocalWay,
    /// How often DTMAs report; one that was silent for three times as long is unresponsive.
    pub heartbeat: Duration,
    /// Where droplets are made, when there is an account for that.
    pub digitalocean: Option<DigitalOcean>,
    /// What hosts are upgraded to, when it is not the own program; for tests.
    pub upgrade_program: Option<PathBuf>,
    /// Who is told of what is broken.
    pub receivers: Receivers,
    /// How often MCP servers may be called.
    pub rates: Rates,
    /// Gives memory that is free back to the host; called before something large is allocated that stays and is hardly written to.
    pub give_back: fn(),
    /// Others whose tokens are taken.
    pub issuers: Vec<Issuer>,
    /// Who vouches for people that sign in.
    pub oidc: Option<Oidc>,
    /// For how long lines of the audit are kept; absent: for ever.
    pub audit_keep: Option<Duration>,
    /// Whether the audit of calls has the calls' parameters, without the values of the instance's secrets.
    pub audit_arguments: bool,
    /// How much an account may have.
    pub quotas: Quotas,
    /// The master key, when it does not lie in a file of [`Config::data`].
    pub master_key: Option<GivenKey>,
}

/// How much each account may have; absent: as much as it likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Instances, stopped ones among them.
    pub instances: Option<u64>,
    /// Memory of all of them together, in MiB: what each may use, or what is usual where nobody said.
    pub memory_mib: Option<u64>,
}

/// How often MCP servers may be called; absent: as often as anybody likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// With each API token.
    pub token: Option<Rate>,
    /// In each account.
    pub account: Option<Rate>,
    /// Each instance.
    pub instance: Option<Rate>,
}

impl Config {
    /// Of a control plane without a machine of its own, with the usual times, and nothing that must be asked for.
    pub fn new(data: PathBuf, public: Public) -> Self {
        Self {
            data,
            database: None,
            public,
            own_urls: Vec::new(),
            proxies: Proxies::default(),
            acme: None,
            registries: Registries::default(),
            outside: fetch::Reach::Internet,
            local: None,
            allowed_origins: Vec::new(),
            local_way: LocalWay::Socket,
            heartbeat: api::dtma::HEARTBEAT_PERIOD,
            digitalocean: None,
            receivers: Receivers::default(),
            upgrade_program: None,
            rates: Rates::default(),
            give_back: || {},
            issuers: Vec::new(),
            oidc: None,
            audit_keep: None,
            audit_arguments: false,
            quotas: Quotas::default(),
            master_key: None,
        }
    }
}

/// Where droplets are made, and how long that may take.
#[derive(Debug, Clone)]
pub struct DigitalOcean {
    /// The API and its token: one for the whole installation.
    pub settings: digitalocean::Settings,
    /// How long each step may take.
    pub limits: Limits,
    /// Between two looks at the provider, while nothing is under way. While something is, a third of it.
    pub period: Duration,
}

impl DigitalOcean {
    /// With the usual times.
    pub fn new(settings: digitalocean::Settings) -> Self {
        Self { settings, limits: Limits::default(), period: Duration::from_secs(15) }
    }
}

/// The environment of this machine.
#[derive(Debug, Clone)]
pub struct LocalEnvironment {
    /// Where its DTMA listens.
    pub dtma: SocketAddr,
    /// The directory that holds a directory with a socket for each instance (`{data}/dtma/sockets`).
    pub sockets: PathBuf,
    /// The token between the DTMA and the control plane, when the DTMA has one already; absent: one is made.
    pub token: Option<Secret>,
}

/// How calls reach instances of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LocalWay {
    /// The gateway opens the shim's socket itself: two hops.
    #[default]
    Socket,
    /// Through the DTMA, as to any other host: three hops.
    Dtma,
    /// As that, over HTTP/2.
    DtmaHttp2,
}
