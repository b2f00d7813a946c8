//! `berth agent grant|revoke`: what an agent may have in its toolbelt, and call.

use api::agents::{
    Permission, PermissionRequest, ServerAccess, ServerAccessRequest, ToolboxAccess, ToolboxRevoked,
};
use domain::toolbelts::AccessLevel;

use super::path;
use crate::args::{GrantArgs, LevelChoice, RevokeArgs};
use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Grants an environment, a tool or a server.
pub(super) async fn grant(args: GrantArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let GrantArgs { agent, environment, tool, deny, server, level, allow, expires } = args;
    if let Some(environment) = environment {
        let path = path(&agent, &format!("/environments/{}", path_part(&environment)));
        let access: ToolboxAccess = client.put(&path, &serde_json::json!({})).await?;
        if output.json() {
            return output.document(&access);
        }
        output.say(&format!("`{agent}` may have instances of `{}` in its toolbelt", access.environment));
        return Ok(());
    }
    if let Some((instance, tool)) = tool {
        let request = PermissionRequest { instance, tool, is_allowed: !deny };
        let said: Permission = client.post(&path(&agent, "/permissions"), &request).await?;
        if output.json() {
            return output.document(&said);
        }
        let how = if said.is_allowed { "may" } else { "may not" };
        output.say(&format!("`{agent}` {how} call `{}` of `{}`", said.tool, said.instance));
        return Ok(());
    }
    let server = server.unwrap_or_default();
    let level = match (level, allow.is_empty()) {
        (Some(level), _) => level.level(),
        (None, true) => LevelChoice::ReadOnly.level(),
        (None, false) => AccessLevel::Custom,
    };
    let allowed_tools = (!allow.is_empty()).then_some(allow);
    let request = ServerAccessRequest { level, allowed_tools, expires_in_seconds: expires };
    let path = path(&agent, &format!("/servers/{}", path_part(&server)));
    let access: ServerAccess = client.put(&path, &request).await?;
    if output.json() {
        return output.document(&access);
    }
    let end = access.expires_at.map(|end| format!(", until {end}")).unwrap_or_default();
    output.say(&format!("`{agent}` was granted `{}`: {}{end}", access.instance, access.level));
    if !access.is_member {
        output.hint(&format!(
            "it is no active member of the agent's toolbelt, so nothing is called yet: `berth agent show {agent}`"
        ));
    }
    Ok(())
}

/// Takes back what was granted.
pub(super) async fn revoke(args: RevokeArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let RevokeArgs { agent, environment, tool, server } = args;
    if let Some(environment) = environment {
        let path = path(&agent, &format!("/environments/{}", path_part(&environment)));
        let revoked: ToolboxRevoked = client.take_back(&path).await?;
        if output.json() {
            return output.document(&revoked);
        }
        output.say(&format!("`{agent}` may have no instances of `{environment}` any more"));
        for instance in &revoked.inactive {
            output.say(&format!("`{instance}` is inactive in its toolbelt"));
        }
    } else if let Some((instance, tool)) = tool {
        let query = format!("/permissions?instance={}&tool={}", path_part(&instance), path_part(&tool));
        client.delete(&path(&agent, &query)).await?;
        output.say(&format!("forgot what was said of `{tool}` of `{instance}` to `{agent}`"));
    } else {
        let server = server.unwrap_or_default();
        client.delete(&path(&agent, &format!("/servers/{}", path_part(&server)))).await?;
        output.say(&format!("`{agent}` was granted nothing of `{server}` as a whole any more"));
    }
    Ok(())
}
