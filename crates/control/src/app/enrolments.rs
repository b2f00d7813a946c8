//! One-time tokens that make a host an environment: making them, exchanging them, and taking a host's rights away.

use std::time::Duration;

use api::enrolments::{EnrolRequest, Enrolled, EnrolledWay, Enrolment};
use api::environments::Environment;
use api::errors::ErrorCode;
use api::users::Role;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::EnvironmentId;
use domain::secret::Secret;
use domain::time::Timestamp;
use serde_json::json;
use store::Tx;
use store::enrolments::Redeemed;
use store::environments::EnvironmentRow;

use crate::app::audit::{self, Act};
use crate::app::environments::{before, find, rendered, tell};
use crate::app::{App, Outcome, Problem};
use crate::auth::{Caller, token};
use crate::directory::now;
use crate::reach::{dialled_at, is_local, is_over_tls, with_key};
use crate::secrets::random;

/// What a one-time token begins with.
const PREFIX: &str = "berth_enrol_";
/// Where the script is that enrols a host.
pub(crate) const SCRIPT_PATH: &str = "/enrol/install.sh";
/// What it is.
pub(crate) const SCRIPT: &str = include_str!("enrolments/install.sh");
/// How long one is good, when nobody says another time: a machine that was just ordered boots in it.
pub(crate) const LIFETIME: Duration = Duration::from_hours(1);
/// For how long the host that used one may ask again.
const REPEAT: Duration = Duration::from_mins(5);
/// A shorter nonce could be guessed; a longer one is none.
const NONCE: std::ops::RangeInclusive<usize> = 16..=200;
/// What is kept of the texts by which a host describes itself, in characters.
const SHOWN: usize = 255;

/// Makes the one-time token of an environment, in the place of the one before; and until when it is good.
///
/// # Errors
/// What the store says.
pub(crate) async fn issue(
    tx: &mut Tx,
    environment: &EnvironmentRow,
    lifetime: Duration,
) -> Outcome<(Secret, Timestamp)> {
    let secret = Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?)));
    let at = now();
    let expires_at = Timestamp(at.0.saturating_add(i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX)));
    store::enrolments::issue(tx, environment.id, &token::hash_text(secret.expose()), at, expires_at).await?;
    Ok((secret, expires_at))
}

/// The line that makes a host an environment, when it is run there as root. It fetches a script that fetches this very program: the
/// first is known by the control plane's certificate, the second by its SHA-256, and no program that stays has the token on its command line.
///
/// # Errors
/// When the program cannot be read.
pub(crate) async fn command(app: &App, token: &Secret) -> Outcome<Secret> {
    let sha256 = app.program.sha256().await.map_err(|error| Problem::Failed(Box::new(error)))?;
    let (url, token) = (&app.public.url, token.expose());
    // With a pin exactly one key is taken, so whose name the certificate has, and who signed it, does not matter.
    let (curl, pin) = app.public.pin.as_ref().map_or_else(Default::default, |pin| {
        (format!(" --insecure --pinnedpubkey {pin}"), format!(" --pin {pin}"))
    });
    // Whoever gave the control plane this address was told what passes in clear.
    let clear = if url.starts_with("http://") { " --insecure-http" } else { "" };
    Ok(Secret::new(format!(
        "curl -fsSL{curl} {url}{SCRIPT_PATH} | sh -s -- --url {url}{pin}{clear} --sha256 {sha256} --token {token}"
    )))
}

/// Makes what makes a host an environment, or makes it one again, for an admin. Until it is used, the host there is goes on.
///
/// # Errors
/// 403, 404 with the nearest name, 409 for this machine.
pub(crate) async fn create(app: &App, caller: &Caller, name: &str) -> Outcome<Enrolment> {
    caller.require(Role::Admin)?;
    let environment = find(app, caller, name).await?;
    refuse_local(&environment)?;
    let mut tx = app.store.begin().await?;
    let (token, expires_at) = issue(&mut tx, &environment, LIFETIME).await?;
    let act = act("environment.enrolment", &environment, json!({ "expires_at": expires_at }));
    audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    tx.commit().await?;
    let command = command(app, &token).await?;
    let control_url = app.public.url.clone();
    Ok(Enrolment { environment: environment.name, token, expires_at, control_url, command })
}

/// Takes away what an environment's host may do, for an admin: its token and its one-time token open nothing any more.
///
/// # Errors
/// 403, 404 with the nearest name, 409 for this machine.
pub(crate) async fn revoke(app: &App, caller: &Caller, name: &str) -> Outcome<Environment> {
    caller.require(Role::Admin)?;
    let environment = find(app, caller, name).await?;
    refuse_local(&environment)?;
    let at = now();
    let mut tx = app.store.begin().await?;
    store::enrolments::forget(&mut tx, environment.id).await?;
    let row = store::environments::set_token(&mut tx, environment.id, None, at).await?;
    let act = act("environment.revoke", &environment, json!({}));
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    cut_off(app, &row).await?;
    rendered(app, row).await
}

