//! Who clients are: registered by a person, by themselves, or by a document at the URL that is their id.

use api::oauth::{Client as Shown, CreateClientRequest, CreatedClient};
use api::users::Role;
use domain::ids::{AccountId, UserId};
use domain::secret::Secret;
use domain::time::Timestamp;
use oauth::errors::{Code, Refused};
use oauth::redirect;
use oauth::registration::ClientMetadata;
use serde_json::json;
use store::oauth::clients::{ClientKind, ClientRow};
use uuid::Uuid;

use crate::app::audit::{self, Act};
use crate::app::oauth::Failure;
use crate::app::{App, Outcome, Problem};
use crate::auth::{Caller, token};
use crate::directory::now;

/// The longest name of a client, in characters.
const MAX_NAME: usize = 100;
/// The most redirect URIs of one client.
const MAX_REDIRECTS: usize = 20;

/// How a client proves who it is at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Not at all: it is a program on people's machines.
    None,
    /// By a secret.
    Secret,
    /// By a JWT that it signed (RFC 7523).
    Jwt,
}

/// A client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Its id, as it writes it.
    pub(crate) id: String,
    /// What people are shown.
    pub(crate) name: String,
    /// How it became known.
    pub(crate) kind: ClientKind,
    /// Who registered it, of a registered one.
    pub(crate) owner: Option<(AccountId, UserId)>,
    /// What it says of itself.
    pub(crate) metadata: ClientMetadata,
    /// The hash of its secret.
    pub(crate) secret_hash: Option<String>,
}

impl Client {
    /// How it proves who it is.
    pub(crate) fn proof(&self) -> Proof {
        match self.metadata.token_endpoint_auth_method.as_deref() {
            Some("private_key_jwt") => Proof::Jwt,
            _ if self.secret_hash.is_some() => Proof::Secret,
            _ => Proof::None,
        }
    }

    /// Whether it gets refresh tokens: unless it says how it gets tokens, and that is not by them.
    pub(crate) fn refreshes(&self) -> bool {
        let types = &self.metadata.grant_types;
        types.is_empty() || types.iter().any(|kind| kind == "refresh_token")
    }
}

impl TryFrom<ClientRow> for Client {
    type Error = Problem;

    fn try_from(row: ClientRow) -> Result<Self, Problem> {
        let metadata: ClientMetadata =
            serde_json::from_str(&row.metadata_json).map_err(|error| Problem::Failed(Box::new(error)))?;
        let name = metadata.client_name.clone().unwrap_or_else(|| "an MCP client".to_owned());
        Ok(Self {
            id: row.id,
            name,
            kind: row.kind,
            owner: row.owner,
            metadata,
            secret_hash: row.secret_hash,
        })
    }
}

/// The client of an id.
///
/// # Errors
/// [`Code::InvalidClient`] when nobody has it, or its document says something else.
pub(crate) async fn find(app: &App, id: &str) -> Result<Client, Failure> {
    let known = store::oauth::clients::by_id(&app.store, id).await?;
    let is_url = id.starts_with("https://") || id.starts_with("http://");
    if !is_url {
        let row = known.ok_or_else(|| {
            Failure::new(
                Code::InvalidClient,
                "no client has this `client_id`: register again, as clients that nobody used are forgotten",
            )
        })?;
        return Ok(row.try_into()?);
    }
    let at = now();
    if let Some(row) = &known
        && row.fresh_until.is_some_and(|until| at < until)
    {
        return Ok(row.clone().try_into()?);
    }
    match document(app, id).await {
        Ok((metadata, fresh)) => {
            let fresh = i64::try_from(fresh).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            let row = ClientRow {
                id: id.to_owned(),
                kind: ClientKind::Document,
                owner: None,
                metadata_json: as_json(&metadata)?,
                secret_hash: None,
                created_at: known.as_ref().map_or(at, |row| row.created_at),
                fresh_until: Some(Timestamp(at.0.saturating_add(fresh))),
                last_used_at: None,
            };
            let mut tx = app.store.begin().await?;
            store::oauth::clients::put(&mut tx, &row).await?;
            tx.commit().await?;
            Ok(row.try_into()?)
        }
        Err(refused) => Err(Failure::Refused(refused)),
    }
}

