//! What a page says of the form that was sent from it.

use api::errors::ErrorCode;
use axum::http::StatusCode;
use domain::secret::Secret;

use crate::app::Problem;

/// A word about what was just done, or could not be.
#[derive(Debug, Default)]
pub(crate) struct Notice {
    /// Whether it went well.
    pub(crate) is_good: bool,
    /// What happened, as a sentence.
    pub(crate) words: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// The field that is meant.
    pub(crate) field: Option<String>,
    /// What is shown this once and never again, such as the text of a token.
    pub(crate) once: Option<Secret>,
    /// The status of the page that says so.
    pub(crate) status: StatusCode,
}

impl Notice {
    /// It was done, and this is shown this once.
    pub(crate) fn once(words: impl Into<String>, secret: Secret) -> Self {
        Self { is_good: true, words: words.into(), once: Some(secret), ..Self::default() }
    }

    /// It was done.
    pub(crate) fn done(words: impl Into<String>) -> Self {
        Self { is_good: true, words: words.into(), ..Self::default() }
    }

    /// Why not, for the page with the form; with the page's status.
    ///
    /// # Errors
    /// The problem itself, when no other form would help: it is a page of its own.
    pub(crate) fn of(problem: Problem) -> Result<(StatusCode, Self), Problem> {
        match problem {
            Problem::Refused(detail)
                if matches!(
                    detail.code,
                    ErrorCode::Invalid
                        | ErrorCode::BadRequest
                        | ErrorCode::Internal
                        | ErrorCode::Conflict
                        | ErrorCode::TooMany
                        | ErrorCode::TooLarge
                        | ErrorCode::NoSpace
                        | ErrorCode::BadGateway
                        | ErrorCode::Unavailable
                ) =>
            {
                let status =
                    StatusCode::from_u16(detail.code.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
                let words = sentence(&detail.message);
                let hint = detail.hint.as_deref().map(sentence);
                Ok((status, Self { words, hint, field: detail.field, status, ..Self::default() }))
            }
            other => Err(other),
        }
    }
}

impl Notice {
    /// As [`Notice::of`], for pages that take the status from what they are told.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn wrong(problem: Problem) -> Result<Self, Problem> {
        Ok(Self::of(problem)?.1)
    }

    /// Whether it is about this field, or a part of it.
    pub(crate) fn is(&self, field: &str) -> bool {
        self.field.as_ref().is_some_and(|own| own.split('.').next() == Some(field))
    }
}

/// The status of a page with a notice, or without one.
pub(crate) fn status_of(notice: Option<&Notice>) -> StatusCode {
    notice.map_or(StatusCode::OK, |notice| notice.status)
}

/// With a capital in front and a full stop behind.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// What was typed, or nothing where that was nothing.
pub(crate) fn typed(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
