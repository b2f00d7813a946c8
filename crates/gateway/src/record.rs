//! A line for every request that passes: who, where, what, how long, and what came of it.
//!
//! The path of a call only puts lines into a queue; whoever empties it writes them down. When nobody does, lines are lost and counted, and
//! calls go on.

mod passing;

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use api::audit::CallOutcome;
use domain::time::Timestamp;
use http::StatusCode;
use mcp::envelope::{self, Envelope, Kind};
use mcp::watch::{Outcome, Watch};
use tokio::sync::Notify;

pub use self::passing::Passing;
use crate::{Principal, Target};

/// Lines that wait to be written; above, they are lost.
const MOST: usize = 10_000;
/// So many are worth writing at once.
const MANY: usize = 500;
/// The first that waits, waits so long for others.
const PERIOD: Duration = Duration::from_millis(250);
/// The longest method, name or instance that is kept, in bytes.
const MAX_WORD: usize = 256;
/// The longest parameters that are kept, in bytes. What is cut could end within a secret, which nobody would find then.
const MAX_ARGUMENTS: usize = 16 << 10;
/// Requests of one batch that get a line each.
const MAX_BATCH: usize = 1000;

/// One request.
#[derive(Debug, Clone)]
pub struct Line {
    /// Who called.
    pub principal: Arc<Principal>,
    /// What was called; absent when there is none of that name that serves.
    pub target: Option<Arc<Target>>,
    /// The instance's name, as the address has it.
    pub instance: String,
    /// Such as `tools/call`; `unreadable` for what is no message.
    pub method: Cow<'static, str>,
    /// The tool, prompt or resource that is named.
    pub name: Option<String>,
    /// `params`, when that is wanted, as they came.
    pub arguments: Option<Arguments>,
    /// When it came.
    pub at: Timestamp,
    /// Until the answer was complete.
    pub took: Duration,
    /// What came of it.
    pub result: CallOutcome,
    /// The HTTP status of the answer; 0 when there was none.
    pub status: u16,
}

/// The parameters of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arguments {
    /// As JSON. Whatever secrets they have are still in it.
    Whole(String),
    /// More bytes than are kept.
    TooLong(usize),
}

/// The lines that are not written yet.
#[derive(Debug, Default)]
pub struct Records {
    with_arguments: bool,
    waiting: Mutex<Vec<Line>>,
    lost: AtomicU64,
    told: Notify,
}

impl Records {
    /// None yet. `with_arguments`: the lines have the requests' parameters.
    pub fn new(with_arguments: bool) -> Self {
        Self { with_arguments, ..Self::default() }
    }

    /// Waits until lines are worth writing: there are many, or one has waited for a while.
    pub async fn due(&self) {
        while self.waiting() == 0 {
            self.told.notified().await;
        }
        let many = async {
            while self.waiting() < MANY {
                self.told.notified().await;
            }
        };
        // Both ends mean the same.
        let _ = tokio::time::timeout(PERIOD, many).await;
    }

    /// Takes all that wait.
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many lines were lost so far, because too many waited.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn put(&self, line: Line) {
        let waiting = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if MOST <= waiting.len() {
                drop(waiting);
                self.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            waiting.push(line);
            waiting.len()
        };
        if waiting == 1 || waiting == MANY {
            self.told.notify_one();
        }
    }
}

/// A request whose answer is not complete. Dropped, it was cancelled.
#[derive(Debug)]
pub(crate) struct Pending {
    records: Arc<Records>,
    principal: Arc<Principal>,
    target: Option<Arc<Target>>,
    instance: String,
    at: Timestamp,
    began: Instant,
    status: u16,
    /// Whoever answers says that it was not carried out.
    refused: bool,
    /// Those that have no line yet.
    asked: Vec<Asked>,
    watch: Option<Watch>,
}

/// What one request asks for.
#[derive(Debug)]
struct Asked {
    /// Its id as it is written; of a batch only.
    id: Option<Box<[u8]>>,
    method: Cow<'static, str>,
    name: Option<String>,
    arguments: Option<Arguments>,
    seen: Option<Outcome>,
}

impl Pending {
    /// Of the body of a POST at an instance's address; `None` when it holds no request.
    pub(crate) fn of(
        records: &Arc<Records>,
        principal: &Arc<Principal>,
        body: &[u8],
        began: Instant,
    ) -> Option<Box<Self>> {
        let asked = asked(body, records.with_arguments);
        if asked.is_empty() {
            return None;
        }
        Some(Box::new(Self {
            records: Arc::clone(records),
            principal: Arc::clone(principal),
            target: None,
            instance: String::new(),
            at: SystemTime::now().into(),
            began,
            status: 0,
            refused: false,
            asked,
            watch: None,
        }))
    }

    /// Where it goes.
    pub(crate) fn to(&mut self, target: &Arc<Target>) {
        target.name.as_str().clone_into(&mut self.instance);
        self.target = Some(Arc::clone(target));
    }

