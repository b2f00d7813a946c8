//! When members are asked what they have: before the first list, now and then while somebody uses the toolbelt, and when they say that it
//! has changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::ids::ToolbeltItemId;
use domain::toolbelts::Kind;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use gateway::{Calls, Gateway, Limits, Principal};
use http::Uri;
use mcp::envelope::{self, META_PREFIX};
use mcp::headers::Known;
use mcp::{errors, parts};
use tokio::sync::{mpsc, watch};
use toolbelt::definition::method;
use toolbelt::{KINDS, Listing};

use super::code::Code;
use super::exchange;

/// A list that is older is asked for anew, beside the call that finds it so.
const STALE: Duration = Duration::from_secs(15);
/// Somebody who names what is not known has the members asked again, but not more often than this.
const AGAIN: Duration = Duration::from_secs(2);
/// Whoever needs a list waits so long for members; the others' features come later.
const SOON: Duration = Duration::from_secs(3);
/// A member that has not listed everything within this time does not answer.
const LONGEST: Duration = Duration::from_secs(30);
/// Pages of one list.
const PAGES: usize = 200;
/// What a member has is watched while somebody has used the toolbelt within this time, so that members that nobody uses can sleep.
const WATCHED: Duration = Duration::from_mins(10);
/// What changes within this time is asked for once.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Between two looks whether the toolbelt is still used and its members are the same.
const LOOK: Duration = Duration::from_secs(20);

/// How old a toolbelt's lists are.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    state: Mutex<State>,
    /// Counts when members have been heard.
    heard: watch::Sender<u64>,
    is_watched: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    is_asking: bool,
    asked_at: Option<Instant>,
    used_at: Option<Instant>,
    /// Who asked last: the members know it already.
    lister: Option<Arc<Principal>>,
}

impl Freshness {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody uses the toolbelt.
    pub(super) fn used(&self) {
        self.state().used_at = Some(Instant::now());
    }

    /// Whether asking again may find something.
    pub(super) fn may_ask_again(&self) -> bool {
        self.state().asked_at.is_none_or(|at| AGAIN <= at.elapsed())
    }

    /// There are other members: the next list asks all.
    pub(super) fn expire(&self) {
        self.state().asked_at = None;
    }

    /// Who asked last.
    pub(super) fn lister(&self) -> Option<Arc<Principal>> {
        self.state().lister.clone()
    }
}

impl Code {
    /// Lists may be shown now: nobody has to wait but before the first.
    pub(super) async fn fresh(&self, principal: &Arc<Principal>) {
        let age = self.freshness.state().asked_at.map(|at| at.elapsed());
        match age {
            None => self.look(principal).await,
            Some(age) if STALE < age => self.ask(principal),
            Some(_) => {}
        }
    }

    /// Asks all members, and waits for those that answer soon.
    pub(super) async fn look(&self, principal: &Arc<Principal>) {
        let mut heard = self.freshness.heard.subscribe();
        heard.mark_unchanged();
        self.ask(principal);
        // Those that take longer are heard when they answer.
        let _ = tokio::time::timeout(SOON + DEBOUNCE, heard.changed()).await;
    }

    /// Begins to ask all members, unless they are being asked.
    fn ask(&self, principal: &Arc<Principal>) {
        let (Some(this), Some(app)) = (self.this.upgrade(), self.app.upgrade()) else { return };
        {
            let mut state = self.freshness.state();
            if std::mem::replace(&mut state.is_asking, true) {
                return;
            }
            // Definitions are the same for everybody; who may use which is seen to when they are shown.
            let lister =
                Principal { calls: Calls::all(), limits: Limits::default(), ..Principal::clone(principal) };
            state.lister = Some(Arc::new(lister));
        }
        let gateway = Arc::clone(&app.gateway);
        tokio::spawn(async move {
            tokio::select! {
                () = this.ask_all(&gateway) => {}
                () = this.stop.cancelled() => {}
            }
        });
    }

    async fn ask_all(self: &Arc<Self>, gateway: &Arc<Gateway>) {
        let Some(lister) = self.freshness.lister() else { return };
        let mut asked: FuturesUnordered<_> = self
            .active()
            .into_iter()
            .map(|(item, path)| {
                let (gateway, lister) = (Arc::clone(gateway), Arc::clone(&lister));
                async move { (item, list(&gateway, &lister, path).await) }
            })
            .collect();
        let soon = tokio::time::sleep(SOON);
        tokio::pin!(soon);
        let (mut together, mut is_soon) = (Vec::new(), true);
        loop {
            tokio::select! {
                heard = asked.next() => match heard {
                    Some(heard) => together.push(heard),
                    None => break,
                },
                () = &mut soon, if is_soon => is_soon = false,
            }
            if !is_soon && !together.is_empty() {
                self.hear(std::mem::take(&mut together)).await;
            }
            if !is_soon {
                self.freshness.heard.send_modify(|count| *count += 1);
            }
        }
        self.hear(together).await;
        {
            let mut state = self.freshness.state();
            (state.is_asking, state.asked_at) = (false, Some(Instant::now()));
        }
        self.freshness.heard.send_modify(|count| *count += 1);
        self.watch(gateway);
    }

