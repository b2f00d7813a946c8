//! From a client's request to a person's decision and back (OAuth 2.1 §4.1).

use domain::ids::{AccountId, GrantId, UserId};
use domain::names::AccountName;
use domain::scopes::Scopes;
use domain::secret::Secret;
use domain::time::Timestamp;
use oauth::errors::{Code, Refused};
use oauth::parameters::{self, Parameters};
use oauth::{pkce, redirect};
use serde_json::json;
use store::Tx;
use store::oauth::clients::ClientKind;
use store::oauth::grants::GrantRow;
use store::oauth::tokens::CodeRow;

use crate::app::audit::{self, Act};
use crate::app::oauth::clients::{self, Client};
use crate::app::oauth::{Failure, Resource};
use crate::app::{App, Problem};
use crate::auth::token;
use crate::directory::now;

/// How long a code is good, in seconds.
const CODE_LIFE: i64 = 120;
/// The longest `state`, in bytes.
const MAX_STATE: usize = 4096;

/// What a client asks a person for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Who asks.
    pub(crate) client: Client,
    /// Where the person goes afterwards.
    pub(crate) redirect_uri: String,
    /// Given back as it is.
    state: Option<String>,
    challenge: String,
    /// What for; absent: the client is older than RFC 8707, and the person says so.
    pub(crate) resource: Option<Resource>,
    /// The scopes as the client wrote them.
    pub(crate) scope: String,
}

/// Why a request cannot be put to a person.
#[derive(Debug)]
pub(crate) enum NotAsked {
    /// The person is told, because where they would be sent cannot be trusted (RFC 6749 §4.1.2.1).
    Told(Failure),
    /// The client is told.
    Back {
        /// How it became known.
        kind: ClientKind,
        /// Its redirect URI.
        redirect_uri: String,
        /// The same with the error.
        to: String,
        /// The error.
        refused: Refused,
    },
}

impl<T: Into<Failure>> From<T> for NotAsked {
    fn from(failure: T) -> Self {
        Self::Told(failure.into())
    }
}

/// Where a person goes when they do not get there: the redirect URI with an error (RFC 6749 §4.1.2.1, RFC 9207 §2).
fn sent_back(redirect_uri: &str, state: Option<&str>, issuer: &str, refused: &Refused) -> String {
    let mut all = vec![("error", refused.code.as_str()), ("error_description", refused.description.as_str())];
    all.extend(state.map(|state| ("state", state)));
    all.push(("iss", issuer));
    parameters::append(redirect_uri, &all)
}

/// Reads a request. `issuer` is the address that the client came by.
///
/// # Errors
/// [`NotAsked`].
pub(crate) async fn read(app: &App, issuer: &str, given: &Parameters) -> Result<Asked, NotAsked> {
    let client = clients::find(app, given.required("client_id")?).await?;
    let registered = &client.metadata.redirect_uris;
    let redirect_uri = match (given.one("redirect_uri")?, registered.as_slice()) {
        (Some(asked), all) => all.iter().any(|one| redirect::matches(one, asked)).then(|| asked.to_owned()),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    };
    let redirect_uri = redirect_uri.ok_or_else(|| {
        Failure::new(
            Code::InvalidRequest,
            "`redirect_uri` is none of those that the client registered, to the letter",
        )
    })?;
    let state = given.one("state");
    let back = |refused: Refused| {
        let state = state.as_ref().ok().copied().flatten();
        let to = sent_back(&redirect_uri, state, issuer, &refused);
        NotAsked::Back { kind: client.kind, redirect_uri: redirect_uri.clone(), to, refused }
    };
    let checked = (|| {
        let state = state.clone()?;
        if state.is_some_and(|state| MAX_STATE < state.len()) {
            return Err(Refused::new(Code::InvalidRequest, "`state` is longer than 4096 bytes"));
        }
        if given.required("response_type")? != "code" {
            return Err(Refused::new(Code::UnsupportedResponseType, "`response_type` is `code` here"));
        }
        let kinds = &client.metadata.grant_types;
        if !kinds.is_empty() && !kinds.iter().any(|kind| kind == "authorization_code") {
            let words = "this client did not register the grant type `authorization_code`";
            return Err(Refused::new(Code::UnauthorizedClient, words));
        }
        let challenge = given.required("code_challenge")?;
        if given.one("code_challenge_method")? != Some(pkce::METHOD) {
            return Err(Refused::new(Code::InvalidRequest, "`code_challenge_method` is `S256` here"));
        }
        if !pkce::is_challenge(challenge) {
            return Err(Refused::new(Code::InvalidRequest, "`code_challenge` is no base64url of 32 bytes"));
        }
        let resource = given.one("resource")?.map(|text| Resource::parse(app, text)).transpose()?;
        let scope = given.one("scope")?.unwrap_or_default().to_owned();
        Ok((state.map(str::to_owned), challenge.to_owned(), resource, scope))
    })();
    let (state, challenge, resource, scope) = checked.map_err(back)?;
    Ok(Asked { client, redirect_uri, state, challenge, resource, scope })
}