/// Exchanges a one-time token for the token of an environment's DTMA, which is made anew: whoever had the one before is
/// cut off.
///
/// # Errors
/// 401 for a token that there is not, 410 for one that was used or came too late, 422. None says whose it was.
pub(crate) async fn redeem(app: &App, request: &EnrolRequest) -> Outcome<Enrolled> {
    if !NONCE.contains(&request.nonce.expose().len()) {
        let (least, most) = (NONCE.start(), NONCE.end());
        return Err(Problem::invalid("nonce", format!("a nonce has {least} to {most} characters")));
    }
    let (hash, nonce) = (token::hash_text(request.token.expose()), token::hash_text(request.nonce.expose()));
    let at = now();
    let mut tx = app.store.begin().await?;
    let redeemed = store::enrolments::redeem(&mut tx, &hash, &nonce, at, before(at, REPEAT)).await?;
    let id = match redeemed {
        Redeemed::First(id) => id,
        Redeemed::Again(id) => {
            drop(tx);
            return again(app, id).await;
        }
        Redeemed::Unknown => {
            return Err(no_good(ErrorCode::Unauthorized, "this is no enrolment token, or no longer"));
        }
        Redeemed::Expired => return Err(no_good(ErrorCode::Gone, "this enrolment token came too late")),
        Redeemed::Used => return Err(no_good(ErrorCode::Gone, "this enrolment token was used already")),
    };
    if request.environment.is_some_and(|is| is != id) {
        // Nothing was committed, so the token is as good as before.
        return Err(Problem::refused(ErrorCode::Conflict, "this host is another environment already")
            .field("environment")
            .hint(
                "instances stay with their environment: use a host that is none yet, or another data directory; the token is \
                 still good",
            ));
    }
    let token = token::generate()?;
    let sealed = app.keys.seal(id.0, token.expose())?;
    let hash = token::hash_text(token.expose());
    let mut row = store::environments::set_token(&mut tx, id, Some((&sealed, &hash)), at).await?;
    if is_over_tls(&row) {
        let pin = request.tls_pin.as_deref().unwrap_or_default().parse();
        let pin = pin.map_err(|error| {
            Problem::invalid("tls_pin", error).hint("`berth dtma join` shows the key of its host agent")
        })?;
        if let Some(way) = with_key(&row, pin) {
            let reach = serde_json::to_value(way).map_err(|error| Problem::Failed(Box::new(error)))?;
            row = store::environments::set_reach(&mut tx, id, &reach, &sealed, &hash, at).await?;
        }
    }
    let detail =
        json!({ "hostname": shown(&request.hostname), "dtma_version": shown(&request.dtma_version) });
    let act = act("environment.enrol", &row, detail);
    audit::note(&mut tx, row.account, format!("environment:{id}"), at, act).await?;
    tx.commit().await?;
    cut_off(app, &row).await?;
    Ok(enrolled(app, &row, token))
}

/// The same answer for the same host: its DTMA's token as it was made the first time.
async fn again(app: &App, id: EnvironmentId) -> Outcome<Enrolled> {
    let row = store::environments::by_id(&app.store, id).await?;
    let known = row.and_then(|row| Some((row.dtma_token_sealed.clone()?, row)));
    let (sealed, row) =
        known.ok_or_else(|| no_good(ErrorCode::Unauthorized, "this is no enrolment token, or no longer"))?;
    let token = app.keys.unseal(id.0, &sealed)?;
    Ok(enrolled(app, &row, token))
}

fn enrolled(app: &App, row: &EnvironmentRow, token: Secret) -> Enrolled {
    let dialled = dialled_at(row);
    Enrolled {
        environment: row.id,
        name: row.name.clone(),
        token,
        way: if dialled.is_some() { EnrolledWay::Direct } else { EnrolledWay::Tunnel },
        tls: is_over_tls(row),
        listen: dialled.map(|address| address.to_string()),
        heartbeat_seconds: app.heartbeat.as_secs().max(1),
    }
}

fn no_good(code: ErrorCode, message: &str) -> Problem {
    Problem::refused(code, message).field("token").hint(
        "`berth env enrol NAME`, where the control plane is, makes another one; it is good for an hour and for one host",
    )
}

/// After an environment's token was replaced: what was opened with the one before ends, and everybody hears of it.
async fn cut_off(app: &App, row: &EnvironmentRow) -> Outcome<()> {
    app.tunnels.close(row.id);
    app.directory.refresh().await?;
    tell(app, row.clone()).await
}

fn refuse_local(environment: &EnvironmentRow) -> Outcome<()> {
    if !is_local(environment) {
        return Ok(());
    }
    let message = format!("`{}` is the control plane's own machine", environment.name);
    Err(Problem::refused(ErrorCode::Conflict, message)
        .hint("it enrols itself; `berth env add host` makes another machine an environment"))
}

fn act<'a>(action: &'a str, environment: &'a EnvironmentRow, detail: serde_json::Value) -> Act<'a> {
    let (id, name) = (environment.id.to_string(), environment.name.as_str());
    Act { action, kind: "environment", id, name, detail }
}

/// What a host says of itself, as far as it is fit for the audit.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}
