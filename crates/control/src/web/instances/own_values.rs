//! `/a/{account}/instances/{name}/own-values`: what whoever is signed in brings for their own calls, where callers each bring their own. Values
//! go in and never come out.

use std::sync::Arc;

use api::own_values::{OwnValues, OwnValuesRequest};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use domain::package::Package;
use domain::secret::Secret;

use crate::app::{App, Outcome, own_values};
use crate::web::confirm::{Nothing, confirm};
use crate::web::instances::{Frame, Tab};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

pub(super) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/instances/{name}/own-values", get(show).post(put))
        .page("/a/{account}/instances/{name}/own-values/forget", get(ask).post(forget))
}

/// What the name of a field begins with; its value's name follows, as errors name it.
const FIELD: &str = "values.";

#[derive(Template)]
#[template(path = "instance-own-values.html")]
struct Page {
    shell: Shell,
    frame: Frame,
    notice: Option<Notice>,
    own: OwnValues,
    /// They are headers, so each is one line.
    is_remote: bool,
}

impl Page {
    fn has_any(&self) -> bool {
        self.own.values.iter().any(|value| value.is_set)
    }
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    Ok(render(&app, &member, &name, StatusCode::OK, None).await?)
}

async fn render(
    app: &App,
    member: &Member,
    name: &str,
    status: StatusCode,
    notice: Option<Notice>,
) -> Outcome<Response> {
    let (frame, row, _) = Frame::find(app, member, name, Tab::OwnValues).await?;
    let own = own_values::show(app, &member.caller, name).await?;
    let is_remote = matches!(row.spec.package, Package::Remote { .. });
    let shell = Shell::new(app, member, Section::Instances);
    Ok(shell_page_with(&Page { shell, frame, notice, own, is_remote }, status))
}

/// Fields that are left empty stay as they are.
async fn put(
    State(app): State<Arc<App>>,
    Path((account, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Vec<(String, Secret)>>,
) -> Result<Response, Turned> {
    let given = form.into_iter().filter_map(|(field, value)| {
        let name = field.strip_prefix(FIELD)?.to_owned();
        // Browsers send the ends of lines as CRLF; keys and certificates are written with LF.
        (!value.expose().is_empty()).then(|| (name, Secret::new(value.expose().replace("\r\n", "\n"))))
    });
    let request = OwnValuesRequest { values: given.collect() };
    match own_values::put(&app, &member.caller, &name, &request).await {
        Ok(_) => Ok(see(&format!("/a/{account}/instances/{name}/own-values"))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, &name, status, Some(notice)).await?)
        }
    }
}

async fn ask(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let (frame, ..) = Frame::find(&app, &member, &name, Tab::OwnValues).await?;
    let own = own_values::show(&app, &member.caller, &name).await?;
    let names: Vec<&str> =
        own.values.iter().filter(|value| value.is_set).map(|value| value.name.as_str()).collect();
    let words = if names.is_empty() {
        vec!["You have given none.".to_owned()]
    } else {
        vec![
            format!("{} that you gave: destroyed. Nobody can bring it back.", names.join(", ")),
            format!("{} does not serve you until you give it anew. Nobody else is touched.", frame.name),
        ]
    };
    let (title, back) = (
        format!("Remove your own values of {}?", frame.name),
        format!("instances/{}/own-values", frame.name),
    );
    Ok(confirm(Shell::new(&app, &member, Section::Instances), &title, &words, ("Remove mine", &back)))
}

async fn forget(
    State(app): State<Arc<App>>,
    Path((account, name)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    own_values::forget(&app, &member.caller, &name).await?;
    Ok(see(&format!("/a/{account}/instances/{name}/own-values")))
}
