//! What handlers take out of a request: who calls, the body, the query. Whatever is wrong is an `ErrorBody` that names
//! the field.

use std::sync::Arc;

use api::errors::ErrorCode;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use domain::scopes::Scope;
use gateway::AuthError;
use serde::de::DeserializeOwned;
use store::environments::EnvironmentRow;

use crate::app::{App, Problem, environments};
use crate::auth::Caller;
use crate::http::refused::Refused;

/// The holder of an API token, whatever it is for.
pub(crate) struct Anyone(pub(crate) Arc<Caller>);

impl FromRequestParts<Arc<App>> for Anyone {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        let bearer = gateway::bearer(&parts.headers).ok_or(AuthError::Missing)?;
        Ok(Self(app.directory.api_caller(bearer).await?))
    }
}

/// The holder of an API token that is for more than calls of MCP servers.
pub(crate) struct By(pub(crate) Arc<Caller>);

impl FromRequestParts<Arc<App>> for By {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        let Anyone(caller) = Anyone::from_request_parts(parts, app).await?;
        caller.require_scope(&Scope::Read)?;
        Ok(Self(caller))
    }
}

/// The environment whose DTMA calls.
pub(crate) struct ByDtma(pub(crate) EnvironmentRow);

impl FromRequestParts<Arc<App>> for ByDtma {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        let bearer = gateway::bearer(&parts.headers).ok_or(AuthError::Missing)?;
        Ok(Self(environments::of_token(app, bearer).await?))
    }
}

/// The JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(explain(&rejection).into()),
        }
    }
}

/// The query.
pub(crate) struct Params<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Params<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let reason = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, reason)| reason);
                Err(with_field(Problem::refused(ErrorCode::BadRequest, reason), reason).into())
            }
        }
    }
}

pub(crate) fn explain(rejection: &JsonRejection) -> Problem {
    let text = rejection.body_text();
    match rejection {
        JsonRejection::JsonDataError(_) => {
            let reason = text.split_once("target type: ").map_or(text.as_str(), |(_, reason)| reason);
            // The position helps nobody who sent an object made by a program.
            let reason = reason.rsplit_once(" at line ").map_or(reason, |(reason, _)| reason);
            with_field(Problem::refused(ErrorCode::Invalid, reason), reason)
        }
        JsonRejection::JsonSyntaxError(_) => {
            let reason = text.split_once("as JSON: ").map_or(text.as_str(), |(_, reason)| reason);
            Problem::refused(ErrorCode::BadRequest, format!("the body is not JSON: {reason}"))
        }
        JsonRejection::MissingJsonContentType(_) => {
            Problem::refused(ErrorCode::BadRequest, "the body must be JSON")
                .hint("send the header `Content-Type: application/json`")
        }
        other if other.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::refused(ErrorCode::TooLarge, format!("a body has at most {} MiB", super::MAX_BODY >> 20))
        }
        _ => Problem::refused(ErrorCode::BadRequest, "the body could not be read"),
    }
}

/// The field of a deserialiser's message: the path before the colon, or the name between the first backticks.
pub(crate) fn with_field(problem: Problem, reason: &str) -> Problem {
    let path = reason.split_once(": ").map(|(path, _)| path);
    let path = path.filter(|path| !path.contains(' ') && !path.contains('`'));
    let quoted = || {
        let named = reason.contains("missing field") || reason.contains("unknown field");
        reason.split('`').nth(1).filter(|_| named)
    };
    match path.or_else(quoted) {
        Some(field) => problem.field(field),
        None => problem,
    }
}
