//! `/a/{account}/instances/{name}/playground`: tools, prompts and resources of an instance, called by hand.
//!
//! Without the script a call is a form and its answer a page; with it, what the server says meanwhile comes as it is said.

mod offered;
mod rows;
mod stream;
mod view;

use std::sync::Arc;

use api::errors::ErrorCode;
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use store::instances::InstanceRow;

use crate::app::playground::json::Json;
use crate::app::playground::offer::{self, Offer};
use crate::app::playground::outcome;
use crate::app::playground::questions::Required;
use crate::app::playground::schema::{Errors, Form, Typed};
use crate::app::playground::{self, About, Call, End, Kind, Past, Player, Running, Trouble};
use crate::app::{App, Problem, instances};
use crate::directory::now;
use crate::web::instances::{Frame, Tab};
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page_loading;
use crate::web::visitor::Turned;
use offered::{Chosen, Entry, Listed};
use rows::{Row, bare, rows};
use view::{Asked, Ended, Line, View};

pub(crate) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/instances/{name}/playground", get(show).post(play))
        .page("/a/{account}/instances/{name}/playground/calls/{call}", get(past))
        .page("/a/{account}/instances/{name}/playground/calls/{call}/result", get(result))
        .page("/a/{account}/instances/{name}/playground/calls/{call}/part/{part}", get(part))
        .page("/a/{account}/instances/{name}/playground/calls/{call}/app", get(frame))
}

/// Sent by the script when it reads a page again for its live parts.
const LIVE: &str = "berth-live";
/// What this page loads beyond others: sounds within a result, and the frames of apps, which have an address of ours and none of our rights.
const FURTHER: &str = "; media-src data:; frame-src 'self'";
/// The policy of a frame: a place of its own (`sandbox` without `allow-same-origin`), where a server's HTML may run its own scripts and reach
/// nothing. The page around it lets it go nowhere else (`frame-src`).
const FRAME: &str = "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; \
     media-src data: blob:; font-src data:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'";
/// The policy of a download, should a browser show it.
const NOTHING: &str =
    "sandbox; default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

#[derive(Template)]
#[template(path = "playground.html")]
struct Page<'a> {
    shell: Shell,
    frame: &'a Frame,
    base: String,
    trouble: Option<Trouble>,
    about: About,
    query: String,
    listed: Listed,
    chosen: Option<Shown>,
    view: View,
}

/// What was chosen, with its form.
struct Shown {
    entry: Entry,
    description: String,
    rows: Vec<Row>,
    /// Whether JSON is typed instead.
    is_raw: bool,
    json: String,
    problem: Option<String>,
    may_be_raw: bool,
    destroys: bool,
    tick: Option<&'static str>,
    verb: &'static str,
}

/// What a page is made of, beside what its server says.
#[derive(Default)]
struct Showing {
    status: StatusCode,
    /// The word of a kind, and a name.
    chosen: Option<(String, String)>,
    query: String,
    typed: Option<Typed>,
    errors: Errors,
    is_raw: bool,
    json: Option<String>,
    problem: Option<String>,
    tick: Option<&'static str>,
    asked: Option<Asked>,
    past: Option<Arc<Past>>,
}

/// Who plays, and where.
struct Place {
    app: Arc<App>,
    member: Member,
    frame: Frame,
    row: InstanceRow,
    base: String,
    player: Player,
    offer: Result<(About, Offer), Trouble>,
}

impl Place {
    /// `headers` say whether a page that is open reads its live parts again: those are none of its server's, which is then not asked.
    async fn open(app: Arc<App>, member: Member, name: &str, headers: &HeaderMap) -> Result<Self, Turned> {
        let (frame, row, _) = Frame::find(&app, &member, name, Tab::Playground).await?;
        playground::require_mcp(&row)?;
        let base = format!("/a/{}/instances/{}/playground", member.caller.account_name, row.name);
        let mut player = Player::new(&app, &member.caller, &row.name);
        let offer = match headers.get(LIVE) {
            Some(_) => Ok((About::default(), Offer::default())),
            None => playground::offer(&mut player).await,
        };
        Ok(Self { app, member, frame, row, base, player, offer })
    }

    fn history(&self) -> Vec<Line> {
        let all = self.app.played.of(self.member.visitor.user, self.row.id);
        all.iter().map(|past| Line::of(&self.base, past)).collect()
    }

    fn view(&self, asked: Option<Asked>, past: Option<&Past>) -> View {
        let (app, caller) = (&self.app, &self.member.caller);
        View {
            ended: past.map(|past| Ended::of(app, caller, &self.player, &self.row, &self.base, past)),
            asked,
            history: self.history(),
            base: self.base.clone(),
            csrf: self.member.visitor.csrf.clone(),
        }
    }

