//! What the gateway asks of the control plane: whose token is this, and where does this instance run.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use domain::ids::{AccountId, InstanceId};
use domain::names::{AccountName, InstanceName};
use hop::address::Address;
use http::{HeaderValue, Uri};

use crate::calls::Calls;
use crate::limits::Bucket;

/// Answers from memory wherever it can: both questions are asked for every call.
pub trait Directory: Send + Sync + 'static {
    /// Whose token this is, when that is already known; `None` means: ask [`Directory::authenticate`].
    fn authenticate_known(&self, bearer: &str) -> Option<Result<Arc<Principal>, AuthError>>;

    /// Whose token this is.
    fn authenticate<'a>(
        &'a self,
        bearer: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Principal>, AuthError>> + Send + 'a>>;

    /// Where an instance of the principal's own account runs, or why it is not served.
    fn find(&self, account: &str, instance: &str, principal: &Principal) -> Result<Arc<Target>, NotServed>;
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The account that the token belongs to; instances of others do not exist for it.
    pub account: AccountName,
    /// The account's id.
    pub account_id: AccountId,
    /// What the caller showed, such as `token:0198…`.
    pub credential: Arc<str>,
    /// What the shim is told of the caller, such as `user:0198…`.
    pub header: HeaderValue,
    /// Which addresses its token is for.
    pub audience: Audience,
    /// What it may call in the account.
    pub calls: Calls,
    /// How often its token may call, and all of its account together.
    pub limits: Limits,
}

/// Which MCP addresses a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Those of its account, as API tokens are.
    Account,
    /// One alone, as access tokens are (RFC 8707; MCP, Authorization: "Token Audience Binding and Validation").
    Instance {
        /// The account's name in the address.
        account: AccountName,
        /// The instance's.
        instance: InstanceName,
    },
    /// None: it is for the JSON API.
    Api,
}

impl Audience {
    /// Whether an address is one of them.
    pub(crate) fn is(&self, account: &str, instance: &str) -> bool {
        match self {
            Self::Account => true,
            Self::Instance { account: of, instance: only } => {
                of.as_str() == account && only.as_str() == instance
            }
            Self::Api => false,
        }
    }
}

/// How often one may call; absent: as often as it likes.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// With one token.
    pub token: Option<Arc<Bucket>>,
    /// In one account.
    pub account: Option<Arc<Bucket>>,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// None was shown.
    #[error("an API token is required: send it as `Authorization: Bearer …`")]
    Missing,
    /// It is nobody's.
    #[error("this API token is not known: make one with `berth token create`")]
    Wrong,
    /// Its time is over.
    #[error("this API token has expired: make another with `berth token create`")]
    Expired,
    /// Its owner ended it.
    #[error("this API token was revoked: make another with `berth token create`")]
    Revoked,
    /// It is for another address.
    #[error("this token is for another address: sign in for this one")]
    Audience,
    /// It is an agent's, and shown to something else than an MCP address.
    #[error(
        "an agent's token opens MCP addresses alone: take an API token, which `berth token create` makes"
    )]
    Agent,
    /// It could not be checked, because the database did not answer.
    #[error("the token cannot be checked at the moment")]
    Unavailable,
}

/// Where the shim of one instance is reached.
#[derive(Debug, Clone)]
pub struct Target {
    /// Which instance.
    pub instance: InstanceId,
    /// Its name, for messages.
    pub name: InstanceName,
    /// The shim's own socket, or its DTMA.
    pub address: Address,
    /// The path there.
    pub uri: Uri,
    /// `Bearer …` for the DTMA; a shim's socket needs none.
    pub bearer: Option<HeaderValue>,
    /// The key that the shim wants to see.
    pub key: HeaderValue,
    /// How often it may be called; absent: as often as anybody likes.
    pub limit: Option<Arc<Bucket>>,
    /// Whether its process is being replaced by another: a call that finds none there waits a while.
    pub is_changing: bool,
}

/// Why an instance is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotServed {
    /// No such instance in this account.
    Unknown,
    /// It is a container tool.
    Tool,
    /// Its owner stopped it.
    Stopped,
    /// Not running yet; `step` says what it does, such as `installing packages`.
    Starting {
        /// What is being done.
        step: String,
    },
    /// It could not be installed, or crashes.
    Failed {
        /// Why, as its DTMA said.
        message: String,
    },
    /// Its environment, or its shim, does not answer.
    Unreachable {
        /// Which of them, and since when.
        message: String,
    },
}