    /// It goes nowhere, and is answered here.
    pub(crate) fn refused_at(&mut self, instance: &str, status: StatusCode) {
        self.instance = kept(instance);
        self.answered(status);
    }

    /// The gateway answers in the place of whoever was asked.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = status.as_u16();
        let result = of_status(status).unwrap_or(CallOutcome::Error);
        self.end(|_| result);
    }

    /// The head of the answer is here.
    fn begin_answer(&mut self, status: StatusCode, is_stream: bool, refused: bool) {
        self.status = status.as_u16();
        self.refused = refused;
        self.watch = Some(if is_stream { Watch::of_events() } else { Watch::of_json() });
    }

    /// Bytes of the answer.
    fn see(&mut self, bytes: &[u8]) {
        let (Some(watch), asked) = (&mut self.watch, &mut self.asked) else { return };
        watch.feed(bytes, &mut |id, outcome| {
            let whose = asked.iter_mut().find(|one| one.id.as_deref().is_none_or(|own| own == id));
            if let Some(one) = whose {
                one.seen = Some(outcome);
            }
        });
    }

    /// The answer is complete.
    fn complete(&mut self) {
        let by_status = StatusCode::from_u16(self.status).ok().and_then(of_status);
        let by_head = if self.refused { Some(CallOutcome::Refused) } else { by_status };
        self.end(|seen| match (by_head, seen) {
            (Some(result), _) => result,
            (None, Some(Outcome::Result)) => CallOutcome::Ok,
            (None, Some(Outcome::Error | Outcome::ToolError)) => CallOutcome::Error,
            (None, None) => CallOutcome::Cancelled,
        });
    }

    /// The rest of the answer was lost.
    fn broken(&mut self) {
        self.end(|_| CallOutcome::Error);
    }

    fn end(&mut self, result: impl Fn(Option<Outcome>) -> CallOutcome) {
        let took = self.began.elapsed();
        for asked in self.asked.drain(..) {
            self.records.put(Line {
                principal: Arc::clone(&self.principal),
                target: self.target.clone(),
                instance: self.instance.clone(),
                method: asked.method,
                name: asked.name,
                arguments: asked.arguments,
                at: self.at,
                took,
                result: result(asked.seen),
                status: self.status,
            });
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.end(|_| CallOutcome::Cancelled);
    }
}

/// What the status alone says; `None`: the answer says it.
fn of_status(status: StatusCode) -> Option<CallOutcome> {
    match status.as_u16() {
        202 => Some(CallOutcome::Accepted),
        500 | 502 | 504 => Some(CallOutcome::Error),
        400.. => Some(CallOutcome::Refused),
        _ => None,
    }
}

fn asked(body: &[u8], with_arguments: bool) -> Vec<Asked> {
    let unreadable =
        || Asked { id: None, method: Cow::Borrowed("unreadable"), name: None, arguments: None, seen: None };
    match envelope::scan(body) {
        Ok(message) => request(&message, with_arguments, false).into_iter().collect(),
        Err(envelope::EnvelopeError::Batch) => {
            let Ok(messages) = envelope::split_batch(body) else { return vec![unreadable()] };
            let request = |message: &&[u8]| match envelope::scan(message) {
                Ok(message) => request(&message, with_arguments, true),
                // No answer has an id like this.
                Err(_) => Some(Asked { id: Some(b"-".as_slice().into()), ..unreadable() }),
            };
            messages.iter().take(MAX_BATCH).filter_map(request).collect()
        }
        Err(_) => vec![unreadable()],
    }
}

fn request(message: &Envelope<'_>, with_arguments: bool, in_batch: bool) -> Option<Asked> {
    if message.kind() != Kind::Request {
        return None;
    }
    let marks = &message.marks;
    let named = marks.name.or(marks.uri).or(marks.task_id);
    let arguments = message.params.filter(|_| with_arguments).map(|params| {
        let text = message.raw(params);
        if text.len() <= MAX_ARGUMENTS {
            Arguments::Whole(text.to_owned())
        } else {
            Arguments::TooLong(text.len())
        }
    });
    Some(Asked {
        id: message.raw_id().filter(|_| in_batch).map(|id| id.as_bytes().into()),
        method: known(&message.method()),
        name: named.and_then(|span| message.string(span)).map(|name| kept(&name)),
        arguments,
        seen: None,
    })
}

/// The methods of nearly all requests need no memory.
fn known(method: &str) -> Cow<'static, str> {
    const METHODS: &[&str] = &[
        "tools/call",
        "tools/list",
        "prompts/get",
        "prompts/list",
        "resources/read",
        "resources/list",
        "resources/templates/list",
        "completion/complete",
        "initialize",
        "ping",
        "server/discover",
        "subscriptions/listen",
    ];
    let found = METHODS.iter().find(|known| **known == method);
    found.map_or_else(|| Cow::Owned(kept(method)), |known| Cow::Borrowed(*known))
}

/// What a caller wrote, of bounded length and without control characters.
fn kept(text: &str) -> String {
    let mut end = text.len().min(MAX_WORD);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace(char::is_control, "\u{fffd}")
}
