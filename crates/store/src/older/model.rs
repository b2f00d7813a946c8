//! What is in an older database, whichever generation said it. Status words and JSON are as they were there.

use std::collections::{BTreeMap, BTreeSet};

use domain::secret::Secret;
use domain::time::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::row::Row;

/// A generation of the older schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// A droplet for each agent (`agent_droplets`, `agent_droplet_tools`).
    Droplets,
    /// Environments of users with `account_tool_environment_active_tools`.
    ActiveTools,
    /// Environments of users with `account_tool_instances`.
    Instances,
    /// Tables of MCP servers beside them.
    Mcp,
}

impl Generation {
    /// One word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Droplets => "droplets",
            Self::ActiveTools => "active-tools",
            Self::Instances => "instances",
            Self::Mcp => "mcp",
        }
    }
}

/// All of it, each list in the order in which its rows were made.
#[derive(Debug, Default)]
pub struct Older {
    /// Which generations have left tables there.
    pub generations: BTreeSet<Generation>,
    /// Everybody who can sign in; absent where that may not be read.
    pub users: Option<Vec<OlderUser>>,
    /// What could be deployed.
    pub entries: Vec<OlderEntry>,
    /// Machines.
    pub environments: Vec<OlderEnvironment>,
    /// What was deployed to them.
    pub instances: Vec<OlderInstance>,
    /// MCP servers that run elsewhere.
    pub remotes: Vec<OlderRemote>,
    /// Agents.
    pub agents: Vec<OlderAgent>,
    /// Which environments they may have instances of.
    pub toolboxes: Vec<OlderToolbox>,
    /// Which instances they have.
    pub items: Vec<OlderItem>,
    /// What they bring to those.
    pub credentials: Vec<OlderCredential>,
    /// Which tools of those they may call.
    pub permissions: Vec<OlderPermission>,
    /// How much of a server they may call.
    pub access: Vec<OlderAccess>,
    /// What could be opened of the vault.
    pub vault: Vault,
    /// What is there and not in any of these lists.
    pub unread: Vec<Unread>,
}

impl Older {
    /// The secrets of the vault that are referred to.
    pub(super) fn secret_ids(&self) -> BTreeSet<Uuid> {
        let credentials = self.credentials.iter().map(|row| row.secret.as_str());
        let keys = self.remotes.iter().filter_map(|row| row.key.as_deref());
        let ids = credentials.chain(keys).filter_map(|text| text.parse().ok());
        ids.chain(self.instances.iter().flat_map(|row| row.secret_ids().into_values())).collect()
    }
}

/// Somebody who can sign in (`auth.users`).
#[derive(Debug, Clone)]
pub struct OlderUser {
    /// The id that rows refer to.
    pub id: Uuid,
    /// An e-mail address.
    pub email: Option<String>,
    /// When they came.
    pub created_at: Option<Timestamp>,
}

impl OlderUser {
    pub(super) fn of(row: &Row) -> Option<Self> {
        let email = row.text(&["email"]).map(|email| email.to_lowercase());
        Some(Self { id: row.id("id")?, email, created_at: row.time("created_at") })
    }
}

/// What could be deployed (`tool_catalog`, `mcp_server_catalog`).
#[derive(Debug, Clone)]
pub struct OlderEntry {
    /// Its id.
    pub id: Uuid,
    /// The table it is in.
    pub table: &'static str,
    /// Its name.
    pub name: String,
    /// The name that people read.
    pub title: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Who develops it.
    pub publisher: Option<String>,
    /// Its picture.
    pub icon_url: Option<String>,
    /// Where to read more.
    pub documentation_url: Option<String>,
    /// Where its source lies.
    pub repository_url: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// The image that is deployed.
    pub image: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Whether it is an MCP server; absent: the row does not say.
    pub is_mcp: Option<bool>,
    /// `default_config_template`.
    pub template: Value,
    /// `required_secrets_schema`.
    pub secrets: Value,
    /// `required_config_schema` or `configuration_schema`.
    pub settings: Value,
    /// Its standing.
    pub status: Option<String>,
    /// Whether everybody may see it.
    pub is_public: bool,
    /// Whether somebody made sure of its publisher.
    pub is_verified: bool,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// A machine.
#[derive(Debug, Clone)]
pub struct OlderEnvironment {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user: Option<Uuid>,
    /// The agent that it is for, where each had its own.
    pub agent: Option<Uuid>,
    /// Its name.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Its state's word.
    pub status: Option<String>,
    /// DigitalOcean's number.
    pub droplet: Option<u64>,
    /// Its name there.
    pub droplet_name: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Its size.
    pub size: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// Its public address, without a mask.
    pub address: Option<String>,
    /// The token of its DTMA.
    pub token: Option<Secret>,
    /// The version of its DTMA.
    pub version: Option<String>,
    /// Why it could not be made.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it was changed.
    pub updated_at: Option<Timestamp>,
}

/// Something that was deployed.
#[derive(Clone)]
pub struct OlderInstance {
    /// Its id.
    pub id: Uuid,
    /// The table it is in.
    pub table: &'static str,
    /// Where it is.
    pub environment: Uuid,
    /// What it was made from.
    pub entry: Option<Uuid>,
    /// Its name on the host.
    pub name: Option<String>,
    /// Its state's word.
    pub status: Option<String>,
    /// Whether it is wanted; absent: the generation does not say.
    pub enabled: Option<bool>,
    /// `config_values`: may hold secrets.
    pub config: Value,
    /// `port_mapping_json`.
    pub ports: Value,
    /// `base_config_override_json`, Docker's create options: may hold secrets.
    pub options: Value,
    /// The image, where the row names one.
    pub image: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Why it does not run.
    pub error: Option<String>,
    /// `mcp_server_type`.
    pub kind: Option<String>,
    /// `mcp_endpoint_path`.
    pub endpoint: Option<String>,
    /// `mcp_transport_type`.
    pub transport: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it was changed.
    pub updated_at: Option<Timestamp>,
}

impl OlderInstance {
    /// The secrets of the vault that its settings name, by their names there.
    pub fn secret_ids(&self) -> BTreeMap<String, Uuid> {
        let named = self.config["secret_vault_ids"].as_object();
        let ids = named.into_iter().flatten();
        ids.filter_map(|(name, id)| Some((name.clone(), id.as_str()?.parse().ok()?))).collect()
    }
}

impl std::fmt::Debug for OlderInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OlderInstance")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// An MCP server that runs elsewhere, of an agent (`mcp_servers`, `agent_mcp_connections`).
#[derive(Clone)]
pub struct OlderRemote {
    /// What tells it apart in its table.
    pub key_of_row: String,
    /// The table it is in.
    pub table: &'static str,
    /// The agent.
    pub agent: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// The vault's id of its key.
    pub key: Option<String>,
    /// `auth_config`: may hold secrets.
    pub auth: Value,
    /// Whether it is used.
    pub is_active: bool,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

impl std::fmt::Debug for OlderRemote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OlderRemote")
            .field("table", &self.table)
            .field("key_of_row", &self.key_of_row)
            .finish_non_exhaustive()
    }
}