/// What a person would allow.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// In which account.
    pub(crate) account: AccountId,
    /// Its name.
    pub(crate) account_name: AccountName,
    /// What for.
    pub(crate) resource: Resource,
    /// How much of it.
    pub(crate) scopes: Scopes,
}

/// Every MCP address that a user may call: for clients that do not say which they mean.
pub(crate) fn choices(app: &App, user: UserId) -> Vec<String> {
    let picture = app.directory.picture();
    let of_account = |(_, name): &(AccountId, AccountName)| {
        let servers = picture.servers_of(name);
        servers.into_iter().map(|server| format!("{}{name}/{server}", gateway::PREFIX)).collect::<Vec<_>>()
    };
    picture.accounts_of(user).iter().flat_map(of_account).collect()
}

/// What a user can allow of a resource.
///
/// # Errors
/// [`Code::InvalidTarget`] when it is not theirs, whether it is there or not.
pub(crate) fn offer(app: &App, user: UserId, resource: &Resource, scope: &str) -> Result<Offer, Refused> {
    let picture = app.directory.picture();
    let mut accounts = picture.accounts_of(user);
    let found = match resource {
        // The first, by name; API tokens are for people with several.
        Resource::Api => accounts.drain(..).next(),
        Resource::Server { account, instance, .. } => accounts
            .into_iter()
            .find(|(_, name)| name == account)
            .filter(|(_, name)| picture.servers_of(name).iter().any(|server| server == instance.as_str())),
    };
    let (account, account_name) = found.ok_or_else(|| {
        Refused::new(
            Code::InvalidTarget,
            "there is no such MCP server in any account of the person who signed in",
        )
    })?;
    Ok(Offer { account, account_name, scopes: resource.scopes(scope), resource: resource.clone() })
}

/// A person allows it; where they go now.
///
/// # Errors
/// What the store says.
pub(crate) async fn allow(
    app: &App,
    issuer: &str,
    user: UserId,
    asked: &Asked,
    offer: &Offer,
) -> Result<String, Failure> {
    let at = now();
    let code = token::generate()?;
    let mut tx = app.store.begin().await?;
    let sent_to = redirect::shown(&asked.redirect_uri);
    let grant = insert(&mut tx, user, &asked.client, &sent_to, offer, at).await?;
    let row = CodeRow {
        grant,
        redirect_uri: asked.redirect_uri.clone(),
        challenge: asked.challenge.clone(),
        resource: offer.resource.audience(app),
        expires_at: Timestamp(at.0.saturating_add(CODE_LIFE * 1_000_000)),
    };
    store::oauth::tokens::insert_code(&mut tx, &row, &hash(&code)).await?;
    store::oauth::clients::touch(&mut tx, &asked.client.id, at).await?;
    tx.commit().await?;
    let mut all = vec![("code", code.expose())];
    all.extend(asked.state.as_deref().map(|state| ("state", state)));
    all.push(("iss", issuer));
    Ok(parameters::append(&asked.redirect_uri, &all))
}

fn hash(code: &Secret) -> String {
    token::hash_text(code.expose())
}

/// A person refuses, or cannot allow it; where they go now.
pub(crate) fn refuse(issuer: &str, asked: &Asked, refused: &Refused) -> String {
    sent_back(&asked.redirect_uri, asked.state.as_deref(), issuer, refused)
}

/// Makes a grant's row and its audit line.
pub(crate) async fn insert(
    tx: &mut Tx,
    user: UserId,
    client: &Client,
    sent_to: &str,
    offer: &Offer,
    at: Timestamp,
) -> Result<GrantId, Problem> {
    let instance = match &offer.resource {
        Resource::Api => None,
        Resource::Server { instance, .. } => Some(instance.clone()),
    };
    let row = GrantRow {
        id: GrantId::generate(),
        account: offer.account,
        user,
        client_id: client.id.clone(),
        client_name: client.name.clone(),
        sent_to: sent_to.to_owned(),
        instance,
        scopes: offer.scopes.clone(),
        created_at: at,
        last_used_at: None,
        revoked_at: None,
        revoked_why: None,
    };
    store::oauth::grants::insert(tx, &row).await?;
    let detail = json!({ "client_id": row.client_id, "sent_to": row.sent_to, "scopes": row.scopes });
    let act =
        Act { action: "grant.create", kind: "grant", id: row.id.to_string(), name: &row.client_name, detail };
    audit::note(tx, row.account, format!("user:{user}"), at, act).await?;
    Ok(row.id)
}
