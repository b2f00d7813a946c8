//! The OAuth 2.1 authorization server: clients, consent, tokens. What a request may be is decided in the crate `oauth`; what
//! it does here is decided here.

pub(crate) mod assertions;
pub(crate) mod authorize;
pub(crate) mod clients;
pub(crate) mod devices;
pub(crate) mod discovery;
pub(crate) mod expected;
pub(crate) mod grants;
pub(crate) mod keeper;
pub(crate) mod proof;
pub(crate) mod register;
pub(crate) mod tokens;

use domain::names::{AccountName, InstanceName};
use domain::scopes::{Scope, Scopes};
use oauth::errors::{Code, Refused};
use store::StoreError;

use crate::app::{App, Problem};
use crate::auth::access::KeyError;
use crate::secrets::SecretsError;

/// Why the authorization server did not do it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client can do something about it.
    Refused(Refused),
    /// Our fault, or our machine's.
    Failed(Problem),
}

impl Failure {
    pub(crate) fn new(code: Code, description: impl Into<String>) -> Self {
        Self::Refused(Refused::new(code, description))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<SecretsError> for Failure {
    fn from(error: SecretsError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::Failed(Problem::Failed(Box::new(error)))
    }
}

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The JSON API: the origin itself.
    Api,
    /// One MCP address.
    Server {
        /// Of which account.
        account: AccountName,
        /// Which instance.
        instance: InstanceName,
        /// Whether it is the address of HTTP+SSE, which is a resource of its own for clients.
        is_sse: bool,
    },
}

impl Resource {
    /// The resource that a client names, by whichever of our addresses (RFC 8707 §2).
    ///
    /// # Errors
    /// [`Code::InvalidTarget`].
    pub(crate) fn parse(app: &App, text: &str) -> Result<Self, Refused> {
        let none = || {
            Refused::new(
                Code::InvalidTarget,
                "`resource` is none of this server's: it is the address of an MCP server, or this server's own",
            )
        };
        let canonical = oauth::resource::canonical(text).ok_or_else(none)?;
        match app.bases.strip(&canonical).ok_or_else(none)? {
            "" => Ok(Self::Api),
            path => {
                let (account, instance, is_sse) = gateway::parse_address(path).ok_or_else(none)?;
                Ok(Self::Server { account, instance, is_sse })
            }
        }
    }

    /// Its path below an origin.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Api => String::new(),
            Self::Server { account, instance, is_sse } => {
                format!("{}{account}/{instance}{}", gateway::PREFIX, if *is_sse { "/sse" } else { "" })
            }
        }
    }

    /// Its identifier in tokens, whichever address the client used.
    pub(crate) fn audience(&self, app: &App) -> String {
        format!("{}{}", app.directory.access().issuer(), self.path())
    }

    /// What a client that asks for `asked` may be given of it. Words that are no scopes of ours (`openid`, `offline_access`) are
    /// passed over, as RFC 6749 §3.3 allows, and who asks for nothing gets the usual.
    pub(crate) fn scopes(&self, asked: &str) -> Scopes {
        let asked: Vec<Scope> = asked.split(' ').filter_map(|text| text.parse().ok()).collect();
        let (given, usual): (Vec<Scope>, Scope) = match self {
            Self::Api => (asked, Scope::Read),
            Self::Server { instance, .. } => {
                let all = Scope::Call { instance: Some(instance.clone()), tool: None };
                let of_it = |scope: Scope| match scope {
                    Scope::Call { instance: None, .. } => Some(all.clone()),
                    Scope::Call { instance: Some(ref of), .. } if of == instance => Some(scope),
                    _ => None,
                };
                (asked.into_iter().filter_map(of_it).collect(), all.clone())
            }
        };
        Scopes::try_from(given).unwrap_or_else(|_| Scopes::one(usual))
    }
}

/// Scopes as OAuth writes them, with spaces between.
pub(crate) fn written(scopes: &Scopes) -> String {
    scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
