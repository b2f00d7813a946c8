//! Agents, and what they have and may.

use super::Tables;
use super::model::{
    Older, OlderAccess, OlderAgent, OlderCredential, OlderItem, OlderPermission, OlderToolbox,
};
use super::row::Row;

/// Takes one row; `None` when it lacks what it cannot be without.
type Take = fn(&Row, &mut Older) -> Option<()>;

pub(super) fn take(tables: &Tables, older: &mut Older) {
    let all: [(&str, Take); 6] = [
        ("agents", agent),
        ("agent_toolbox_access", toolbox),
        ("agent_toolbelt_items", item),
        ("agent_tool_credentials", credential),
        ("agent_tool_capability_permissions", permission),
        ("agent_mcp_server_access", access),
    ];
    for (table, take) in all {
        for row in tables.rows(table) {
            if take(row, older).is_none() {
                row.give_up(older, "it lacks its id, or that of what it is about");
            }
        }
    }
}

fn agent(row: &Row, older: &mut Older) -> Option<()> {
    older.agents.push(OlderAgent {
        id: row.id("id")?,
        user: row.id("user_id"),
        name: row.text(&["name"]),
        description: row.text(&["description"]),
        created_at: row.time("created_at"),
        updated_at: row.time("updated_at"),
    });
    Some(())
}

fn toolbox(row: &Row, older: &mut Older) -> Option<()> {
    older.toolboxes.push(OlderToolbox {
        id: Some(row.id("id")?),
        agent: row.id("agent_id")?,
        environment: row.id("account_tool_environment_id")?,
        granted_at: row.time("granted_at").or(row.time("created_at")),
    });
    Some(())
}

fn item(row: &Row, older: &mut Older) -> Option<()> {
    older.items.push(OlderItem {
        id: Some(row.id("id")?),
        agent: row.id("agent_id")?,
        instance: row.id("account_tool_instance_id").or(row.id("account_tool_environment_active_tool_id"))?,
        is_active: row.flag("is_active_for_agent").unwrap_or(true),
        created_at: row.time("created_at"),
        updated_at: row.time("updated_at"),
    });
    Some(())
}

fn credential(row: &Row, older: &mut Older) -> Option<()> {
    older.credentials.push(OlderCredential {
        id: row.id("id")?,
        item: row.id("agent_toolbelt_item_id")?,
        kind: row.text(&["credential_type"]).unwrap_or_else(|| "api_key".to_owned()),
        secret: row.text(&["encrypted_credentials"]).unwrap_or_default(),
        account_identifier: row.text(&["account_identifier"]),
        last_validated_at: row.time("last_validated_at"),
        status: row.text(&["status"]),
        created_at: row.time("created_at"),
        updated_at: row.time("updated_at"),
    });
    Some(())
}

fn permission(row: &Row, older: &mut Older) -> Option<()> {
    older.permissions.push(OlderPermission {
        id: row.id("id")?,
        item: row.id("agent_toolbelt_item_id")?,
        capability: row.text(&["capability_name"])?,
        is_allowed: row.flag("is_allowed").or(row.flag("is_permitted")).unwrap_or(false),
        created_at: row.time("created_at"),
        updated_at: row.time("updated_at"),
    });
    Some(())
}

fn access(row: &Row, older: &mut Older) -> Option<()> {
    older.access.push(OlderAccess {
        id: Some(row.id("id")?),
        agent: row.id("agent_id")?,
        instance: row.id("account_tool_instance_id")?,
        granted_by: row.id("granted_by_user_id"),
        level: row.text(&["access_level"]),
        allowed_tools: row.json("allowed_tools"),
        granted_at: row.time("granted_at").or(row.time("created_at")),
        expires_at: row.time("expires_at"),
        is_active: row.flag("is_active").unwrap_or(true),
    });
    Some(())
}
