//! Tokens that shims ask for: this host asks the control plane, which keeps what they are got with, and hands the answer on. Nothing of it
//! is kept here.

use std::sync::Arc;
use std::time::Duration;

use api::upstreams::{UPSTREAM_TOKEN_PATH, UpstreamTokenRequest};
use domain::ids::InstanceId;
use domain::secret::Secret;
use domain::shim::{ShimStatus, TokenAnswer, TokenAsk, TokenOutcome};
use domain::spec::InstanceSpec;
use reqwest::Url;

use crate::config::Config;
use crate::heartbeat;
use crate::instance::{Shared, chain};
use crate::shim_client;

/// The control plane may have to ask an authorization server, which has half a minute.
const TIMEOUT: Duration = Duration::from_secs(35);

/// The way to the control plane.
#[derive(Debug)]
pub(crate) struct Tokens {
    client: reqwest::Client,
    url: Url,
    token: Secret,
}

/// Which questions of which shim were taken up.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pid: u32,
    last: u64,
}

impl Tokens {
    /// `None` on a host without a control plane.
    ///
    /// # Errors
    /// What is wrong with its address.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, String> {
        let Some(control_url) = &config.control_url else { return Ok(None) };
        let url = heartbeat::place(control_url, config.tls_pin, UPSTREAM_TOKEN_PATH)?;
        // Asked once an hour or so: no connection is kept for it.
        let client = heartbeat::http_client(&url, config.tls_pin, config.proxy.as_ref(), |builder| {
            builder.timeout(TIMEOUT).pool_max_idle_per_host(0)
        })?;
        Ok(Some(Self { client, url, token: config.token.clone() }))
    }

    async fn ask(&self, instance: InstanceId, ask: TokenAsk) -> TokenOutcome {
        let none = |why: String| TokenOutcome::None { why };
        let request = UpstreamTokenRequest { instance, wanted: ask.wanted };
        let asking =
            self.client.post(self.url.clone()).bearer_auth(self.token.expose()).json(&request).send();
        let response = match asking.await {
            Ok(response) => response,
            Err(error) => {
                let why = chain(&error.without_url());
                tracing::warn!(%instance, error = why, "the control plane cannot be asked for a token");
                return none(
                    "the control plane, which keeps the tokens, does not answer; try again later".to_owned(),
                );
            }
        };
        let status = response.status();
        if !status.is_success() {
            tracing::warn!(%instance, %status, "the control plane gives no token");
            return none(format!("the control plane, which keeps the tokens, answered {status}"));
        }
        // What it says is not repeated: there may be a token in it.
        response.json().await.unwrap_or_else(|_| none("the control plane's answer is none".to_owned()))
    }
}

/// Takes up what a shim asks for, each question once. A shim that this DTMA does not know yet is answered anew, which does no harm.
pub(crate) fn take_up(
    shared: &Arc<Shared>,
    spec: &Arc<InstanceSpec>,
    status: &ShimStatus,
    taken: &mut Taken,
) {
    if taken.pid != status.pid {
        *taken = Taken { pid: status.pid, last: 0 };
    }
    let before = taken.last;
    for ask in status.asks.iter().filter(|ask| before < ask.number) {
        taken.last = taken.last.max(ask.number);
        let (shared, spec, ask) = (Arc::clone(shared), Arc::clone(spec), ask.clone());
        // It is not waited for: an instance is looked after also while an authorization server thinks.
        tokio::spawn(async move {
            let number = ask.number;
            let outcome = match &shared.tokens {
                Some(tokens) => tokens.ask(spec.id, ask).await,
                None => TokenOutcome::None {
                    why: "this host has no control plane, which would keep tokens; give the header `Authorization` as a secret"
                        .to_owned(),
                },
            };
            let answer = TokenAnswer { number, outcome };
            shim_client::answer_token(&shared.pool, &shared.address(spec.id), &spec.key, &answer).await;
        });
    }
}