    fn chosen<'a>(&'a self, word: &'a str, name: &'a str) -> Chosen<'a> {
        Chosen::find(self.offer.as_ref().ok().map(|(_, offer)| offer), word, name)
    }

    fn page(&self, showing: Showing) -> Response {
        let nothing = Offer::default();
        let (about, offer) = match &self.offer {
            Ok((about, offer)) => (about.clone(), offer),
            Err(_) => (About::default(), &nothing),
        };
        let chosen = showing.chosen.as_ref().map(|(word, name)| {
            let chosen = self.chosen(word, name);
            let form = chosen.form();
            let typed = showing
                .typed
                .clone()
                .unwrap_or_else(|| form.as_ref().map(Form::untouched).unwrap_or_default());
            let rows = match &form {
                Some(form) => rows(form, &typed, &showing.errors, "f"),
                None => bare(&typed, "f"),
            };
            // What is not listed has no schema, and so no form.
            let is_raw = showing.is_raw || (form.is_none() && rows.is_empty() && chosen.may_be_raw());
            let json = showing.json.clone().unwrap_or_else(|| match &form {
                Some(form) => form.read(&typed).0.pretty(),
                None => "{}".to_owned(),
            });
            Shown {
                entry: chosen.entry(&self.base),
                description: if self.offer.is_ok() { chosen.description().to_owned() } else { String::new() },
                rows,
                is_raw,
                json,
                problem: showing.problem.clone(),
                may_be_raw: chosen.may_be_raw(),
                destroys: chosen.destroys(),
                tick: showing.tick,
                verb: chosen.verb(),
            }
        });
        let here = showing.chosen.as_ref().map(|(word, name)| (word.as_str(), name.as_str()));
        let page = Page {
            shell: Shell::new(&self.app, &self.member, Section::Instances),
            frame: &self.frame,
            base: self.base.clone(),
            trouble: self.offer.as_ref().err().cloned(),
            about,
            listed: Listed::of(&self.base, offer, &showing.query, here),
            query: showing.query,
            chosen,
            view: self.view(showing.asked, showing.past.as_deref()),
        };
        shell_page_loading(&page, showing.status, FURTHER)
    }
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    member: Member,
) -> Result<Response, Turned> {
    let place = Place::open(app, member, &name, &headers).await?;
    let value = |key: &str| query.iter().find(|(of, _)| of == key).map(|(_, value)| value.clone());
    let words = ["tool", "prompt", "resource", "template"];
    let chosen = words.into_iter().find_map(|word| Some((word.to_owned(), value(word)?)));
    let (is_raw, query) = (value("raw").is_some(), value("q").unwrap_or_default());
    Ok(place.page(Showing { chosen, query, is_raw, ..Showing::default() }))
}

/// One of the last calls, to be looked at and made again.
async fn past(
    State(app): State<Arc<App>>,
    Path((_, name, call)): Path<(String, String, String)>,
    headers: HeaderMap,
    member: Member,
) -> Result<Response, Turned> {
    let place = Place::open(app, member, &name, &headers).await?;
    let past = found(&place.app, &place.member, &place.row, &call)?;
    let mut showing = place.showing_of(&past.call);
    showing.past = Some(past);
    Ok(place.page(showing))
}

impl Place {
    /// A call's form with what it was called with.
    fn showing_of(&self, call: &Call) -> Showing {
        let word = call.kind.word();
        let typed = self.chosen(word, &call.name).form().and_then(|form| form.show(&call.arguments));
        Showing {
            is_raw: typed.is_none() && call.kind != Kind::Resource,
            typed,
            json: Some(call.arguments.pretty()),
            chosen: Some((word.to_owned(), call.name.clone())),
            ..Showing::default()
        }
    }
}

/// A call of this person at this instance.
fn found(app: &App, member: &Member, row: &InstanceRow, call: &str) -> Result<Arc<Past>, Problem> {
    app.played.find(member.visitor.user, row.id, call).ok_or_else(|| {
        Problem::refused(ErrorCode::NotFound, "this call is not kept any more")
            .hint("the last 20 calls of each person at an instance are kept, until Berth starts again")
    })
}

/// What a form of this page says.
struct Sent {
    fields: Typed,
}

impl Sent {
    fn new(fields: Vec<(String, String)>) -> Self {
        let mut all = Typed::new();
        for (name, value) in fields {
            all.entry(name).or_default().push(value);
        }
        Self { fields: all }
    }

