//! The tables of MCP servers beside the instances: `mcp_servers` of `mcp_configurations`, and `agent_mcp_connections` in both shapes.

use serde_json::Value;
use uuid::Uuid;

use super::Tables;
use super::model::{Address, Generation, Older, OlderItem, OlderRemote};

const SERVERS: &str = "mcp_servers";
const CONNECTIONS: &str = "agent_mcp_connections";

pub(super) fn take(tables: &Tables, older: &mut Older) {
    if ["mcp_server_catalog", SERVERS, CONNECTIONS].iter().any(|table| tables.has(table)) {
        older.generations.insert(Generation::Mcp);
    }
    servers(tables, older);
    if tables.has_column(CONNECTIONS, "mcp_server_instance_id") {
        to_instances(tables, older);
    } else {
        to_addresses(tables, older);
    }
}

/// Which agent a configuration is of, and whether it counts.
fn configurations(tables: &Tables) -> Vec<(u64, Option<Uuid>, bool)> {
    let rows = tables.rows("mcp_configurations").iter();
    rows.filter_map(|row| {
        Some((row.count("id")?, row.id("agent_id"), row.flag("is_enabled").unwrap_or(true)))
    })
    .collect()
}

fn servers(tables: &Tables, older: &mut Older) {
    let configurations = configurations(tables);
    for row in tables.rows(SERVERS) {
        let Some(key_of_row) = row.label() else {
            row.give_up(older, "it has no id");
            continue;
        };
        let of = row.count("config_id");
        let of = configurations.iter().find(|(id, _, _)| Some(*id) == of);
        let address = row.text(&["endpoint_url"]).map_or(Address::Missing, Address::Plain);
        older.remotes.push(OlderRemote {
            key_of_row,
            table: SERVERS,
            agent: of.and_then(|(_, agent, _)| *agent),
            name: row.text(&["name"]).unwrap_or_else(|| "mcp-server".to_owned()),
            address,
            key: row.text(&["vault_api_key_id"]),
            auth: Value::Null,
            is_active: row.flag("is_active").unwrap_or(true) && of.is_none_or(|(_, _, enabled)| *enabled),
            created_at: row.time("created_at"),
        });
    }
}

/// The first shape: an agent is connected to an instance, which makes it one of the agent's.
fn to_instances(tables: &Tables, older: &mut Older) {
    for row in tables.rows(CONNECTIONS) {
        let (Some(agent), Some(instance)) = (row.id("agent_id"), row.id("mcp_server_instance_id")) else {
            row.give_up(older, "it lacks its agent or its instance");
            continue;
        };
        if older.items.iter().any(|item| item.agent == agent && item.instance == instance) {
            continue;
        }
        let is_active = row.text(&["connection_status"]).is_none_or(|word| word == "connected");
        let (created_at, updated_at) = (row.time("created_at"), row.time("updated_at"));
        older.items.push(OlderItem { id: row.id("id"), agent, instance, is_active, created_at, updated_at });
    }
}

/// The second shape: an agent is connected to an address.
fn to_addresses(tables: &Tables, older: &mut Older) {
    for row in tables.rows(CONNECTIONS) {
        let Some(key_of_row) = row.label() else {
            row.give_up(older, "it has no id");
            continue;
        };
        let address = match (row.text(&["vault_server_url_id"]), row.text(&["server_url"])) {
            (Some(_), _) => Address::Secret,
            (None, Some(url)) => Address::Plain(url),
            (None, None) => Address::Missing,
        };
        older.remotes.push(OlderRemote {
            key_of_row,
            table: CONNECTIONS,
            agent: row.id("agent_id"),
            name: row.text(&["connection_name"]).unwrap_or_else(|| "connection".to_owned()),
            address,
            key: None,
            auth: row.json("auth_config"),
            is_active: row.flag("is_active").unwrap_or(true),
            created_at: row.time("created_at"),
        });
    }
}
