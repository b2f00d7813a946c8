//! `berth rule add|list|remove`: who may use what of the account's instances.

use api::rules::{Rule, RuleRequest, Subject, SubjectName};
use api::tokens::Token;
use comfy_table::Cell;
use domain::rules::{Effect, Hint, What};

use crate::args::{AddRuleArgs, EffectChoice, RuleCommand, SubjectArgs};
use crate::client::{Client, path_part};
use crate::commands::instances::to_the_second;
use crate::error::CliError;
use crate::output::Output;

/// Does one of the three.
pub(crate) async fn run(command: RuleCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        RuleCommand::Add(args) => add(args, client, output).await,
        RuleCommand::List => list(client, output).await,
        RuleCommand::Remove { id } => {
            client.delete(&format!("/rules/{}", path_part(&id))).await?;
            output.say(&format!("removed the rule {id}"));
            Ok(())
        }
    }
}

async fn add(args: AddRuleArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let hint = match (args.read_only, args.destructive) {
        (true, _) => Some(Hint::ReadOnly),
        (_, true) => Some(Hint::Destructive),
        _ => None,
    };
    let what = match (args.prompt, args.resource) {
        (true, _) => What::Prompt,
        (_, true) => What::Resource,
        _ if args.target.pattern.is_some() || hint.is_some() => What::Tool,
        _ => What::Everything,
    };
    let request = RuleRequest {
        effect: match args.effect {
            EffectChoice::Allow => Effect::Allow,
            EffectChoice::Deny => Effect::Deny,
        },
        subject: subject(args.subject, client).await?,
        instance: args.target.instance,
        what,
        pattern: args.target.pattern.unwrap_or_else(|| "*".to_owned()),
        hint,
    };
    let rule: Rule = client.post("/rules", &request).await?;
    if output.json() {
        return output.document(&rule);
    }
    output.say(&format!("made the rule: {} for {}", rule.clause(), shown(&rule)));
    output.hint(&format!("`berth rule remove {}` takes it back", rule.id));
    Ok(())
}

async fn subject(args: SubjectArgs, client: &Client) -> Result<SubjectName, CliError> {
    Ok(match (args.role, args.user, args.api_token, args.client) {
        (Some(role), ..) => SubjectName::Role(role.role()),
        (_, Some(user), ..) => SubjectName::User(user),
        (_, _, Some(asked), _) => {
            let tokens: Vec<Token> = client.get("/tokens").await?;
            SubjectName::Token(super::token::one_of(&tokens, &asked)?.id.to_string())
        }
        (_, _, _, Some(client)) => SubjectName::Client(client),
        _ => SubjectName::Everyone,
    })
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let rules: Vec<Rule> = client.get("/rules").await?;
    if output.json() {
        return output.document(&rules);
    }
    let row = |rule: &Rule| {
        let by = rule.created_by_name.as_deref().unwrap_or(&rule.created_by);
        [
            Cell::new(rule.clause()),
            Cell::new(shown(rule)),
            Cell::new(by),
            Cell::new(to_the_second(rule.created_at)),
            Cell::new(rule.id),
        ]
    };
    output.table(["RULE", "FOR", "BY", "MADE", "ID"], rules.iter().map(row).collect())
}

/// Whom it is for.
fn shown(one: &Rule) -> String {
    let name = |id: String| one.subject_name.clone().unwrap_or(id);
    match &one.subject {
        Subject::Everyone => "everyone".to_owned(),
        Subject::Role(role) => format!("role {}", super::member::role_word(*role)),
        Subject::User(id) => format!("user {}", name(id.to_string())),
        Subject::Token(id) => format!("token {}", name(id.to_string())),
        Subject::Client(id) => format!("client {id}"),
    }
}
