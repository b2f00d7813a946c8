//! One client: it opens what its revision opens, then calls, waits a little and calls again until its time is over.

use std::time::Duration;

use anyhow::{anyhow, ensure};
use http::{HeaderValue, Method};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::calls::{Call, Kind};
use crate::random::Random;
use crate::record::Record;
use crate::wire::{self, Connections, DEADLINE, Failed, Reply, Target};

/// A call that was cancelled must be over after this.
const CANCELLED: Duration = Duration::from_secs(10);
/// A client pauses up to so many milliseconds between its calls.
const PAUSE_MS: u64 = 300;
/// A client pauses so long after a refusal, as a polite one does.
const AFTER_REFUSAL: Duration = Duration::from_millis(500);
const MODERN: &str = "2026-07-28";

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// A session of 2025-06-18.
    June,
    /// A session of 2025-11-25 with its GET stream open.
    November,
    /// 2026-07-28; it cancels by leaving.
    Modern,
}

/// What one client holds.
#[derive(Debug)]
pub(crate) struct Client {
    number: u64,
    manner: Manner,
    target: Target,
    connections: Connections,
    session: Option<HeaderValue>,
    random: Random,
    record: Record,
}

impl Manner {
    fn revision(self) -> &'static str {
        match self {
            Self::June => "2025-06-18",
            Self::November => "2025-11-25",
            Self::Modern => MODERN,
        }
    }
}

impl Client {
    /// A client with its session, if it has one.
    pub(crate) async fn open(
        number: u64,
        manner: Manner,
        target: Target,
        random: Random,
        record: Record,
    ) -> anyhow::Result<Self> {
        let connections = Connections::new();
        let mut client = Self { number, manner, target, connections, session: None, random, record };
        if manner == Manner::Modern {
            return Ok(client);
        }
        let info = json!({"name": "soak", "version": "0"});
        let params = json!({"protocolVersion": manner.revision(), "capabilities": {}, "clientInfo": info});
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let failed = |failed: Failed| anyhow!("no session: {failed:?}");
        let mut reply = client.post(&message).await.map_err(failed)?;
        let answer = reply.next().await.map_err(failed)?.unwrap_or_default();
        ensure!(answer["result"]["protocolVersion"] == manner.revision(), "another revision: {answer}");
        client.session = reply.session.clone();
        client.note("notifications/initialized", &json!({})).await.map_err(failed)?;
        Ok(client)
    }

    /// Makes call 0, the long one, on which nothing may fail.
    pub(crate) async fn warm_up(&mut self) -> anyhow::Result<()> {
        let call = Call::new(Kind::Echo, self.number, 0, &mut self.random);
        let answered = timeout(DEADLINE, self.call(call)).await.unwrap_or(Err(Failed::Hung));
        answered.map_err(|failed| anyhow!("no answer to the first call: {failed:?}"))
    }

    /// Calls until `end`.
    pub(crate) async fn run(mut self, end: Instant) {
        let hearing = (self.manner == Manner::November).then(|| tokio::spawn(self.hearer().run()));
        for number in 1.. {
            tokio::time::sleep(Duration::from_millis(self.random.below(PAUSE_MS))).await;
            if end <= Instant::now() {
                break;
            }
            let kind = Kind::any(&mut self.random);
            let call = Call::new(kind, self.number, number, &mut self.random);
            let id = call.id.clone();
            let begun = Instant::now();
            let finished = timeout(DEADLINE, self.call(call)).await.unwrap_or(Err(Failed::Hung));
            match finished {
                Ok(()) => self.record.done(kind.name(), begun),
                Err(failed) => {
                    let what = format!("{:?} {}: {}", self.manner, self.number, kind.name());
                    self.record.failed(what, begun, failed);
                    tokio::time::sleep(AFTER_REFUSAL).await;
                    if kind == Kind::Cancel && self.manner != Manner::Modern {
                        self.withdraw(&id).await;
                    }
                }
            }
        }
        if let Some(hearing) = hearing {
            hearing.abort();
        }
    }

    async fn call(&mut self, mut call: Call) -> Result<(), Failed> {
        let message = json!({"jsonrpc": "2.0", "id": call.id, "method": call.method, "params": call.params});
        if call.kind == Kind::Cancel && self.manner == Manner::Modern && self.random.below(4) == 0 {
            // Some leave before they know whether anybody heard them.
            let patience = Duration::from_millis(self.random.below(20));
            drop(timeout(patience, self.post(&message)).await);
            return Ok(());
        }
        let mut reply = self.post(&message).await?;
        let mut has_cancelled: Option<Instant> = None;
        loop {
            let next = match has_cancelled {
                None => reply.next().await?,
                Some(since) => {
                    let rest = (since + CANCELLED).saturating_duration_since(Instant::now());
                    timeout(rest, reply.next()).await.unwrap_or(Err(Failed::Hung))?
                }
            };
            let Some(message) = next else {
                // What was cancelled needs no answer.
                return match has_cancelled {
                    Some(_) => Ok(()),
                    None => Err(refused(&reply, None)),
                };
            };
            if !call.between(&message)? {
                call.answer(&message).map_err(|failed| match failed {
                    Failed::Refused(why) => refused(&reply, Some(&why)),
                    other => other,
                })?;
                return match reply.next().await? {
                    None => Ok(()),
                    Some(more) => Err(Failed::Wrong(format!("more after the answer: {more}"))),
                };
            }
            if call.kind == Kind::Cancel && has_cancelled.is_none() {
                if self.manner == Manner::Modern {
                    return Ok(());
                }
                self.cancel(&call.id).await?;
                has_cancelled = Some(Instant::now());
            }
        }
    }

