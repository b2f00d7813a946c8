//! API tokens: everybody has their own, admins manage those of others.

use api::errors::ErrorCode;
use api::tokens::{CreateTokenRequest, CreatedToken, Token};
use api::users::Role;
use domain::ids::{AccountId, TokenId, UserId};
use domain::scopes::{Scope, Scopes};
use domain::secret::Secret;
use domain::time::Timestamp;
use serde_json::json;
use store::Tx;
use store::tokens::TokenRow;

use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem, accounts};
use crate::auth::{Caller, token};
use crate::directory::now;

/// The longest name, in characters.
const MAX_NAME: usize = 100;
/// The longest life, in seconds: a hundred years.
const MAX_LIFE: u64 = 100 * 366 * 24 * 3600;

/// The caller's tokens; for an admin, everybody's of the account.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Token>> {
    let only = (caller.role < Role::Admin).then_some(caller.user);
    let rows = store::tokens::list(&app.store, caller.account, only).await?;
    Ok(rows.into_iter().map(render).collect())
}

/// Makes a token for the caller. Its text is in the answer and nowhere else.
///
/// # Errors
/// 422 with field; 403 when it would be for more than the token that makes it; 404 for an account that the user is not in.
pub(crate) async fn create(
    app: &App,
    caller: &Caller,
    request: &CreateTokenRequest,
) -> Outcome<CreatedToken> {
    caller.require_scope(&Scope::Admin)?;
    let scopes = request.scopes.as_ref().or(caller.scopes.as_ref());
    if let (Some(own), Some(asked)) = (&caller.scopes, scopes)
        && let Some(more) = own.lacking(asked)
    {
        let message = format!("a token makes none that is for more: `{more}` is not in its scopes {own}");
        return Err(Problem::refused(ErrorCode::Forbidden, message).field("scopes"));
    }
    let name = name_of(&request.name)?;
    let at = now();
    let expires_at = end_of(request.expires_in_seconds, at)?;
    let account = match &request.account {
        Some(name) if *name != caller.account_name => accounts::of_user(app, caller, name).await?.account,
        _ => caller.account,
    };
    let mut tx = app.store.begin().await?;
    let (row, secret) =
        insert(&mut tx, account, caller.user, (name, scopes), expires_at, at, caller.actor()).await?;
    tx.commit().await?;
    Ok(CreatedToken { token: render(row), secret })
}

/// What a token is called.
///
/// # Errors
/// 422.
pub(crate) fn name_of(text: &str) -> Outcome<&str> {
    let name = text.trim();
    if name.is_empty() || MAX_NAME < name.chars().count() {
        return Err(Problem::invalid("name", format!("a name has 1 to {MAX_NAME} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Problem::invalid("name", "a name has no control characters"));
    }
    Ok(name)
}

/// When what begins now ends.
///
/// # Errors
/// 422.
pub(crate) fn end_of(seconds: Option<u64>, at: Timestamp) -> Outcome<Option<Timestamp>> {
    match seconds {
        None => Ok(None),
        // At most MAX_LIFE seconds, so neither the conversion nor the sum can overflow.
        Some(seconds @ 1..=MAX_LIFE) => Ok(Some(Timestamp(
            at.0.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)),
        ))),
        Some(_) => Err(Problem::invalid("expires_in_seconds", format!("it lives 1 to {MAX_LIFE} seconds"))
            .hint("leave it out for what does not expire")),
    }
}

/// Makes a token's row and its audit line.
///
/// # Errors
/// What the store says.
pub(crate) async fn insert(
    tx: &mut Tx,
    account: AccountId,
    user: UserId,
    (name, scopes): (&str, Option<&Scopes>),
    expires_at: Option<Timestamp>,
    at: Timestamp,
    actor: String,
) -> Outcome<(TokenRow, Secret)> {
    let secret = token::generate()?;
    let row = TokenRow {
        id: TokenId::generate(),
        account,
        user,
        name: name.to_owned(),
        prefix: token::shown(&secret),
        scopes: scopes.cloned(),
        created_at: at,
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    store::tokens::insert(tx, &row, &token::hash_text(secret.expose())).await?;
    let detail = scopes.map_or_else(|| json!({}), |scopes| json!({ "scopes": scopes }));
    let act = Act { action: "token.create", kind: "token", id: row.id.to_string(), name, detail };
    audit::note(tx, account, actor, at, act).await?;
    Ok((row, secret))
}

/// Revokes a token, at once for this process. Doing it again is no error.
///
/// # Errors
/// 404 for one that is not there, or not the caller's.
pub(crate) async fn revoke(app: &App, caller: &Caller, id: &str) -> Outcome<()> {
    caller.require_scope(&Scope::Admin)?;
    let unknown =
        || Problem::not_found("token", id).hint("`berth token list` shows those there are, with their ids");
    let id: TokenId = id.parse().map_err(|_| unknown())?;
    let row = store::tokens::by_id(&app.store, caller.account, id).await?.ok_or_else(unknown)?;
    if row.user != caller.user && caller.role < Role::Admin {
        return Err(unknown());
    }
    let at = now();
    let mut tx = app.store.begin().await?;
    let row = store::tokens::revoke(&mut tx, caller.account, id, at).await?;
    let act =
        Act { action: "token.revoke", kind: "token", id: id.to_string(), name: &row.name, detail: json!({}) };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.directory.forget_tokens();
    Ok(())
}

fn render(row: TokenRow) -> Token {
    Token {
        id: row.id,
        name: row.name,
        prefix: row.prefix,
        scopes: row.scopes,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    }
}

/// The code of a token that is refused.
pub(crate) fn refused(error: gateway::AuthError) -> Problem {
    let code = match error {
        gateway::AuthError::Unavailable => ErrorCode::Unavailable,
        gateway::AuthError::Agent => ErrorCode::Forbidden,
        gateway::AuthError::Missing
        | gateway::AuthError::Wrong
        | gateway::AuthError::Expired
        | gateway::AuthError::Audience
        | gateway::AuthError::Revoked => ErrorCode::Unauthorized,
    };
    Problem::refused(code, error)
}