    /// Members whose features are shown, and their addresses.
    fn active(&self) -> Vec<(ToolbeltItemId, Uri)> {
        self.with(|kept| {
            let members = kept.items.iter().zip(&kept.belt.members);
            let active = members.filter(|(_, member)| member.is_active);
            active.map(|((item, _), member)| (*item, self.path(&member.name))).collect()
        })
    }

    /// Asks members again when they say that a list has changed, until nobody uses the toolbelt.
    fn watch(self: &Arc<Self>, gateway: &Arc<Gateway>) {
        if self.freshness.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (this, gateway) = (Arc::clone(self), Arc::clone(gateway));
        tokio::spawn(async move {
            tokio::select! {
                () = this.watched(&gateway) => {}
                () = this.stop.cancelled() => {}
            }
            this.freshness.is_watched.store(false, Ordering::Release);
        });
    }

    async fn watched(self: &Arc<Self>, gateway: &Arc<Gateway>) {
        let Some(lister) = self.freshness.lister() else { return };
        loop {
            let members = self.active();
            let (tell, mut told) = mpsc::unbounded_channel();
            let mut listening: FuturesUnordered<_> = members
                .iter()
                .cloned()
                .map(|(item, path)| {
                    let (tell, lister) = (tell.clone(), Arc::clone(&lister));
                    async move {
                        let sent =
                            exchange::send(gateway, &lister, path, &Known::new(), listen_request()).await;
                        let hear = |line: &[u8]| {
                            if memchr::memmem::find(line, b"/list_changed").is_some() {
                                // The other end is there as long as this.
                                let _ = tell.send(item);
                            }
                        };
                        // One that does not listen, or no more, is asked now and then.
                        let _ = exchange::answer(sent, &hear).await;
                    }
                })
                .collect();
            let mut look = tokio::time::interval(LOOK);
            look.reset();
            loop {
                tokio::select! {
                    Some(item) = told.recv() => {
                        tokio::time::sleep(DEBOUNCE).await;
                        let mut changed = std::collections::HashSet::from([item]);
                        while let Ok(item) = told.try_recv() {
                            changed.insert(item);
                        }
                        for (item, path) in members.iter().filter(|(item, _)| changed.contains(item)) {
                            let heard = list(gateway, &lister, path.clone()).await;
                            self.hear(vec![(*item, heard)]).await;
                        }
                    }
                    Some(()) = listening.next() => {}
                    _ = look.tick() => {
                        let used_at = self.freshness.state().used_at;
                        if used_at.is_none_or(|at| WATCHED < at.elapsed()) {
                            return;
                        }
                        if listening.len() < members.len() || self.active() != members {
                            break;
                        }
                    }
                }
            }
        }
    }
}

/// What every request of Berth's own says of itself.
pub(super) fn meta() -> String {
    format!(
        r#""_meta":{{"{META_PREFIX}protocolVersion":"2026-07-28","{META_PREFIX}clientCapabilities":{{}},"{META_PREFIX}clientInfo":{{"name":"berth-toolbelt","version":"{}"}}}}"#,
        env!("CARGO_PKG_VERSION")
    )
}

fn listen_request() -> Bytes {
    let wanted = r#"{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}"#;
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{{{},"notifications":{wanted}}}}}"#,
        meta()
    )
    .into()
}

/// Everything that a member lists.
async fn list(gateway: &Gateway, lister: &Arc<Principal>, path: Uri) -> Result<Listing, String> {
    let listing = async {
        let mut listing = Listing::default();
        for kind in KINDS {
            list_kind(gateway, lister, &path, kind, &mut listing).await?;
        }
        Ok(listing)
    };
    let late = || Err(format!("it has not listed what it has within {} s", LONGEST.as_secs()));
    tokio::time::timeout(LONGEST, listing).await.unwrap_or_else(|_| late())
}

async fn list_kind(
    gateway: &Gateway,
    lister: &Arc<Principal>,
    path: &Uri,
    kind: Kind,
    listing: &mut Listing,
) -> Result<(), String> {
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES {
        let from = cursor.as_ref().map(|cursor| format!(r#","cursor":{cursor}"#)).unwrap_or_default();
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{}","params":{{{}{from}}}}}"#,
            method(kind),
            meta()
        );
        let sent = exchange::send(gateway, lister, path.clone(), &Known::new(), request.into()).await;
        let answer = exchange::answer(sent, &|_| {}).await?;
        let page = envelope::scan(&answer).map_err(|error| error.to_string())?;
        if let Some(error) = page.error {
            let code: Option<i64> = page.marks.code.and_then(|span| page.raw(span).parse().ok());
            // A server without prompts need not know the method; whether it serves at all is seen by its tools.
            if kind != Kind::Tool || code == Some(errors::METHOD_NOT_FOUND) {
                return Ok(());
            }
            let message = parts::member(page.raw(error), "message").and_then(envelope::decode);
            return Err(message.map_or_else(|| "it gave no reason".to_owned(), std::borrow::Cow::into_owned));
        }
        match listing.take(kind, &page) {
            Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
            _ => return Ok(()),
        }
    }
    Ok(())
}