    fn value(&self, name: &str) -> &str {
        self.fields.get(name).and_then(|all| all.last()).map(String::as_str).unwrap_or_default()
    }
}

/// What is done with a form.
enum Next {
    Call(Box<(Call, Option<String>)>),
    Show(Box<Showing>),
}

async fn play(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    headers: HeaderMap,
    PostedBy { member, form }: PostedBy<Vec<(String, String)>>,
) -> Result<Response, Turned> {
    let sent = Sent::new(form);
    let place = Place::open(app, member, &name, &HeaderMap::new()).await?;
    let next = match sent.value("do") {
        "answer" => place.answered(&sent)?,
        _ => place.typed(&sent)?,
    };
    let (call, ui) = match next {
        Next::Call(call) => *call,
        Next::Show(showing) => return Ok(place.page(*showing)),
    };
    let running = Running::new(place.player.clone(), call.clone(), ui);
    let wants_stream =
        headers.get(header::ACCEPT).is_some_and(|kind| kind.as_bytes() == b"text/event-stream");
    if wants_stream {
        return Ok(stream::answer(place, call, running));
    }
    Ok(place.ended(call, running).await)
}

impl Place {
    /// The form of a tool, prompt or resource.
    fn typed(&self, sent: &Sent) -> Result<Next, Problem> {
        let (word, name) = (sent.value("kind"), sent.value("name"));
        let chosen = self.chosen(word, name);
        let kind = chosen.kind().ok_or_else(|| {
            Problem::refused(
                ErrorCode::BadRequest,
                "the form does not say what is called: load the page anew",
            )
        })?;
        let is_raw = sent.fields.contains_key("json");
        let mut showing = Showing {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            chosen: Some((word.to_owned(), name.to_owned())),
            typed: Some(sent.fields.clone()),
            is_raw,
            json: is_raw.then(|| sent.value("json").to_owned()),
            ..Showing::default()
        };
        if self.offer.is_err() {
            // Without its schema a form means nothing; what was typed stays for when the server answers.
            showing.status = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(Next::Show(showing.into()));
        }
        let form = chosen.form();
        let (arguments, errors) = if is_raw {
            match Json::parse(sent.value("json")) {
                Ok(json @ Json::Object(_)) => (json, Errors::new()),
                Ok(_) => {
                    showing.problem = Some("Arguments are an object: they begin with `{`.".to_owned());
                    return Ok(Next::Show(showing.into()));
                }
                Err(error) => {
                    showing.problem = Some(error.to_string());
                    return Ok(Next::Show(showing.into()));
                }
            }
        } else {
            form.as_ref().map_or((Json::Object(Vec::new()), Errors::new()), |form| form.read(&sent.fields))
        };
        match sent.value("do") {
            "raw" if errors.keys().all(|path| sent.value(path).is_empty()) => {
                let (status, json) = (StatusCode::OK, Some(arguments.pretty()));
                return Ok(Next::Show(Box::new(Showing { status, is_raw: true, json, ..showing })));
            }
            "form" => {
                match form.and_then(|form| form.show(&arguments)) {
                    Some(typed) => {
                        (showing.status, showing.is_raw, showing.typed) =
                            (StatusCode::OK, false, Some(typed));
                    }
                    None => {
                        showing.problem =
                            Some("This has parts that the form cannot show, so it stays JSON.".to_owned());
                    }
                }
                return Ok(Next::Show(showing.into()));
            }
            _ if !errors.is_empty() => {
                showing.errors = errors;
                return Ok(Next::Show(showing.into()));
            }
            _ => {}
        }
        if chosen.destroys() && sent.value("sure").is_empty() {
            showing.tick = Some("Tick this first: the server says that this tool destroys something.");
            return Ok(Next::Show(showing.into()));
        }
        let name = if word == "template" { offer::expanded(name, &arguments) } else { name.to_owned() };
        let arguments = if kind == Kind::Resource { Json::Object(Vec::new()) } else { arguments };
        Ok(Next::Call(Box::new((Call { kind, name, arguments, answers: None }, chosen.ui()))))
    }

