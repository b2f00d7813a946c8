//! `berth toolbelt …`: one address over the tools of several instances.

use api::toolbelts::{
    AddMemberRequest, ApproveRequest, ChangeFeatureRequest, ChangeMemberRequest, ChangeToolbeltRequest,
    CreateToolbeltRequest, Feature, Member, Toolbelt,
};
use comfy_table::Cell;
use domain::toolbelts::Kind;

use crate::args::{SetArgs, ToolbeltCommand};
use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Does one of them.
pub(crate) async fn run(command: ToolbeltCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        ToolbeltCommand::Create { name, instances, description, mode, on_change } => {
            let request = CreateToolbeltRequest {
                name,
                description,
                mode: mode.map(crate::args::ModeChoice::mode),
                on_change: on_change.map(crate::args::OnChangeChoice::on_change),
            };
            create(&request, &instances, client, output).await
        }
        ToolbeltCommand::List => list(client, output).await,
        ToolbeltCommand::Show { name, features: false, changed: false } => show(&name, client, output).await,
        ToolbeltCommand::Show { name, changed, .. } => features(&name, changed, client, output).await,
        ToolbeltCommand::Add { name, instances } => {
            add(&name, &instances, client, output).await?;
            summary(&name, client, output).await
        }
        ToolbeltCommand::Remove { name, instances } => {
            for instance in &instances {
                client.delete(&path(&name, &format!("/members/{}", path_part(instance)))).await?;
                output.say(&format!("took `{instance}` out of `{name}`"));
            }
            summary(&name, client, output).await
        }
        ToolbeltCommand::Rename { name, tool, to, prompt } => {
            let request = ChangeFeatureRequest {
                kind: if prompt { Kind::Prompt } else { Kind::Tool },
                name: tool,
                rename: Some(to),
                description: None,
                is_on: None,
            };
            change(&name, &request, client, output).await
        }
        ToolbeltCommand::Set(args) => set(args, client, output).await,
        ToolbeltCommand::Approve { name, tool, thing, hash, member } => {
            let (kind, feature) = thing.named(tool).unzip();
            let request =
                ApproveRequest { kind: kind.unwrap_or(Kind::Tool), name: feature, hash, instance: member };
            let approved: Vec<Feature> = client.post(&path(&name, "/approve"), &request).await?;
            if output.json() {
                return output.document(&approved);
            }
            if approved.is_empty() {
                output.say("nothing had changed");
            }
            for feature in &approved {
                output.say(&format!("approved the {} `{}` as it is now", feature.kind, feature.name));
            }
            Ok(())
        }
        ToolbeltCommand::Delete { name, yes } => {
            if !yes {
                let unasked =
                    CliError::usage(format!("removing the toolbelt `{name}` takes its address away"))
                        .with_hint("say so with `--yes`");
                output.confirm(&format!("Remove the toolbelt `{name}` and its address?"), unasked)?;
            }
            client.delete(&path(&name, "")).await?;
            output.say(&format!("removed the toolbelt `{name}`; the instances in it stay as they are"));
            Ok(())
        }
    }
}

fn path(name: &str, then: &str) -> String {
    format!("/toolbelts/{}{then}", path_part(name))
}

async fn create(
    request: &CreateToolbeltRequest,
    instances: &[String],
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let made: Toolbelt = client.post("/toolbelts", request).await?;
    output.say(&format!("made the toolbelt `{}`", made.name));
    add(made.name.as_str(), instances, client, output).await?;
    if instances.is_empty() && !output.json() {
        output.hint(&format!("`berth toolbelt add {} INSTANCE` puts an instance into it", made.name));
    }
    summary(made.name.as_str(), client, output).await
}

async fn add(name: &str, instances: &[String], client: &Client, output: Output) -> Result<(), CliError> {
    for instance in instances {
        let request = AddMemberRequest { instance: instance.clone() };
        let member: Member = client.post(&path(name, "/members"), &request).await?;
        output.say(&format!("added `{}` to `{name}`", member.instance));
    }
    Ok(())
}

/// What programs get after a change: the toolbelt. People its address.
async fn summary(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let belt: Toolbelt = client.get(&path(name, "")).await?;
    if output.json() { output.document(&belt) } else { output.data(&belt.url) }
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let belts: Vec<Toolbelt> = client.get("/toolbelts").await?;
    if output.json() {
        return output.document(&belts);
    }
    if belts.is_empty() {
        output.hint("`berth toolbelt create NAME INSTANCE…` makes one");
    }
    let row = |belt: &Toolbelt| {
        let sum = |of: fn(&Member) -> u64| belt.members.iter().map(of).sum::<u64>();
        [
            Cell::new(&belt.name),
            Cell::new(belt.agent.as_ref().map_or("-", |name| name.as_str())),
            Cell::new(belt.members.len()),
            Cell::new(sum(|member| member.tools)),
            Cell::new(sum(|member| member.changed)),
            Cell::new(belt.mode),
            Cell::new(&belt.url),
        ]
    };
    output.table(
        ["NAME", "AGENT", "MEMBERS", "TOOLS", "CHANGED", "MODE", "URL"],
        belts.iter().map(row).collect(),
    )
}

async fn show(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let belt: Toolbelt = client.get(&path(name, "")).await?;
    if output.json() {
        return output.document(&belt);
    }
    let mut lines = vec![format!("name         {}", belt.name), format!("url          {}", belt.url)];
    lines.extend(belt.agent.as_ref().map(|agent| format!("agent        {agent}")));
    lines.extend(belt.description.as_ref().map(|text| format!("description  {text}")));
    lines.push(format!("mode         {}", belt.mode));
    lines.push(format!("on change    {}", belt.on_change));
    output.data(&lines.join("\n"))?;
    members(&belt, output)
}