/// What a client says of itself at the URL that is its id (Client ID Metadata Documents §4).
async fn document(app: &App, id: &str) -> Result<(ClientMetadata, u64), Refused> {
    let bad = |why: String| Refused::new(Code::InvalidClient, format!("the document at `client_id`: {why}"));
    if id.parse::<http::Uri>().is_ok_and(|uri| matches!(uri.path(), "" | "/")) {
        return Err(bad("its URL has no path".to_owned()));
    }
    let (mut metadata, fresh) = app.outside.json::<ClientMetadata>(id).await.map_err(bad)?;
    if metadata.client_id.as_deref() != Some(id) {
        return Err(bad("its `client_id` is not the URL that it was fetched from".to_owned()));
    }
    if metadata.client_name.is_none() {
        return Err(bad("it has no `client_name`".to_owned()));
    }
    // A secret that both know cannot be agreed upon in a public document.
    if !matches!(metadata.token_endpoint_auth_method.as_deref(), None | Some("none" | "private_key_jwt")) {
        return Err(bad(
            "its `token_endpoint_auth_method` is neither `none` nor `private_key_jwt`".to_owned()
        ));
    }
    check(&mut metadata).map_err(|refused| bad(refused.description))?;
    Ok((metadata, fresh))
}

/// Judges what a client says of itself, and makes its name fit to be shown.
///
/// # Errors
/// [`Code::InvalidRedirectUri`], [`Code::InvalidClientMetadata`].
pub(crate) fn check(metadata: &mut ClientMetadata) -> Result<(), Refused> {
    let invalid = |words: String| Refused::new(Code::InvalidClientMetadata, words);
    if let Some(name) = &metadata.client_name {
        let shown: String = name.chars().filter(|c| !is_deceiving(*c)).take(MAX_NAME).collect();
        metadata.client_name = Some(shown.trim().to_owned()).filter(|shown| !shown.is_empty());
    }
    let by_code = metadata.grant_types.is_empty()
        || metadata.grant_types.iter().any(|kind| kind == "authorization_code");
    let redirects = &metadata.redirect_uris;
    if by_code && redirects.is_empty() {
        return Err(Refused::new(Code::InvalidRedirectUri, "`redirect_uris` is missing or empty"));
    }
    if MAX_REDIRECTS < redirects.len() {
        let words = format!("`redirect_uris` has more than {MAX_REDIRECTS}");
        return Err(Refused::new(Code::InvalidRedirectUri, words));
    }
    for uri in redirects {
        let kind = redirect::judge(uri)
            .map_err(|error| Refused::new(Code::InvalidRedirectUri, format!("`redirect_uris`: {error}")))?;
        // OpenID Connect Dynamic Client Registration 1.0 §2, `application_type`.
        if metadata.application_type.as_deref() == Some("web") && kind != redirect::Kind::Web {
            let words = "`redirect_uris`: a client with `application_type` `web` is sent back to `https` alone; programs on \
                         people's machines are `native`";
            return Err(Refused::new(Code::InvalidRedirectUri, words));
        }
    }
    if !matches!(metadata.application_type.as_deref(), None | Some("web" | "native")) {
        return Err(invalid("`application_type` is `web` or `native`".to_owned()));
    }
    match metadata.token_endpoint_auth_method.as_deref() {
        None | Some("none" | "client_secret_basic" | "client_secret_post") => {}
        Some("private_key_jwt") if metadata.jwks.is_some() != metadata.jwks_uri.is_some() => {}
        Some("private_key_jwt") => {
            return Err(invalid("`private_key_jwt` takes `jwks` or `jwks_uri`".to_owned()));
        }
        Some(other) => {
            return Err(invalid(format!(
                "`token_endpoint_auth_method` `{}` is none of this server's",
                shown(other)
            )));
        }
    }
    let types = ["code"];
    if let Some(other) = metadata.response_types.iter().find(|kind| !types.contains(&kind.as_str())) {
        return Err(invalid(format!("`response_types`: `{}` is not given here, `code` is", shown(other))));
    }
    Ok(())
}

/// Characters that are not seen, or turn the direction of others around.
fn is_deceiving(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !is_deceiving(*c)).take(60).collect()
}

/// As it is stored.
pub(crate) fn as_json(metadata: &ClientMetadata) -> Result<String, Problem> {
    serde_json::to_string(metadata).map_err(|error| Problem::Failed(Box::new(error)))
}

