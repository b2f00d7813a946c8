//! `subscriptions/listen`: a client hears of lists that change, and of resources that it names, whose ever they are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::toolbelts::Kind;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use gateway::Principal;
use mcp::envelope::{self, Envelope, META_PREFIX};
use mcp::headers::Known;
use mcp::{errors, parts};
use tokio::sync::broadcast::error::RecvError;
use toolbelt::route;

use super::code::Code;
use super::exchange;
use crate::app::App;

/// A member whose stream has ended is asked again after this time.
const AGAIN: Duration = Duration::from_secs(5);
/// Resources that one client watches.
const MOST: usize = 1024;

/// What a client wants to hear of.
struct Wanted {
    tools: bool,
    prompts: bool,
    resources: bool,
    uris: Vec<String>,
}

impl Wanted {
    /// Of `params.notifications`; `None` when it is none.
    fn of(filter: &str) -> Option<Self> {
        parts::members(filter)?;
        let wants = |key: &str| parts::member(filter, key) == Some("true");
        let uris = match parts::member(filter, "resourceSubscriptions") {
            Some(uris) => serde_json::from_str(uris).ok()?,
            None => Vec::new(),
        };
        Some(Self {
            tools: wants("toolsListChanged"),
            prompts: wants("promptsListChanged"),
            resources: wants("resourcesListChanged"),
            uris,
        })
    }

    fn granted(&self) -> String {
        let names = [
            (self.tools, "toolsListChanged"),
            (self.prompts, "promptsListChanged"),
            (self.resources, "resourcesListChanged"),
        ];
        let mut granted: Vec<String> = names
            .iter()
            .filter(|(is_meant, _)| *is_meant)
            .map(|(_, name)| format!(r#""{name}":true"#))
            .collect();
        if !self.uris.is_empty() {
            let uris: Vec<String> = self.uris.iter().map(|uri| errors::quote(uri)).collect();
            granted.push(format!(r#""resourceSubscriptions":[{}]"#, uris.join(",")));
        }
        granted.join(",")
    }

    /// The notifications that changes of these kinds are to this client.
    fn methods(&self, kinds: &[Kind]) -> Vec<&'static str> {
        let has = |wanted: &[Kind]| kinds.iter().any(|kind| wanted.contains(kind));
        let all = [
            (self.tools && has(&[Kind::Tool]), "notifications/tools/list_changed"),
            (self.prompts && has(&[Kind::Prompt]), "notifications/prompts/list_changed"),
            (
                self.resources && has(&[Kind::Resource, Kind::Template]),
                "notifications/resources/list_changed",
            ),
        ];
        all.into_iter().filter(|(is_meant, _)| *is_meant).map(|(_, method)| method).collect()
    }
}

impl Code {
    /// Says what the client wants to hear until it leaves, or the toolbelt ends. Without a principal it is the shim that listens, for clients
    /// of the older revisions: members are asked in the name of whoever used the toolbelt last.
    pub(super) async fn listen(
        &self,
        app: &Arc<App>,
        principal: Option<&Arc<Principal>>,
        message: &Envelope<'_>,
        filter: &str,
        say: &(dyn Fn(&[u8]) + Send + Sync),
    ) -> Vec<u8> {
        let Some(mut wanted) = Wanted::of(filter) else {
            return route::invalid(
                message,
                "`params.notifications` must be an object such as {\"toolsListChanged\": true}",
            );
        };
        let subscription = format!(r#""{META_PREFIX}subscriptionId":{}"#, message.raw_id().unwrap_or("null"));
        let mut changes = self.changes.subscribe();
        let mut members: HashMap<usize, HashMap<String, String>> = HashMap::new();
        let view = self.view();
        wanted.uris.truncate(MOST);
        wanted.uris.retain(|uri| match view.resource(uri, None) {
            Some((member, own)) => {
                members.entry(member).or_default().insert(own, uri.clone());
                true
            }
            None => false,
        });
        say(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{{subscription}}},"notifications":{{{}}}}}}}"#,
            wanted.granted()
        )
        .as_bytes());
        let mut watched: FuturesUnordered<_> = members
            .into_iter()
            .map(|(member, names)| {
                let (path, subscription) = (self.path(&view.members[member].name), &subscription);
                async move {
                    loop {
                        if let Some(caller) = principal.cloned().or_else(|| self.freshness.lister()) {
                            let request = watch_request(names.keys()).into();
                            let known = Known::new();
                            let sent =
                                exchange::send(&app.gateway, &caller, path.clone(), &known, request).await;
                            let hear = |line: &[u8]| {
                                if let Some(line) = updated(line, &names, subscription) {
                                    say(line.as_bytes());
                                }
                            };
                            // Why it ended does not matter: it is asked again.
                            let _ = exchange::answer(sent, &hear).await;
                        }
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            })
            .collect();
        loop {
            let kinds = tokio::select! {
                heard = changes.recv() => match heard {
                    Ok(kinds) => kinds,
                    // What was missed may be anything.
                    Err(RecvError::Lagged(_)) => toolbelt::KINDS.to_vec(),
                    Err(RecvError::Closed) => break,
                },
                Some(()) = watched.next() => continue,
                () = self.stop.cancelled() => break,
            };
            for method in wanted.methods(&kinds) {
                say(format!(
                    r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"_meta":{{{subscription}}}}}}}"#
                )
                .as_bytes());
            }
        }
        route::result(message, &format!(r#"{{"resultType":"complete","_meta":{{{subscription}}}}}"#))
    }
}

fn watch_request<'a>(uris: impl Iterator<Item = &'a String>) -> String {
    let uris: Vec<String> = uris.map(|uri| errors::quote(uri)).collect();
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{{{},"notifications":{{"resourceSubscriptions":[{}]}}}}}}"#,
        super::freshness::meta(),
        uris.join(",")
    )
}

/// What a member says of a resource, as the client knows it.
fn updated(line: &[u8], names: &HashMap<String, String>, subscription: &str) -> Option<String> {
    let message =
        envelope::scan(line).ok().filter(|message| message.method() == "notifications/resources/updated")?;
    let shown = names.get(&*message.string(message.marks.uri?)?)?;
    Some(format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"_meta":{{{subscription}}},"uri":{}}}}}"#,
        errors::quote(shown)
    ))
}
