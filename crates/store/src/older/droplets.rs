//! `agent_droplets` and `agent_droplet_tools`: the first generation, in which each agent had a droplet of its own and could call all that
//! was enabled on it.

use super::Tables;
use super::environments::without_mask;
use super::model::{
    Generation, Older, OlderAccess, OlderEnvironment, OlderInstance, OlderItem, OlderToolbox,
};
use super::row::Row;

pub(super) fn take(tables: &Tables, older: &mut Older) {
    if !tables.has("agent_droplets") {
        return;
    }
    older.generations.insert(Generation::Droplets);
    let mut agents = Vec::new();
    for row in tables.rows("agent_droplets") {
        let Some(id) = row.id("id") else {
            row.give_up(older, "it has no id");
            continue;
        };
        if older.environments.iter().any(|known| known.id == id) {
            continue;
        }
        let agent = row.id("agent_id");
        agents.push((id, agent));
        // The owner is the agent's, which the agents' own rows say.
        let owner = agent.and_then(|agent| owner_of(tables.rows("agents"), agent));
        if let Some(agent) = agent {
            let granted_at = row.time("created_at");
            older.toolboxes.push(OlderToolbox { id: None, agent, environment: id, granted_at });
        }
        older.environments.push(OlderEnvironment {
            id,
            user: owner,
            agent,
            name: row.text(&["name", "droplet_name", "do_droplet_name"]),
            description: row.text(&["description"]),
            status: row.text(&["status"]),
            droplet: row.count("do_droplet_id"),
            droplet_name: row.text(&["do_droplet_name"]),
            region: row.text(&["region_slug"]),
            size: row.text(&["size_slug"]),
            image: row.text(&["image_slug"]),
            address: row.text(&["ip_address", "public_ip_address"]).map(|text| without_mask(&text)),
            token: row.secret(&["dtma_auth_token", "dtma_bearer_token"]),
            version: row.text(&["dtma_last_known_version"]),
            error: row.text(&["error_message", "provisioning_error_message"]),
            created_at: row.time("created_at"),
            updated_at: row.time("updated_at"),
        });
    }
    for row in tables.rows("agent_droplet_tools") {
        let Some(id) = row.id("id") else {
            row.give_up(older, "it has no id");
            continue;
        };
        let Some(environment) = row.id("agent_droplet_id") else {
            row.give_up(older, "it names no droplet");
            continue;
        };
        let enabled = row.flag("enabled");
        let created_at = row.time("created_at");
        older.instances.push(OlderInstance {
            id,
            table: row.table,
            environment,
            entry: row.id("tool_catalog_id"),
            name: row.text(&["container_name", "instance_name_on_toolbox"]),
            status: row.text(&["status", "status_on_droplet"]),
            enabled,
            config: row.json("config_values"),
            ports: row.json("port_mapping_json"),
            options: row.json("base_config_override_json"),
            image: None,
            version: row.text(&["actual_installed_version", "version_to_install"]),
            error: row.text(&["error_message"]),
            kind: None,
            endpoint: None,
            transport: None,
            created_at,
            updated_at: row.time("updated_at"),
        });
        let agent = agents.iter().find(|(droplet, _)| *droplet == environment).and_then(|(_, agent)| *agent);
        let Some(agent) = agent else { continue };
        let (instance, is_active) = (id, enabled.unwrap_or(true));
        let updated_at = row.time("updated_at");
        older.items.push(OlderItem { id: None, agent, instance, is_active, created_at, updated_at });
        older.access.push(OlderAccess {
            id: None,
            agent,
            instance,
            granted_by: None,
            level: Some("full_access".to_owned()),
            allowed_tools: serde_json::Value::Null,
            granted_at: created_at,
            expires_at: None,
            is_active,
        });
    }
}

fn owner_of(agents: &[Row], agent: uuid::Uuid) -> Option<uuid::Uuid> {
    agents.iter().find(|row| row.id("id") == Some(agent))?.id("user_id")
}
