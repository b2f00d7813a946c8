//! What a command can end with, other than success, and the exit code of it.

use api::errors::ErrorDetail;

/// Why a command did not do what was asked. Messages are one sentence without a full stop; a hint says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// What was typed cannot be: exit code 2.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to type instead.
        hint: Option<String>,
    },
    /// It was tried and failed: exit code 1.
    #[error("{message}")]
    Failed {
        /// What failed.
        message: String,
        /// What to do next.
        hint: Option<String>,
        /// Why, for those who read on.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The control plane refused the request: exit code 1.
    #[error("{}", refusal(.0))]
    Refused(Box<ErrorDetail>),
    /// Everything was said already: exit code 1 without another word.
    #[error("failed")]
    Said,
    /// Whoever read standard output has gone: nothing is left to do, exit code 0.
    #[error("standard output was closed")]
    BrokenPipe,
}

impl CliError {
    /// A failure without a cause worth showing.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None, source: None }
    }

    /// A failure with its cause.
    pub(crate) fn because(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { message: message.into(), hint: None, source: Some(source.into()) }
    }

    /// A mistake in what was typed.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// The same with a next step.
    pub(crate) fn with_hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Usage { hint, .. } | Self::Failed { hint, .. } => *hint = Some(text.into()),
            Self::Refused(detail) => detail.hint = Some(text.into()),
            Self::Said | Self::BrokenPipe => {}
        }
        self
    }

    /// The next step, when there is one.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. } | Self::Failed { hint, .. } => hint.as_deref(),
            Self::Refused(detail) => detail.hint.as_deref(),
            Self::Said | Self::BrokenPipe => None,
        }
    }

    /// 0 done, 1 failed, 2 usage.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Failed { .. } | Self::Refused(_) | Self::Said => 1,
            Self::Usage { .. } => 2,
        }
    }
}

/// An error of the file system: a full disk and a missing permission are said in words.
pub(crate) fn io_failure(doing: &str, path: &std::path::Path, error: std::io::Error) -> CliError {
    let hint = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Some(format!("make room on the disk that holds {}", path.display()))
        }
        std::io::ErrorKind::PermissionDenied if doing.starts_with("read") => {
            Some("it belongs to another user: run this as its owner".to_owned())
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            Some("use a directory that you may write to, with `--data DIR`".to_owned())
        }
        _ => None,
    };
    CliError::Failed {
        message: format!("cannot {doing} `{}`", path.display()),
        hint,
        source: Some(Box::new(error)),
    }
}

fn refusal(detail: &ErrorDetail) -> String {
    match &detail.field {
        // The API's messages mostly name the field already; it is repeated only where they do not.
        Some(field) if !detail.message.contains(field.as_str()) => format!("{field}: {}", detail.message),
        _ => detail.message.clone(),
    }
}