    async fn cancel(&self, id: &Value) -> Result<(), Failed> {
        self.note("notifications/cancelled", &json!({"requestId": id})).await
    }

    /// Cancels a call that a kill has taken from its client, and says so until somebody hears it: in these revisions a call goes on
    /// when its client merely leaves (2025-11-25, Streamable HTTP: "disconnection SHOULD NOT be interpreted as the client cancelling its
    /// request").
    async fn withdraw(&self, id: &Value) {
        let deadline = Instant::now() + CANCELLED;
        while self.cancel(id).await.is_err() && Instant::now() < deadline {
            tokio::time::sleep(AFTER_REFUSAL).await;
        }
    }

    async fn note(&self, method: &str, params: &Value) -> Result<(), Failed> {
        let reply = self.post(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await?;
        if reply.status == 202 { Ok(()) } else { Err(refused(&reply, Some(method))) }
    }

    async fn post(&self, message: &Value) -> Result<Reply, Failed> {
        let mut message = message.clone();
        let mut headers = self.headers();
        if self.manner == Manner::Modern {
            let meta = &mut message["params"]["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
            let name = message["params"]["name"].as_str().or(message["params"]["uri"].as_str());
            for (header, text) in [("mcp-method", message["method"].as_str()), ("mcp-name", name)] {
                headers.extend(text.and_then(|text| Some((header, HeaderValue::from_str(text).ok()?))));
            }
        }
        wire::send(&self.connections, &self.target, Method::POST, &headers, message.to_string()).await
    }

    fn headers(&self) -> Vec<(&'static str, HeaderValue)> {
        let mut headers = vec![];
        headers.extend(self.session.clone().map(|session| ("mcp-session-id", session)));
        headers.extend(
            HeaderValue::from_str(self.manner.revision()).ok().map(|value| ("mcp-protocol-version", value)),
        );
        headers
    }

    fn hearer(&self) -> Hearer {
        Hearer {
            name: format!("{:?} {}: GET stream", self.manner, self.number),
            target: self.target.clone(),
            connections: self.connections.clone(),
            headers: self.headers(),
            record: self.record.clone(),
        }
    }
}

/// Keeps a session's GET stream open, on which no answer and nobody's progress may come.
struct Hearer {
    name: String,
    target: Target,
    connections: Connections,
    headers: Vec<(&'static str, HeaderValue)>,
    record: Record,
}

impl Hearer {
    async fn run(self) {
        loop {
            let mut begun = Instant::now();
            let opening =
                wire::send(&self.connections, &self.target, Method::GET, &self.headers, String::new());
            let opened = timeout(DEADLINE, opening).await.unwrap_or(Err(Failed::Hung));
            let ended = match opened {
                Err(failed) => failed,
                Ok(reply) if reply.status != 200 => refused(&reply, None),
                Ok(mut reply) => {
                    self.record.done("GET stream opened", begun);
                    let ended = heard(&mut reply).await;
                    // It was well until now, give or take how long the news of its end was under way.
                    begun = Instant::now().checked_sub(Duration::from_millis(500)).unwrap_or(begun);
                    ended
                }
            };
            self.record.failed(self.name.clone(), begun, ended);
            tokio::time::sleep(AFTER_REFUSAL).await;
        }
    }
}

async fn heard(reply: &mut Reply) -> Failed {
    loop {
        match reply.next().await {
            Err(failed) => return failed,
            Ok(None) => return Failed::Lost("a GET stream ended".to_owned()),
            Ok(Some(message)) => {
                let is_own = message.get("id").is_none() && message["method"] != "notifications/progress";
                if !is_own || message.get("method").is_none() {
                    return Failed::Wrong(format!("on a GET stream: {message}"));
                }
            }
        }
    }
}

/// An answer that is none, as HTTP has it.
fn refused(reply: &Reply, why: Option<&str>) -> Failed {
    let why = why.unwrap_or("no message");
    match reply.status {
        503 if !reply.has_retry_after => Failed::Wrong(format!("503 without Retry-After: {why}")),
        status => Failed::Refused(format!("{status} {why}")),
    }
}

/// Whether the server answers one call rightly.
pub(crate) async fn is_answered(target: &Target, random: &mut Random) -> bool {
    let own = Random::new(random.next());
    let Ok(mut client) = Client::open(u64::MAX, Manner::Modern, target.clone(), own, Record::new()).await
    else {
        return false;
    };
    let call = Call::new(Kind::Echo, u64::MAX, 1, random);
    matches!(timeout(DEADLINE, client.call(call)).await, Ok(Ok(())))
}

/// How many slow calls the server has under way, which are to be none when everybody has left; `None` when it does not
/// say so. A call that was cancelled just now is given time to end.
pub(crate) async fn running(target: &Target) -> Option<u64> {
    let mut running = None;
    let deadline = Instant::now() + CANCELLED;
    while running != Some(0) && Instant::now() < deadline {
        let random = Random::new(0);
        let client = Client::open(0, Manner::Modern, target.clone(), random, Record::new()).await.ok()?;
        let params = json!({"name": "running", "arguments": {}});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let mut reply = client.post(&message).await.ok()?;
        let answer = reply.next().await.ok()??;
        running = answer["result"]["content"][0]["text"].as_str()?.parse().ok();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running
}