/// The clients that people of the caller's account registered.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Shown>> {
    let rows = store::oauth::clients::list(&app.store, caller.account).await?;
    rows.into_iter().map(render).collect()
}

/// Registers a client for the caller's account. Its secret is in the answer and nowhere else.
///
/// # Errors
/// 403 below admin; 422 with field.
pub(crate) async fn create(
    app: &App,
    caller: &Caller,
    request: &CreateClientRequest,
) -> Outcome<CreatedClient> {
    caller.require(Role::Admin)?;
    let name = request.name.trim();
    if name.is_empty() || MAX_NAME < name.chars().count() || name.chars().any(is_deceiving) {
        return Err(Problem::invalid("name", format!("a name has 1 to {MAX_NAME} characters that are seen")));
    }
    let by_code = !request.redirect_uris.is_empty();
    let is_secret = request.jwks.is_none() && !request.public;
    if request.public && request.jwks.is_some() {
        return Err(Problem::invalid("jwks", "a public client has no key of its own"));
    }
    if request.public && !by_code {
        return Err(Problem::invalid("redirect_uris", "a public client needs a redirect URI")
            .hint("leave out `public` for a client that gets tokens for itself"));
    }
    let mut grant_types =
        vec!["urn:ietf:params:oauth:grant-type:device_code".to_owned(), "refresh_token".to_owned()];
    if by_code {
        grant_types.push("authorization_code".to_owned());
    }
    if !request.public {
        grant_types.push("client_credentials".to_owned());
    }
    let method = match (&request.jwks, request.public) {
        (Some(_), _) => "private_key_jwt",
        (None, true) => "none",
        (None, false) => "client_secret_basic",
    };
    let mut metadata = ClientMetadata {
        client_name: Some(name.to_owned()),
        redirect_uris: request.redirect_uris.clone(),
        grant_types,
        token_endpoint_auth_method: Some(method.to_owned()),
        jwks: request.jwks.clone(),
        ..ClientMetadata::default()
    };
    check(&mut metadata).map_err(|refused| {
        let field = if refused.code == Code::InvalidRedirectUri { "redirect_uris" } else { "jwks" };
        Problem::invalid(field, refused.description)
    })?;
    let secret = if is_secret { Some(token::generate()?) } else { None };
    let row = ClientRow {
        id: Uuid::now_v7().to_string(),
        kind: ClientKind::Registered,
        owner: Some((caller.account, caller.user)),
        metadata_json: as_json(&metadata)?,
        secret_hash: secret.as_ref().map(|secret: &Secret| token::hash_text(secret.expose())),
        created_at: now(),
        fresh_until: None,
        last_used_at: None,
    };
    let mut tx = app.store.begin().await?;
    store::oauth::clients::put(&mut tx, &row).await?;
    let act = Act { action: "client.create", kind: "client", id: row.id.clone(), name, detail: json!({}) };
    audit::note(&mut tx, caller.account, caller.actor(), row.created_at, act).await?;
    tx.commit().await?;
    Ok(CreatedClient { client: render(row)?, client_secret: secret })
}

/// Forgets a client of the caller's account and revokes what it was allowed there.
///
/// # Errors
/// 403 below admin, 404.
pub(crate) async fn remove(app: &App, caller: &Caller, id: &str) -> Outcome<()> {
    caller.require(Role::Admin)?;
    let at = now();
    let grants = store::oauth::grants::list(&app.store, caller.account, None).await?;
    let mut tx = app.store.begin().await?;
    let row = store::oauth::clients::delete(&mut tx, caller.account, id).await?;
    for grant in grants.iter().filter(|grant| grant.client_id == row.id && grant.revoked_at.is_none()) {
        store::oauth::grants::revoke(&mut tx, grant.id, at, "its client was removed").await?;
    }
    let client = Client::try_from(row)?;
    let act =
        Act { action: "client.remove", kind: "client", id: client.id, name: &client.name, detail: json!({}) };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    Ok(app.callers_changed().await?)
}

fn render(row: ClientRow) -> Outcome<Shown> {
    let (created_at, last_used_at) = (row.created_at, row.last_used_at);
    let client = Client::try_from(row)?;
    Ok(Shown {
        id: client.id,
        name: client.name,
        redirect_uris: client.metadata.redirect_uris,
        grant_types: client.metadata.grant_types,
        created_at,
        last_used_at,
    })
}
