//! What is wrong with a form that is shown again, and forms whose fields come more than once.

use api::errors::ErrorCode;
use axum::http::StatusCode;
use serde::Deserialize;

use crate::app::Problem;
use crate::web::visitor::Turned;

/// Why a form was not taken.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    field: String,
    pub(super) status: StatusCode,
}

impl Wrong {
    /// What a form is shown again with.
    ///
    /// # Errors
    /// What no other answer in the form would change has a page of its own.
    pub(super) fn of(problem: Problem) -> Result<Self, Turned> {
        let detail = match problem {
            Problem::Refused(detail)
                if !matches!(
                    detail.code,
                    ErrorCode::Forbidden | ErrorCode::NotFound | ErrorCode::Unauthorized
                ) =>
            {
                detail
            }
            problem => return Err(problem.into()),
        };
        Ok(Self {
            message: detail.message,
            hint: detail.hint,
            field: detail.field.unwrap_or_default(),
            status: StatusCode::from_u16(detail.code.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY),
        })
    }

    /// Whether it is about this field, or a part of it.
    pub(super) fn is(&self, field: &str) -> bool {
        self.field.split('.').next() == Some(field)
    }
}

/// The status of a form's page.
pub(super) fn status_of(wrong: Option<&Wrong>) -> StatusCode {
    wrong.map_or(StatusCode::OK, |wrong| wrong.status)
}

/// A form, some fields of which may come more than once.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first of that name without white space around it; empty when there is none.
    pub(super) fn one(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
    }

    /// The same unless it is empty.
    pub(super) fn given(&self, name: &str) -> Option<String> {
        Some(self.one(name)).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// All of that name.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.trim().to_owned()).collect()
    }

    /// Whether a box of that name is ticked.
    pub(super) fn is_ticked(&self, name: &str) -> bool {
        !self.one(name).is_empty()
    }
}
