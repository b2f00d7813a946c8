//! Signing in through an identity provider: whoever it vouches for is a user by issuer and subject, and by nothing else. An e-mail address
//! links nobody, but that an invitation for it is accepted; whom nobody invited is refused, unless the operator lets all of them in.

use std::time::Duration;

use api::errors::ErrorCode;
use api::sessions::SignInMethod;
use domain::ids::UserId;
use domain::names::{MAX_NAME, slug};
use domain::secret::{self, Secret};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Tx;
use store::people::PersonRow;
use uuid::Uuid;

use crate::app::audit::{self, Act};
use crate::app::invitations::{self, Offer};
use crate::app::{App, Outcome, Problem, sessions};
use crate::auth::browser::{self, Visit, Visitor};
use crate::auth::oidc::{Asked, Provider, Vouched};
use crate::directory::now;

/// Where the provider sends browsers back to.
pub(crate) const CALLBACK: &str = "/sign-in/oidc/callback";
/// How long a browser may be away.
pub(crate) const AWAY: Duration = Duration::from_mins(10);
/// What the cookie of a browser that is away is sealed for; the number means nothing.
const SEALED_FOR: Uuid = Uuid::from_u128(0x6265_7274_682d_6f69_6463_2d61_7761_7900);
/// The longest path that is remembered, in bytes: a browser keeps no larger cookie.
const LONGEST_NEXT: usize = 1800;
/// Names that are tried when one is taken.
const NAMES: u32 = 50;

/// A browser that is away at the provider.
#[derive(Debug, Serialize, Deserialize)]
struct Away {
    state: String,
    nonce: String,
    #[serde(serialize_with = "domain::secret::expose")]
    verifier: Secret,
    next: Option<String>,
    /// The user who asked for the identity to be theirs.
    link: Option<UserId>,
    until: Timestamp,
}

/// What a browser is told to begin with: where to go, and the cookie to come back with.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) url: String,
    pub(crate) away: Secret,
}

/// What the provider sent a browser back with.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Returned {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// How a return ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With a session, and perhaps a path to go on to.
    SignedIn(Secret, Option<String>),
    /// The identity is the visitor's from now on.
    Linked,
}

/// Sends a browser to the provider; with `link`, to make an identity there a way in for who is signed in.
///
/// # Errors
/// 404 without a provider; 502.
pub(crate) async fn begin(app: &App, next: Option<&str>, link: Option<UserId>) -> Outcome<Begun> {
    let provider = provider(app)?;
    let random = || browser::generate().map(|secret| secret.expose().to_owned());
    let away = Away {
        state: random()?,
        nonce: random()?,
        verifier: browser::generate()?,
        next: next.filter(|next| next.len() <= LONGEST_NEXT).map(str::to_owned),
        link,
        until: sessions::after(now(), AWAY),
    };
    let redirect_uri = redirect_uri(app);
    let url = provider.authorize(&asked(&away, &redirect_uri)).await?;
    let text =
        serde_json::to_string(&away).map(Secret::new).map_err(|error| Problem::Failed(Box::new(error)))?;
    let sealed = app.keys.seal(SEALED_FOR, text.expose())?;
    Ok(Begun { url, away: Secret::new(sealed) })
}