/// The members of a toolbelt, for people.
pub(crate) fn members(belt: &Toolbelt, output: Output) -> Result<(), CliError> {
    if belt.members.is_empty() {
        output.hint(&format!("nothing is in it: `berth toolbelt add {} INSTANCE`", belt.name));
        return Ok(());
    }
    output.data("")?;
    let row = |member: &Member| {
        [
            Cell::new(&member.instance),
            Cell::new(member.status),
            Cell::new(if member.is_active { "shown" } else { "hidden" }),
            Cell::new(member.tools),
            Cell::new(member.prompts),
            Cell::new(member.resources),
            Cell::new(member.changed),
        ]
    };
    let head = ["MEMBER", "STATUS", "HERE", "TOOLS", "PROMPTS", "RESOURCES", "CHANGED"];
    output.table(head, belt.members.iter().map(row).collect())?;
    if belt.members.iter().any(|member| member.changed != 0) {
        output.hint(&format!("`berth toolbelt show {} --changed` shows what changed", belt.name));
    }
    Ok(())
}

async fn features(name: &str, changed: bool, client: &Client, output: Output) -> Result<(), CliError> {
    let query = if changed { "/features?changed=true" } else { "/features" };
    let all: Vec<Feature> = client.get(&path(name, query)).await?;
    if output.json() {
        return output.document(&all);
    }
    if !changed {
        if all.is_empty() {
            output.say("nothing was seen of its members yet");
        }
        let row = |feature: &Feature| {
            let described = feature.description.as_ref().or(feature.own_description.as_ref());
            let line = described.and_then(|text| text.trim().lines().next()).unwrap_or_default();
            [
                Cell::new(feature.kind),
                Cell::new(&feature.name),
                Cell::new(format!("{}/{}", feature.instance, feature.own_name)),
                Cell::new(if feature.is_on { "shown" } else { "hidden" }),
                Cell::new(if feature.change.is_some() { "changed" } else { "approved" }),
                Cell::new(line),
            ]
        };
        let head = ["KIND", "NAME", "OF", "HERE", "DEFINITION", "DESCRIPTION"];
        return output.table(head, all.iter().map(row).collect());
    }
    if all.is_empty() {
        output.say("every definition is as it was approved");
    }
    for feature in &all {
        let Some(change) = &feature.change else { continue };
        output.data(&format!(
            "{} {} (of {}), hash {}\n- {}\n+ {}\n",
            feature.kind, feature.name, feature.instance, change.hash, change.approved, change.seen
        ))?;
        let option = match feature.kind {
            Kind::Tool => String::new(),
            kind => format!("--{kind} "),
        };
        output.hint(&format!(
            "`berth toolbelt approve {name} {option}{} --hash {}` approves it",
            feature.name, change.hash
        ));
    }
    Ok(())
}

async fn set(args: SetArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let SetArgs { name, mode, on_change, description, tool, thing, member, on, off } = args;
    let is_on = (on || off).then_some(on);
    let of_belt = mode.is_some() || on_change.is_some();
    if let Some(instance) = member {
        let Some(is_active) = is_on.filter(|_| !of_belt) else {
            return Err(CliError::usage("say what is to become of the member").with_hint("`--on` or `--off`"));
        };
        let member = path(&name, &format!("/members/{}", path_part(&instance)));
        let member: Member = client.patch(&member, &ChangeMemberRequest { is_active }).await?;
        if output.json() {
            return output.document(&member);
        }
        let how = if member.is_active { "shows" } else { "hides" };
        output.say(&format!("`{name}` {how} what `{}` has", member.instance));
        return Ok(());
    }
    if let Some((kind, feature)) = thing.named(tool) {
        if of_belt || (is_on.is_none() && description.is_none()) {
            return Err(CliError::usage(format!("say what is to become of `{feature}`"))
                .with_hint("`--on`, `--off` or `--description TEXT`"));
        }
        let request = ChangeFeatureRequest { kind, name: feature, rename: None, description, is_on };
        return change(&name, &request, client, output).await;
    }
    if is_on.is_some() || (!of_belt && description.is_none()) {
        return Err(CliError::usage("say what is to change").with_hint(
            "`--mode`, `--on-change` or `--description`, or `--tool NAME` or `--member INSTANCE` with `--on` or `--off`",
        ));
    }
    let request = ChangeToolbeltRequest {
        description,
        mode: mode.map(crate::args::ModeChoice::mode),
        on_change: on_change.map(crate::args::OnChangeChoice::on_change),
    };
    let belt: Toolbelt = client.patch(&path(&name, ""), &request).await?;
    if output.json() {
        return output.document(&belt);
    }
    output.say(&format!("`{}`: mode {}, on change {}", belt.name, belt.mode, belt.on_change));
    Ok(())
}

async fn change(
    name: &str,
    request: &ChangeFeatureRequest,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let feature: Feature = client.patch(&path(name, "/features"), request).await?;
    if output.json() {
        return output.document(&feature);
    }
    let here = if feature.is_on { "shown" } else { "hidden" };
    output.say(&format!(
        "the {} `{}` of `{}` is `{}` in `{name}`, and {here}",
        feature.kind, feature.own_name, feature.instance, feature.name
    ));
    Ok(())
}
