//! What an agent brings to a member of its toolbelt: values go in and never come out.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::agents::CredentialRequest;
use api::errors::ErrorCode;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use domain::secret::{Secret, Secrets};
use domain::toolbelts::CredentialStatus;

use super::frame::find_own;
use super::member::{Typed, render};
use crate::app::{App, Problem, agents};
use crate::web::confirm::{Nothing, confirm};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, typed};
use crate::web::pages::Pages;
use crate::web::see;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;

/// Before the name of a value, where the instance says what its callers bring.
const VALUE: &str = "value.";

pub(super) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/agents/{name}/members/{instance}/credentials", post(add))
        .page("/a/{account}/agents/{name}/credentials/{id}/remove", get(ask).post(remove))
}

async fn add(
    State(app): State<Arc<App>>,
    Path((account, name, instance)): Path<(String, String, String)>,
    PostedBy { member, form }: PostedBy<BTreeMap<String, Secret>>,
) -> Result<Response, Turned> {
    let field = |name: &str| form.get(name).map(|text| text.expose().to_owned()).unwrap_or_default();
    let request = CredentialRequest {
        instance: instance.clone(),
        credential_type: typed(&field("credential_type")).unwrap_or_else(|| "api_key".to_owned()),
        values: values(&form),
        account_identifier: typed(&field("account_identifier")),
        status: CredentialStatus::Active,
    };
    match agents::add_credential(&app, &member.caller, &name, &request).await {
        Ok(_) => Ok(see(&format!("/a/{account}/agents/{name}/members/{instance}"))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            let typed = Typed {
                credential_type: field("credential_type"),
                account_identifier: field("account_identifier"),
                value_name: field("value_name"),
                ..Typed::default()
            };
            Ok(render(&app, &member, (&name, &instance), status, Some(notice), typed).await?)
        }
    }
}

/// The values that were typed: of the names that the form has, or of one that was typed too.
fn values(form: &BTreeMap<String, Secret>) -> Secrets {
    // Browsers send the ends of lines as CRLF; keys and certificates are written with LF.
    let plain = |value: &Secret| Secret::new(value.expose().replace("\r\n", "\n"));
    let named = form.iter().filter_map(|(field, value)| Some((field.strip_prefix(VALUE)?.to_owned(), value)));
    let free = form.get("value_name").map(|name| name.expose().trim().to_owned()).zip(form.get("value"));
    named
        .chain(free)
        .filter(|(name, value)| !name.is_empty() && !value.expose().is_empty())
        .map(|(name, value)| (name, plain(value)))
        .collect()
}

async fn ask(
    State(app): State<Arc<App>>,
    Path((_, name, id)): Path<(String, String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let agent = find_own(&app, &member, &name).await?;
    let all = agents::credentials(&app, &member.caller, &name).await?;
    let found = all.into_iter().find(|credential| credential.id.to_string() == id);
    let credential =
        found.ok_or_else(|| Problem::refused(ErrorCode::NotFound, "there is no such credential"))?;
    let mut words = vec![format!(
        "The values of {} are destroyed, and nobody can bring them back.",
        credential.names.join(", ")
    )];
    if credential.is_used {
        words.push(format!(
            "Calls of {} by {} go without within ten seconds.",
            credential.instance, agent.name
        ));
    }
    let title = format!("Remove what {} brings to {}?", agent.name, credential.instance);
    let back = format!("agents/{}/members/{}", agent.name, credential.instance);
    Ok(confirm(Shell::new(&app, &member, Section::Agents), &title, &words, ("Remove", &back)))
}

async fn remove(
    State(app): State<Arc<App>>,
    Path((account, name, id)): Path<(String, String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    let all = agents::credentials(&app, &member.caller, &name).await?;
    agents::remove_credential(&app, &member.caller, &name, &id).await?;
    let of = all.into_iter().find(|credential| credential.id.to_string() == id);
    let further = of.map(|credential| format!("/members/{}", credential.instance)).unwrap_or_default();
    Ok(see(&format!("/a/{account}/agents/{name}{further}")))
}
