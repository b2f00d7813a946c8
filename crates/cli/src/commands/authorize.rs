//! `berth authorize`: lets a person authorize Berth at a server that runs elsewhere.

use std::time::Duration;

use api::upstreams::{
    Authorization, AuthorizationStarted, AuthorizationState, AuthorizeRequest, UpstreamClient,
};
use domain::time::Timestamp;

use super::instances::to_the_second;
use crate::args::AuthorizeArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Between two looks while somebody decides.
const LOOK: Duration = Duration::from_secs(1);

/// Begins, shows or gives up.
pub(crate) async fn run(args: AuthorizeArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let path = Client::instance_path(&args.name, "/authorization");
    if args.forget {
        client.delete(&path).await?;
        output.say(&format!("gave up what was authorized for `{}`", args.name));
        output.hint("the token that its host has is good until it ends; revoke it at the authorization server as well");
        return Ok(());
    }
    if args.status {
        let authorization: Authorization = client.get(&path).await?;
        if output.json() {
            return output.document(&authorization);
        }
        return output.data(&facts(&authorization));
    }
    let before: Authorization = client.get(&path).await?;
    let manual = match (args.client_id, args.issuer) {
        (Some(client_id), Some(issuer)) => {
            let client_secret = args
                .client_secret
                .map(|typed| super::deploy::secret_value("--client-secret", typed))
                .transpose()?;
            Some(UpstreamClient { issuer, client_id, client_secret })
        }
        _ => None,
    };
    let started: AuthorizationStarted = client.post(&path, &AuthorizeRequest { client: manual }).await?;
    if output.json() {
        output.document(&started)?;
    } else {
        output.data(&format!("{}\n", started.url))?;
    }
    output.say(&format!(
        "open this address in a browser and agree there, until {}",
        to_the_second(started.expires_at)
    ));
    if !args.wait {
        output.hint(&format!("`berth authorize {} --status` shows whether somebody did", args.name));
        return Ok(());
    }
    let after = wait(client, &path, before.authorized_at, started.expires_at).await?;
    output.say(&format!("`{}` is authorized at {}", args.name, after.issuer.unwrap_or(started.issuer)));
    Ok(())
}

/// Waits until somebody has agreed.
async fn wait(
    client: &Client,
    path: &str,
    before: Option<Timestamp>,
    until: Timestamp,
) -> Result<Authorization, CliError> {
    while Timestamp::from(std::time::SystemTime::now()) < until {
        let now: Authorization = client.get(path).await?;
        if before < now.authorized_at {
            return Ok(now);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(CliError::failed("nobody agreed in time").with_hint("run `berth authorize` again"))
}

fn facts(authorization: &Authorization) -> String {
    let state = match authorization.state {
        AuthorizationState::None => "not asked for",
        AuthorizationState::Needed => "needed",
        AuthorizationState::Authorized => "authorized",
    };
    let mut lines = vec![("authorization", state.to_owned())];
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add("message", authorization.message.clone());
    add("issuer", authorization.issuer.clone());
    add("scopes", Some(authorization.scopes.join(" ")).filter(|scopes| !scopes.is_empty()));
    add("since", authorization.authorized_at.map(to_the_second));
    let renewed = if authorization.is_renewable { "renewed by then" } else { "not renewed" };
    add("token ends", authorization.expires_at.map(|at| format!("{}, {renewed}", to_the_second(at))));
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name:<14}{value}\n")).collect();
    lines.concat()
}