/// Where a server is.
#[derive(Debug, Clone)]
pub enum Address {
    /// In the row.
    Plain(String),
    /// In the vault: the address itself opens it.
    Secret,
    /// The row does not say.
    Missing,
}

/// An agent.
#[derive(Debug, Clone)]
pub struct OlderAgent {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user: Option<Uuid>,
    /// Its name.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it was changed.
    pub updated_at: Option<Timestamp>,
}

/// That an agent may have instances of an environment.
#[derive(Debug, Clone)]
pub struct OlderToolbox {
    /// Its id; absent: it follows from other rows.
    pub id: Option<Uuid>,
    /// The agent.
    pub agent: Uuid,
    /// The environment.
    pub environment: Uuid,
    /// Since when.
    pub granted_at: Option<Timestamp>,
}

/// An instance that an agent has.
#[derive(Debug, Clone)]
pub struct OlderItem {
    /// Its id; absent: it follows from other rows.
    pub id: Option<Uuid>,
    /// The agent.
    pub agent: Uuid,
    /// The instance.
    pub instance: Uuid,
    /// Whether the agent sees it.
    pub is_active: bool,
    /// When it was added.
    pub created_at: Option<Timestamp>,
    /// When it was changed.
    pub updated_at: Option<Timestamp>,
}

/// What an agent brings to an instance.
#[derive(Debug, Clone)]
pub struct OlderCredential {
    /// Its id.
    pub id: Uuid,
    /// The item.
    pub item: Uuid,
    /// Its kind, such as `api_key`.
    pub kind: String,
    /// The vault's id of the value.
    pub secret: String,
    /// Whose account it opens.
    pub account_identifier: Option<String>,
    /// When it was last seen to work.
    pub last_validated_at: Option<Timestamp>,
    /// Its state's word.
    pub status: Option<String>,
    /// When it was given.
    pub created_at: Option<Timestamp>,
    /// When it was changed.
    pub updated_at: Option<Timestamp>,
}

/// Whether an agent may call one tool of an item.
#[derive(Debug, Clone)]
pub struct OlderPermission {
    /// Its id.
    pub id: Uuid,
    /// The item.
    pub item: Uuid,
    /// The tool.
    pub capability: String,
    /// Whether it may.
    pub is_allowed: bool,
    /// When that was said.
    pub created_at: Option<Timestamp>,
    /// When it was changed.
    pub updated_at: Option<Timestamp>,
}

/// How much of a server an agent may call.
#[derive(Debug, Clone)]
pub struct OlderAccess {
    /// Its id; absent: it follows from other rows.
    pub id: Option<Uuid>,
    /// The agent.
    pub agent: Uuid,
    /// The instance.
    pub instance: Uuid,
    /// Who granted it.
    pub granted_by: Option<Uuid>,
    /// How much: a word.
    pub level: Option<String>,
    /// Which tools.
    pub allowed_tools: Value,
    /// Since when.
    pub granted_at: Option<Timestamp>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// Whether it counts.
    pub is_active: bool,
}

/// What could be opened of the vault.
#[derive(Debug, Clone, Default)]
pub struct Vault {
    /// Secrets by their ids.
    pub opened: BTreeMap<Uuid, Secret>,
    /// Why others could not be.
    pub why: Option<String>,
}

/// Rows of which nothing was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Their table.
    pub table: &'static str,
    /// The id of one, where it is one and has one.
    pub id: Option<String>,
    /// How many.
    pub count: u64,
    /// Why.
    pub why: String,
}
