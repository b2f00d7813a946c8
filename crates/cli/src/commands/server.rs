//! `berth server`: control plane and gateway in one process.

use std::net::SocketAddr;

use control::{Config, DigitalOcean, LocalEnvironment, LocalWay, Public, Registries, StartError};
use domain::secret::Secret;
use hop::serve::Listener;

use super::child;
use crate::args::{Connection, ControlArgs, ReachChoice, ServerArgs};
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::supervisor;

/// Serves until it is told to stop.
pub(crate) async fn run(args: ServerArgs, connection: &Connection) -> Result<(), CliError> {
    child::end_with_parent(&args.child)?;
    child::log()?;
    child::allow_many_files();
    let stop = child::stop_on_signals()?;
    let listener = child::listener(&args.child, args.listen, "--listen")?;
    let data = DataDir::or_default(connection.data.as_deref()).create()?;
    let address =
        listener.local_addr().map_err(|e| CliError::because("cannot tell the address listened on", e))?;
    let https = args.public.https_listen;
    let https =
        https.map(|https| child::second_listener(&args.child, https, "--https-listen")).transpose()?;
    let https_address = https.as_ref().map(tokio::net::TcpListener::local_addr).transpose();
    let https_address =
        https_address.map_err(|e| CliError::because("cannot tell the address listened on", e))?;
    let front = super::public::front(&args.public, &data, address, https_address)?;
    let mut listeners = vec![Listener::Tcp(listener)];
    listeners.extend(https.zip(front.tls).map(|(listener, tls)| Listener::Tls(listener, tls)));
    // A machine whose DTMA was never enrolled is no environment.
    let local = super::dtma::token(&data).is_some().then_some(args.dtma);
    let registries = super::public::registries(&args.public)?;
    let public = (front.public, registries);
    let mut config = config(&data, args.database.as_ref(), &args.control, public, local)?;
    config.own_urls.push(format!("http://{}", child::reachable(address)));
    config.acme = front.acme;
    config.proxies = control::Proxies(args.public.trusted_proxies.clone());
    if args.public.allow_private_upstreams {
        config.outside = fetch::Reach::Everywhere;
    }
    config.heartbeat = args.heartbeat.period();
    args.control.apply(&mut config)?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "others reach this address over plain HTTP: API tokens can be read on the way");
    }
    tracing::info!(
        url = config.public.url(),
        pin = config.public.pin().map(tracing::field::display),
        "the address that others use"
    );
    if let Some(address) = args.public.http_redirect {
        let listener = child::to_tokio(supervisor::bind(address, "--http-redirect")?, address)?;
        let public = config.public.clone();
        tokio::spawn(control::redirect(Listener::Tcp(listener), public, stop.clone()));
    }
    control::run(config, listeners, stop).await.map_err(failure)
}

/// What the control plane must be told; the same for the first start and for every other. `dtma` is where this
/// machine's DTMA listens.
///
/// # Errors
/// When what the environment says of DigitalOcean cannot be used.
pub(crate) fn config(
    data: &DataDir,
    database: Option<&Secret>,
    control: &ControlArgs,
    (public, registries): (Public, Registries),
    dtma: Option<SocketAddr>,
) -> Result<Config, CliError> {
    Ok(Config {
        database: database.map(|database| database.expose().to_owned()),
        registries,
        local: dtma.map(|dtma| LocalEnvironment {
            dtma,
            sockets: data.dtma().join("sockets"),
            token: super::dtma::token(data),
        }),
        allowed_origins: control.origins.clone(),
        local_way: match control.reach {
            None | Some(ReachChoice::Socket) => LocalWay::Socket,
            Some(ReachChoice::Dtma) => LocalWay::Dtma,
            Some(ReachChoice::Http2) => LocalWay::DtmaHttp2,
        },
        digitalocean: digitalocean()?,
        master_key: super::key::given()?,
        give_back: ::runtime::memory::give_back,
        ..Config::new(data.control(), public)
    })
}

/// Where droplets are made, when the environment says so.
fn digitalocean() -> Result<Option<DigitalOcean>, CliError> {
    match digitalocean::Settings::from_env() {
        Ok(settings) => Ok(Some(DigitalOcean::new(settings))),
        Err(digitalocean::SettingsError::NoToken) => Ok(None),
        Err(error) => Err(CliError::usage(error.to_string())),
    }
}

/// Why the control plane did not start.
pub(crate) fn failure(error: StartError) -> CliError {
    CliError::because("the control plane cannot start", error)
}