/// Takes a browser back.
///
/// # Errors
/// 403 for an answer that this browser did not ask for, and for whom nobody has invited; 409; 502.
pub(crate) async fn end(
    app: &App,
    returned: Returned,
    away: Option<&Secret>,
    visitor: Option<&Visitor>,
    visit: &Visit,
) -> Outcome<Ended> {
    let provider = provider(app)?;
    let away = opened(app, away)?;
    let state = returned.state.unwrap_or_default();
    if !secret::same(state.as_bytes(), away.state.as_bytes()) {
        return Err(not_asked(app));
    }
    provider.check_issuer(returned.iss.as_deref()).await?;
    if let Some(error) = returned.error {
        let code: String =
            error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(60).collect();
        let message = format!("the identity provider did not sign you in ({code})");
        return Err(Problem::refused(ErrorCode::Forbidden, message).hint("begin again at the sign-in"));
    }
    let code = returned.code.ok_or_else(|| not_asked(app))?;
    let redirect_uri = redirect_uri(app);
    let vouched = provider.vouched(&code, &asked(&away, &redirect_uri)).await?;
    if let Some(user) = away.link {
        let visitor = visitor.filter(|visitor| visitor.user == user).ok_or_else(|| not_asked(app))?;
        link(app, &vouched, visitor).await?;
        return Ok(Ended::Linked);
    }
    let cookie = admit(app, provider, &vouched, visit).await?;
    Ok(Ended::SignedIn(cookie, away.next))
}

fn provider(app: &App) -> Outcome<&Provider> {
    app.oidc
        .as_ref()
        .ok_or_else(|| Problem::refused(ErrorCode::NotFound, "there is no identity provider here"))
}

fn redirect_uri(app: &App) -> String {
    format!("{}{CALLBACK}", app.public().url())
}

fn asked<'a>(away: &'a Away, redirect_uri: &'a str) -> Asked<'a> {
    Asked { redirect_uri, state: &away.state, nonce: &away.nonce, verifier: &away.verifier }
}

fn opened(app: &App, away: Option<&Secret>) -> Outcome<Away> {
    let text = away.and_then(|away| app.keys.unseal(SEALED_FOR, away.expose()).ok());
    let away: Option<Away> = text.and_then(|text| serde_json::from_str(text.expose()).ok());
    away.filter(|away| now() < away.until).ok_or_else(|| not_asked(app))
}

fn not_asked(app: &App) -> Problem {
    let message =
        "this answer of the identity provider is not of a sign-in that this browser began, or came too late";
    Problem::refused(ErrorCode::Forbidden, message)
        .hint(format!("begin again at {}/sign-in", app.public().url()))
}

/// Makes an identity a way in for who is signed in.
async fn link(app: &App, vouched: &Vouched, visitor: &Visitor) -> Outcome<()> {
    let at = now();
    let mut tx = app.store.begin().await?;
    if !store::identities::keep(&mut tx, &vouched.issuer, &vouched.subject, visitor.user, at).await? {
        let message = "this identity is another user's here already";
        return Err(Problem::refused(ErrorCode::Conflict, message).hint("sign out there, and in as yourself"));
    }
    let detail = json!({ "issuer": vouched.issuer, "subject": vouched.subject });
    sessions::note(&mut tx, visitor.user, &visitor.user_name, "user.identity", detail, at).await?;
    Ok(tx.commit().await?)
}

/// Signs somebody in whom the provider vouches for; the new session's cookie.
async fn admit(app: &App, provider: &Provider, vouched: &Vouched, visit: &Visit) -> Outcome<Secret> {
    let known = store::identities::user_of(&app.store, &vouched.issuer, &vouched.subject).await?;
    let known = match known {
        Some(user) => store::people::by_id(&app.store, user).await?,
        None => None,
    };
    let mut offers = match &vouched.email {
        Some(email) => invitations::for_email(app, email).await?,
        None => Vec::new(),
    };
    let at = now();
    let (person, is_new, provision) = if let Some(person) = known {
        let own = store::people::memberships(&app.store, person.id).await?;
        offers.retain(|offer| own.iter().all(|of| of.account_name != offer.account_name));
        (person, false, None)
    } else {
        let provision = provisioned(app, provider).await?;
        if offers.is_empty() && provision.is_none() {
            return Err(uninvited(provider, vouched));
        }
        (new_person(app, vouched, at).await?, true, provision)
    };
    // Two into one account are one: the older counts.
    let mut seen = Vec::new();
    offers.retain(|offer: &Offer| {
        let is_first = !seen.contains(&offer.account_name);
        seen.push(offer.account_name.clone());
        is_first
    });
    let mut tx = app.store.begin().await?;
    if is_new {
        store::people::insert(&mut tx, &person).await?;
    }
    if !store::identities::keep(&mut tx, &vouched.issuer, &vouched.subject, person.id, at).await? {
        return Err(Problem::refused(ErrorCode::Conflict, "this identity signed in twice at this moment")
            .hint("begin again at the sign-in"));
    }
    for offer in &offers {
        invitations::accept(&mut tx, offer, person.id, &person.name).await?;
    }
    if let Some((account, role)) = provision
        && store::members::join(&mut tx, account, person.id, role, at).await?
    {
        provisioned_note(&mut tx, account, &person, vouched, at).await?;
    }
    let who = (person.id, person.name.as_str());
    let cookie = sessions::begin(&mut tx, who, SignInMethod::Oidc, visit).await?;
    tx.commit().await?;
    if !offers.is_empty() || is_new {
        app.callers_changed().await?;
    }
    Ok(cookie)
}

