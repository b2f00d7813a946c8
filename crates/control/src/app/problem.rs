//! What can go wrong in the application layer. It knows HTTP only through [`ErrorCode`], which every code has one of.

use api::errors::{ErrorCode, ErrorDetail};
use store::StoreError;

use crate::secrets::SecretsError;

/// Why an act did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The caller can do something about it.
    #[error("{}", .0.message)]
    Refused(ErrorDetail),
    /// Our fault, or our machine's.
    #[error("the control plane failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a function of the application layer gives.
pub(crate) type Outcome<T> = Result<T, Problem>;

impl Problem {
    /// A refusal with a code and a sentence.
    #[expect(clippy::needless_pass_by_value, reason = "callers pass an error, a String or a &str alike")]
    pub(crate) fn refused(code: ErrorCode, message: impl ToString) -> Self {
        Self::Refused(ErrorDetail { code, message: message.to_string(), field: None, hint: None })
    }

    /// 422: the value of `field` cannot be.
    #[expect(clippy::needless_pass_by_value, reason = "callers pass an error, a String or a &str alike")]
    pub(crate) fn invalid(field: impl Into<String>, message: impl ToString) -> Self {
        Self::Refused(ErrorDetail {
            code: ErrorCode::Invalid,
            message: message.to_string(),
            field: Some(field.into()),
            hint: None,
        })
    }

    /// 404 for something of that kind and name.
    pub(crate) fn not_found(what: &str, name: &str) -> Self {
        Self::refused(ErrorCode::NotFound, format!("there is no {what} `{name}` in this account"))
    }

    /// The same with what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Refused(detail) = &mut self {
            detail.hint = Some(hint.into());
        }
        self
    }

    /// The same with the field that is wrong.
    #[must_use]
    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        if let Self::Refused(detail) = &mut self {
            detail.field = Some(field.into());
        }
        self
    }

    /// What the caller is told. The reason of a failure of ours is not for callers: it goes to the log, here and once.
    pub(crate) fn into_detail(self) -> ErrorDetail {
        match self {
            Self::Refused(detail) => detail,
            Self::Failed(source) => {
                tracing::error!(error = %Chain(source.as_ref()), "a request failed");
                ErrorDetail {
                    code: ErrorCode::Internal,
                    message: "the control plane failed; its log has the reason".to_owned(),
                    field: None,
                    hint: None,
                }
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { what } => {
                Self::refused(ErrorCode::NotFound, format!("there is no such {what} in this account"))
            }
            StoreError::Taken { field, .. } => Self::refused(ErrorCode::Conflict, error).field(field),
            StoreError::Invalid { field, .. } => Self::invalid(field, error),
            StoreError::UnknownCatalogEntry { .. } => {
                Self::invalid("server", error).hint("`berth catalog search` lists what there is")
            }
            StoreError::NoSpace { .. } => {
                Self::refused(ErrorCode::NoSpace, error).hint("free some room on the control plane's disk")
            }
            StoreError::Unavailable { .. } => {
                tracing::warn!(error = %Chain(&error), "the database did not answer");
                Self::refused(ErrorCode::Unavailable, "the database does not answer at the moment")
                    .hint("try again shortly")
            }
            StoreError::CannotOpen { .. }
            | StoreError::Newer { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Refused { .. } => Self::Failed(Box::new(error)),
        }
    }
}

impl From<SecretsError> for Problem {
    fn from(error: SecretsError) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// An error with its causes, in one line.
pub(crate) struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl std::fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}
