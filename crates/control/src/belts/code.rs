//! The server of one toolbelt: finds out whose a request is, and has it answered there.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use bytes::Bytes;
use domain::ids::{AccountId, InstanceId, ToolbeltId, ToolbeltItemId};
use domain::names::AccountName;
use domain::toolbelts::Kind;
use gateway::{Extent, Principal};
use http::Uri;
use mcp::envelope::{self, Envelope};
use mcp::errors;
use shim::{Asked, Virtual};
use store::toolbelts::AddressedToolbelt;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use toolbelt::route::{self, Route, To};
use toolbelt::view::Face;
use toolbelt::{Belt, Entry, View};

use super::MemberState;
use super::exchange;
use super::freshness::Freshness;
use crate::app::App;

/// Lists that changed and that a slow listener has not heard of yet.
const CHANGES: usize = 64;

/// One toolbelt.
#[derive(Debug)]
pub(crate) struct Code {
    /// Itself, for what goes on when a request is answered.
    pub(super) this: Weak<Self>,
    pub(super) app: Weak<App>,
    pub(super) id: ToolbeltId,
    pub(super) account: AccountId,
    account_name: AccountName,
    belt: Mutex<Kept>,
    view: ArcSwap<View>,
    pub(super) freshness: Freshness,
    /// Whether what members have could not be written down, so that the rows have to be read anew.
    pub(super) is_unkept: AtomicBool,
    /// Done when it ends.
    pub(super) stop: CancellationToken,
    /// Which lists are other ones now.
    pub(super) changes: broadcast::Sender<Vec<Kind>>,
}

/// The members, and what belongs to each by its place.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) belt: Belt,
    pub(super) items: Vec<(ToolbeltItemId, InstanceId)>,
}

impl Code {
    /// One that shows what its rows say.
    pub(super) fn new(
        app: &Arc<App>,
        row: &AddressedToolbelt,
        kept: Kept,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            app: Arc::downgrade(app),
            id: row.toolbelt.id,
            account: row.toolbelt.account,
            account_name: row.account_name.clone(),
            view: ArcSwap::from_pointee(kept.belt.view()),
            belt: Mutex::new(kept),
            freshness: Freshness::default(),
            is_unkept: AtomicBool::new(false),
            stop,
            changes: broadcast::Sender::new(CHANGES),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.belt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the members; whoever listens hears of lists that are other ones afterwards.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let (result, kinds) = {
            let mut kept = self.kept();
            let result = change(&mut kept);
            let (now, before) = (kept.belt.view(), self.view.load());
            let kinds = now.differs(&before);
            self.view.store(Arc::new(now));
            (result, kinds)
        };
        if !kinds.is_empty() {
            // Nobody may listen.
            let _ = self.changes.send(kinds);
        }
        result
    }

    /// Looks at the members.
    pub(super) fn with<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.kept())
    }

    /// What it shows now.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// What it is called.
    pub(super) fn name(&self) -> String {
        self.with(|kept| kept.belt.name.clone())
    }

    /// How its members are.
    pub(super) fn members(&self) -> Vec<MemberState> {
        self.with(|kept| {
            let members = kept.items.iter().zip(&kept.belt.members);
            members
                .map(|((_, instance), member)| MemberState {
                    instance: *instance,
                    trouble: member.trouble.clone(),
                })
                .collect()
        })
    }

    /// The MCP address of a member.
    pub(super) fn path(&self, member: &str) -> Uri {
        // Names of accounts and instances are of letters that paths have.
        format!("{}{}/{member}", gateway::PREFIX, self.account_name).parse().unwrap_or_default()
    }

    async fn answered(&self, asked: Asked<'_>) -> Vec<u8> {
        let Ok(message) = envelope::scan(asked.request) else {
            return errors::body(None, errors::INVALID_REQUEST, "this is no message", None);
        };
        let failed = |why: &str| errors::body(message.raw_id(), errors::INTERNAL_ERROR, why, None);
        let Some(app) = self.app.upgrade() else { return failed("Berth is being stopped") };
        let Some(name) = asked.principal else {
            // Of the shim's own, which asks what this is and listens to it.
            let view = self.view();
            return match route::route(&view, &message, None) {
                Route::Answer(answer) => answer,
                Route::Listen(filter) => self.listen(&app, None, &message, &filter, asked.say).await,
                _ => failed("nobody has asked for this"),
            };
        };
        let Some(principal) = app.directory.principal_named(self.account, name).await else {
            return failed("whoever calls is no member of the account any more");
        };
        self.freshness.used();
        let mut is_asked_again = false;
        loop {
            let view = self.view();
            let sees = |face: &Face, entry: &Entry| may_see(&principal, face, entry);
            return match route::route(&view, &message, Some(&sees)) {
                Route::Answer(answer) => answer,
                Route::List(kind, cursor) => {
                    self.fresh(&principal).await;
                    let view = self.view();
                    let sight: toolbelt::view::Sight<'_> =
                        if sees_all(&principal, &view) { None } else { Some(&sees) };
                    match view.page(kind, cursor.as_deref(), sight) {
                        Ok(page) => route::result(&message, &page),
                        Err(wrong) => route::invalid(&message, &wrong.to_string()),
                    }
                }
                Route::Search(arguments) => {
                    self.fresh(&principal).await;
                    route::result(&message, &self.view().found(&arguments, Some(&sees)))
                }
                Route::To(to) => self.forward(&app, &principal, *to, &message, asked.say).await,
                // A member may have it since it was last asked.
                Route::Unknown { .. } if !is_asked_again && self.freshness.may_ask_again() => {
                    is_asked_again = true;
                    self.look(&principal).await;
                    continue;
                }
                Route::Unknown { kind, name } => route::unknown(&message, kind, &name),
                Route::Listen(filter) => {
                    self.listen(&app, Some(&principal), &message, &filter, asked.say).await
                }
            };
        }
    }

    async fn forward(
        &self,
        app: &App,
        principal: &Arc<Principal>,
        to: To<'_>,
        message: &Envelope<'_>,
        say: &(dyn Fn(&[u8]) + Send + Sync),
    ) -> Vec<u8> {
        let path = self.path(&to.face.name);
        let sent = exchange::send(&app.gateway, principal, path, &to.face.known, Bytes::from(to.message));
        match exchange::answer(sent.await, say).await {
            Ok(answer) => route::answered(to.face, answer),
            Err(why) => {
                let why = format!("`{}`, whose this is, did not answer: {why}", to.face.name);
                errors::body(message.raw_id(), errors::INTERNAL_ERROR, &why, None)
            }
        }
    }
}

impl Virtual for Code {
    fn answer<'a>(&'a self, asked: Asked<'a>) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send + 'a>> {
        Box::pin(self.answered(asked))
    }
}

/// Whether a caller may use a feature, as if it called its server itself.
fn may_see(principal: &Principal, face: &Face, entry: &Entry) -> bool {
    match principal.calls.extent(&face.name) {
        None => false,
        Some(Extent::Whole) => true,
        Some(Extent::Ruled { rule, .. }) => match entry.kind {
            Kind::Tool => rule.tools.permit(&entry.own, entry.effects),
            Kind::Prompt => rule.prompts.permit(&entry.own, entry.effects),
            Kind::Resource | Kind::Template => rule.resources.permit(&entry.own, entry.effects),
        },
    }
}

fn sees_all(principal: &Principal, view: &View) -> bool {
    view.members.iter().all(|face| principal.calls.extent(&face.name) == Some(&Extent::Whole))
}