async fn provisioned_note(
    tx: &mut Tx,
    account: domain::ids::AccountId,
    person: &PersonRow,
    vouched: &Vouched,
    at: Timestamp,
) -> Outcome<()> {
    let detail = json!({ "issuer": vouched.issuer });
    let act =
        Act { action: "member.join", kind: "user", id: person.id.to_string(), name: &person.name, detail };
    audit::note(tx, account, format!("user:{}", person.id), at, act).await
}

async fn provisioned(
    app: &App,
    provider: &Provider,
) -> Outcome<Option<(domain::ids::AccountId, api::users::Role)>> {
    let Some((name, role)) = provider.provision() else { return Ok(None) };
    let account = store::accounts::account_by_name(&app.store, name).await?;
    let account = account.ok_or_else(|| {
        tracing::error!(%name, "there is no account of the name that `--oidc-account` gives");
        Problem::refused(ErrorCode::Unavailable, "the account that you would be in is not there")
            .hint("tell whoever runs this Berth; its log has the reason")
    })?;
    Ok(Some((account.id, *role)))
}

fn uninvited(provider: &Provider, vouched: &Vouched) -> Problem {
    let who = vouched.email.as_deref().map(|email| format!(" ({email})")).unwrap_or_default();
    let message = format!("{} knows you{who}, and nobody has invited you here", provider.name());
    Problem::refused(ErrorCode::Forbidden, message).hint(
        "ask an admin for an invitation for your e-mail address; if you have a password here, sign in with it and connect both on your page",
    )
}

/// A user for somebody who is new, with a name that is free.
async fn new_person(app: &App, vouched: &Vouched, at: Timestamp) -> Outcome<PersonRow> {
    let wish = vouched.name.as_deref().or(vouched.email.as_deref()).unwrap_or_default();
    let wish = wish.split('@').next().unwrap_or_default();
    let wish = if wish.chars().any(|c| c.is_ascii_alphanumeric()) { slug(wish) } else { "user".to_owned() };
    let mut name = None;
    for number in 1..=NAMES {
        let tail = if number == 1 { String::new() } else { format!("-{number}") };
        let head: String = wish.chars().take(MAX_NAME - tail.len()).collect();
        let tried = format!("{}{tail}", head.trim_end_matches('-'));
        if store::people::by_name(&app.store, &tried).await?.is_none() {
            name = Some(tried);
            break;
        }
    }
    // An address that somebody here says is theirs stays theirs; that is no reason to be the same person.
    let email = match &vouched.email {
        Some(email) if store::people::by_email(&app.store, email).await?.is_none() => Some(email.clone()),
        _ => None,
    };
    Ok(PersonRow {
        id: UserId::generate(),
        name: name.ok_or_else(|| {
            Problem::refused(ErrorCode::Conflict, format!("the name `{wish}` is taken here"))
        })?,
        email,
        password_hash: None,
        is_operator: false,
        created_at: at,
    })
}
