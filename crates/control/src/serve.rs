//! The process: JSON API and gateway on each listener, reconcilers beside them.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use gateway::Gateway;
use hop::passed;
use hop::serve::Listener;
use http::{HeaderMap, Request, Response};
use http_body_util::Either;
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::acme::{self, AcmeStatus};
use crate::app::App;
use crate::config::Config;
use crate::directory::LiveDirectory;
use crate::dtma_client::DtmaClient;
use crate::events::Hub;
use crate::hosts::Hosts;
use crate::metrics::Metrics;
use crate::provider::Provider;
use crate::proxies::{Proxies, Seen};
use crate::public::Public;
use crate::setup::{StartError, fill_catalog, open};
use crate::tasks::{self, Statuses};

/// Serves until `stop` is cancelled; what is under way then has five seconds.
///
/// The rows that [`crate::setup`] makes should be there; without an account nobody can do anything here.
///
/// # Errors
/// Any [`StartError`], before anything is served.
pub async fn run(
    config: Config,
    listeners: Vec<Listener>,
    stop: CancellationToken,
) -> Result<(), StartError> {
    let app = assemble(&config, stop.clone()).await?;
    let front = Front {
        router: crate::http::router(Arc::clone(&app)),
        gateway: Arc::clone(&app.gateway),
        app: Arc::clone(&app),
        proxies: Arc::new(config.proxies.clone()),
        from: None,
    };
    if let (Some(acme), Some(status)) = (&config.acme, &app.acme) {
        // What it does while the process ends is begun anew by the next.
        tokio::spawn(acme::run(acme.clone(), Arc::clone(status), stop.clone()));
    }
    let store = app.store.clone();
    let (keep, kept) = (config.audit_keep, Arc::clone(&app));
    tokio::spawn(async move { crate::app::audit::keep(&kept, keep).await });
    let kept = Arc::clone(&app);
    tokio::spawn(async move { crate::app::oauth::keeper::keep(&kept).await });
    let (counts, counted) = (Arc::clone(&app), Arc::clone(&app));
    let counting = tokio::spawn(async move { crate::app::metrics::keep(&counts).await });
    let (ended, writes) = (CancellationToken::new(), Arc::clone(&app));
    let no_more = ended.clone();
    let written = tokio::spawn(async move { crate::app::calls::write(&writes, no_more).await });
    let (seals, until) = (Arc::clone(&app), stop.clone());
    tokio::spawn(async move { crate::rewrap::resume(&seals.store, &seals.keys, &until).await });
    let (belts, toolbelts) = (Arc::clone(&app), config.data.join("toolbelts"));
    let belts = tokio::spawn(async move { belts.belts.keep(&belts, toolbelts).await });
    let reconcilers = tokio::spawn(tasks::run(app));
    let served = listeners.into_iter().map(|listener| {
        let (is_tls, front) = (matches!(listener, Listener::Tls(..)), front.clone());
        let each =
            move |peer: Option<SocketAddr>| Front { from: peer.map(|peer| (peer, is_tls)), ..front.clone() };
        hop::serve::serve_each(listener, each, stop.clone().cancelled_owned())
    });
    futures_util::future::join_all(served).await;
    // Every call has ended, so every line was put down.
    ended.cancel();
    if let Err(error) = written.await {
        tracing::error!(%error, "the audit of calls ended by a panic");
    }
    if let Err(error) = counting.await {
        tracing::error!(%error, "the writing of metrics ended by a panic");
    }
    // Now nothing is counted any more.
    crate::app::metrics::finish(&counted).await;
    drop(counted);
    if let Err(error) = belts.await {
        tracing::error!(%error, "the keeping of toolbelts ended by a panic");
    }
    if let Err(error) = reconcilers.await {
        tracing::error!(%error, "a reconciler ended by a panic");
    }
    store.close().await;
    Ok(())
}

