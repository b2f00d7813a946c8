//! Ids: a UUID version 7 with the kind of thing it names in its type, so that no function can be handed the wrong one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = Uuid)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id: time-ordered, so that rows made together lie together.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// A tenant (`accounts`).
    AccountId;
    /// A person (`users`).
    UserId;
    /// An API token (`api_tokens`); not the secret itself.
    TokenId;
    /// What opens a registry of container images (`registry_logins`).
    RegistryLoginId;
    /// A rule of an account (`access_rules`).
    RuleId;
    /// A secret of an account (`secrets`).
    SecretId;
    /// One version of a secret (`secret_versions`).
    SecretVersionId;
    /// What a member brings for themselves to an instance (`own_values`).
    OwnValuesId;
    /// One machine that can run tools (`account_tool_environments`).
    EnvironmentId;
    /// One version of something that can be deployed (`tool_catalog`).
    CatalogEntryId;
    /// One catalog entry deployed into one environment (`account_tool_instances`).
    InstanceId;
    /// Where somebody is signed in with a browser (`user_sessions`).
    SessionId;
    /// A link that signs somebody in, once (`sign_in_links`).
    SignInLinkId;
    /// A link into an account (`invitations`).
    InvitationId;
    /// One line of the audit table (`audit_log`).
    AuditId;
    /// One line of the audit of calls (`call_audit`).
    CallId;
    /// What a person allowed a client of OAuth (`oauth_grants`).
    GrantId;
    /// A key that access tokens are signed with (`oauth_keys`).
    SigningKeyId;
    /// One upgrade of hosts (`upgrades`).
    UpgradeId;
    /// Something that happened to an instance (`instance_events`).
    InstanceEventId;
    /// A change of what an instance is (`instance_changes`).
    ChangeId;
    /// Something that is or was broken (`alerts`).
    AlertId;
    /// One address over what several instances have (`toolbelts`).
    ToolbeltId;
    /// An instance in a toolbelt (`agent_toolbelt_items`).
    ToolbeltItemId;
    /// A program of a user's that has a toolbelt of its own (`agents`).
    AgentId;
    /// A token of an agent (`agent_tokens`); not the secret itself.
    AgentTokenId;
    /// That an agent may have instances of an environment in its toolbelt (`agent_toolbox_access`).
    ToolboxAccessId;
    /// What an agent brings to an instance (`agent_tool_credentials`).
    AgentCredentialId;
    /// Whether an agent may call one tool (`agent_tool_capability_permissions`).
    CapabilityPermissionId;
    /// How much of a server an agent may call (`agent_mcp_server_access`).
    ServerAccessId;
}

impl CatalogEntryId {
    /// The seed's generic MCP entry, `00000000-0000-0000-0000-000000000001`: instances of packages that are in no
    /// catalog refer to it.
    pub const GENERIC_MCP: Self = Self(Uuid::from_u128(1));
}