    /// The form of what a server asked.
    fn answered(&self, sent: &Sent) -> Result<Next, Problem> {
        let broken = || {
            Problem::refused(ErrorCode::BadRequest, "the form does not say what was asked")
                .hint("begin the call anew")
        };
        let kind = Kind::of(sent.value("kind")).ok_or_else(broken)?;
        let parsed = |name: &str| Json::parse(sent.value(name)).map_err(|_| broken());
        let (arguments, requests) = (parsed("arguments")?, parsed("requests")?);
        let state = sent.fields.contains_key("state").then(|| sent.value("state").to_owned());
        let call = Call { kind, name: sent.value("name").to_owned(), arguments, answers: None };
        let required = Required::asked(requests, state);
        match required.answers(&sent.fields) {
            Ok(answers) if self.offer.is_ok() => {
                let ui = self.chosen(kind.word(), &call.name).ui();
                let answers = Some((answers, required.state));
                Ok(Next::Call(Box::new((Call { answers, ..call }, ui))))
            }
            wrong => {
                let errors = wrong.err().unwrap_or_default();
                let asked = Asked::of(&self.base, &call, &required, &sent.fields, &errors, &[]);
                let showing = self.showing_of(&call);
                let is_wrong = !errors.is_empty();
                let status =
                    if is_wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::SERVICE_UNAVAILABLE };
                Ok(Next::Show(Box::new(Showing { status, asked: Some(asked), ..showing })))
            }
        }
    }

    /// Waits for the end of a call, for browsers without the script.
    async fn ended(self, call: Call, mut running: Running) -> Response {
        let end = running.end().await;
        let (asked, past) = self.noted(call.clone(), running, end);
        self.page(Showing { asked, past, ..self.showing_of(&call) })
    }

    /// Keeps a call that is over, or makes a form of what it asks.
    fn noted(&self, call: Call, running: Running, end: End) -> (Option<Asked>, Option<Arc<Past>>) {
        match end {
            End::Asks(required) => {
                let typed = required.untouched();
                let asked = Asked::of(&self.base, &call, &required, &typed, &Errors::new(), &running.said);
                (Some(asked), None)
            }
            End::Ended(result) => {
                let who = (self.member.visitor.user, self.row.id);
                let ended = playground::Ended { result, said: running.said, app: running.app };
                let call = Call { answers: None, ..call };
                (None, Some(self.app.played.put(who, (now(), running.took), call, ended)))
            }
        }
    }
}

/// What of a call is loaded for itself.
async fn kept(app: &App, (name, call): (&str, &str), member: &Member) -> Result<Arc<Past>, Turned> {
    let row = instances::find(app, &member.caller, name).await?;
    Ok(found(app, member, &row, call)?)
}

fn file(body: Vec<u8>, kind: &'static str, policy: &'static str, disposition: Option<&str>) -> Response {
    let fixed = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut response = (fixed, body).into_response();
    if let Some(value) = disposition.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn gone(what: &str) -> Turned {
    Problem::refused(ErrorCode::NotFound, format!("this call has no {what}")).into()
}

/// The whole of a result, with what it was called with.
async fn result(
    State(app): State<Arc<App>>,
    Path((_, name, call)): Path<(String, String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let past = kept(&app, (&name, &call), &member).await?;
    let result = past.ended.result.as_ref().map_err(|_| gone("result"))?;
    let all = Json::object([("arguments", past.call.arguments.clone()), ("result", result.clone())]);
    Ok(file(
        all.pretty().into_bytes(),
        "application/json",
        NOTHING,
        Some("attachment; filename=\"result.json\""),
    ))
}

/// One part of a result, as its bytes. Whatever a server says that they are, here they are a file.
async fn part(
    State(app): State<Arc<App>>,
    Path((_, name, call, at)): Path<(String, String, String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let past = kept(&app, (&name, &call), &member).await?;
    let result = past.ended.result.as_ref().map_err(|_| gone("result"))?;
    let found = at.parse().ok().and_then(|at| outcome::bytes_of(result, at));
    let (mime, body) = found.ok_or_else(|| gone("such part"))?;
    let disposition = format!("attachment; filename=\"part-{at}.{}\"", ending(&mime));
    Ok(file(body, "application/octet-stream", NOTHING, Some(&disposition)))
}

/// What a file of a type ends in.
fn ending(mime: &str) -> &'static str {
    match mime {
        "text/plain" => "txt",
        "application/json" => "json",
        "application/pdf" => "pdf",
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "audio/wav" => "wav",
        "audio/mpeg" => "mp3",
        _ => "bin",
    }
}

/// A server's HTML that shows a result.
async fn frame(
    State(app): State<Arc<App>>,
    Path((_, name, call)): Path<(String, String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let past = kept(&app, (&name, &call), &member).await?;
    let html = past.ended.app.clone().ok_or_else(|| gone("app"))?;
    Ok(file(html.into_bytes(), "text/html; charset=utf-8", FRAME, None))
}