/// Everything but the listener and the reconcilers.
///
/// # Errors
/// Any [`StartError`].
pub(crate) async fn assemble(config: &Config, stop: CancellationToken) -> Result<Arc<App>, StartError> {
    let (store, keys) = open(config).await?;
    fill_catalog(&store).await?;
    crate::app::oauth::keeper::first_key(&store, &keys).await?;
    let directory = Arc::new(LiveDirectory::new(store.clone(), Arc::clone(&keys), config));
    directory.refresh().await.map_err(StartError::Store)?;
    let provider =
        config.digitalocean.clone().map(Provider::new).transpose().map_err(StartError::DigitalOcean)?;
    let (dtma, calls) = (DtmaClient::default(), Arc::new(gateway::Records::new(config.audit_arguments)));
    let gateway_config = gateway::Config {
        public: config.public.url.clone(),
        own_origins: own_origins(&config.public, &config.own_urls),
        allowed_origins: config.allowed_origins.clone(),
        records: Some(Arc::clone(&calls)),
    };
    let answers = Arc::clone(&directory) as Arc<dyn gateway::Directory>;
    Ok(Arc::new(App {
        gateway: Arc::new(Gateway::new(answers, dtma.pool.clone(), &gateway_config)),
        belts: crate::belts::Belts::default(),
        played: crate::app::playground::Played::default(),
        store,
        keys,
        directory,
        browsers: crate::auth::browser::Browsers::new(
            &config.public,
            own_origins(&config.public, &config.own_urls),
        ),
        oidc: config.oidc.clone().map(crate::auth::oidc::Provider::new),
        events: Hub::default(),
        dtma,
        tunnels: crate::tunnels::Tunnels::new(config.give_back),
        metrics: Metrics::default(),
        quotas: config.quotas,
        usage: crate::usage::Usage::default(),
        calls,
        program: crate::program::Program::default(),
        offered: crate::program::Program::of(config.upgrade_program.clone()),
        upgrades: Notify::new(),
        changes: Notify::new(),
        public: config.public.clone(),
        bases: gateway::Bases::new(config.public.url(), own_origins(&config.public, &config.own_urls).iter()),
        outside: crate::outside::Outside::new(config.outside),
        device_codes: gateway::Buckets::new(crate::app::oauth::devices::TYPING.parse().ok()),
        registrations: gateway::Buckets::new(crate::app::oauth::register::RATE.parse().ok()),
        relay: crate::app::relay::Relay::new(config.registries.clone()),
        catalog: crate::app::catalog::Catalog::new(config.outside),
        upstreams: crate::app::upstreams::Upstreams::new(config.outside),
        images: crate::app::images::Images::new(config.registries.images().clone()),
        acme: config.acme.as_ref().map(|acme| Arc::new(AcmeStatus::new(acme))),
        local: config.local_way,
        heartbeat: config.heartbeat,
        hosts: Hosts::default(),
        refused: crate::app::adoption::RefusedOnce::default(),
        deploy: Notify::new(),
        provider,
        droplets: Notify::new(),
        receivers: config.receivers.clone(),
        alerts: Notify::new(),
        statuses: Statuses::default(),
        stop,
    }))
}

/// MCP addresses go to the gateway without passing a router: theirs is the path that must be short.
#[derive(Clone)]
struct Front {
    app: Arc<App>,
    gateway: Arc<Gateway>,
    router: Router,
    proxies: Arc<Proxies>,
    /// Who opened the connection, and whether over TLS.
    from: Option<(SocketAddr, bool)>,
}

impl Front {
    /// Who calls, and how, in words that the caller could not choose.
    fn seen(&self, headers: &HeaderMap) -> Option<Seen> {
        let (peer, is_tls) = self.from?;
        Some(self.proxies.seen(peer.ip(), is_tls, headers))
    }

    /// What a caller is told who came to a proxy over plain HTTP, where the public address has TLS.
    fn to_tls(&self, request: &Request<Incoming>) -> Option<Answer> {
        if self.proxies.0.is_empty() || !self.app.public.url.starts_with("https:") {
            return None;
        }
        let seen = self.seen(request.headers())?;
        let is_clear = seen.through_proxy && seen.names_scheme && !seen.is_secure;
        let answer = crate::redirect::elsewhere(&self.app.public, request.uri()).filter(|_| is_clear)?;
        Some(answer.map(|body| Either::Right(axum::body::Body::new(body))))
    }
}

type Answer = Response<Either<gateway::Body, axum::body::Body>>;

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(answer) = self.to_tls(&request) {
            return Box::pin(std::future::ready(Ok(answer)));
        }
        if request.uri().path().starts_with(gateway::PREFIX) {
            let (app, gateway) = (Arc::clone(&self.app), Arc::clone(&self.gateway));
            return Box::pin(async move {
                let response = gateway.call(request).await;
                app.metrics.call(response.status());
                Ok(response.map(Either::Left))
            });
        }
        if let Some(seen) = self.seen(request.headers()) {
            request.extensions_mut().insert(seen);
        }
        let (parts, body) = request.into_parts();
        let (body, rest) = passed::handed(&parts.headers, body);
        let routed = tower::Service::call(&mut self.router.clone(), Request::from_parts(parts, body));
        Box::pin(async move {
            let answer = routed.await?;
            rest.pass_over().await;
            Ok(answer.map(Either::Right))
        })
    }
}

/// The addresses that lead here and, of those on loopback, their other names.
fn own_origins(public: &Public, own_urls: &[String]) -> Vec<String> {
    let mut origins: Vec<String> = std::iter::once(&public.url).chain(own_urls).cloned().collect();
    let loopback = ["localhost", "127.0.0.1", "[::1]"];
    for url in origins.clone() {
        let Ok(uri) = url.parse::<http::Uri>() else { continue };
        if let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host())
            && loopback.contains(&host)
        {
            let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
            origins.extend(loopback.iter().map(|name| format!("{scheme}://{name}{port}")));
        }
    }
    origins
}
