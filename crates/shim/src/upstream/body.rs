//! Answers' bodies: whole, or as events, each within the limit of a message.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::shim::MAX_MESSAGE;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use mcp::sse::{Decoder, Event};

use super::fault::Fault;

/// What nobody wants of a body is read for so long, so that the connection can be used again.
const DRAIN: Duration = Duration::from_secs(1);
/// And so much of it, in bytes.
const DRAINED: usize = 64 << 10;
/// The decoder's limit counts the name of a field too.
const FIELD: usize = 64;

/// The whole body. One that came in one piece stays where it was read.
pub(super) async fn whole(mut body: Incoming) -> Result<Bytes, Fault> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Fault::CutOff)?.into_data() else { continue };
        if MAX_MESSAGE < first.len() + all.len() + data.len() {
            return Err(Fault::TooLong);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Reads what is left of a small body.
pub(super) async fn drain(mut body: Incoming) {
    let reading = async {
        let mut len = 0;
        while let Some(Ok(frame)) = body.frame().await {
            len += frame.data_ref().map_or(0, Bytes::len);
            if DRAINED < len {
                break;
            }
        }
    };
    // One that takes longer is closed by being dropped; nobody waits for what is in it.
    let _ = tokio::time::timeout(DRAIN, reading).await;
}

/// An event stream, or what follows one that broke.
pub(super) struct Events {
    body: Incoming,
    decoder: Decoder,
    ready: VecDeque<Event>,
    batch: Vec<Event>,
    before: Resume,
}

/// What resuming a stream needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Resume {
    /// The id of its last event.
    pub(super) last_id: Option<String>,
    /// How long the server wants to be left alone first.
    pub(super) retry: Option<Duration>,
}

impl Events {
    /// `before` is what the stream that this one goes on from left.
    pub(super) fn new(body: Incoming, before: Resume) -> Self {
        Self {
            body,
            decoder: Decoder::new(MAX_MESSAGE + FIELD),
            ready: VecDeque::new(),
            batch: Vec::new(),
            before,
        }
    }

    /// The next event; `None` at the end, also when the connection broke.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(Ok(frame)) = self.body.frame().await else { return Ok(None) };
            let Ok(data) = frame.into_data() else { continue };
            self.decoder.push(&data, &mut self.batch).map_err(|_| Fault::TooLong)?;
            self.ready.extend(self.batch.drain(..));
        }
    }

    /// The next event that holds a message.
    pub(super) async fn message(&mut self) -> Result<Option<String>, Fault> {
        while let Some(event) = self.next().await? {
            // An event without data only says from where to resume.
            if matches!(event.event.as_str(), "" | "message") && !event.data.is_empty() {
                let fits = event.data.len() <= MAX_MESSAGE;
                return if fits { Ok(Some(event.data)) } else { Err(Fault::TooLong) };
            }
        }
        Ok(None)
    }

    /// From where the stream can be resumed.
    pub(super) fn resume(&self) -> Resume {
        Resume {
            last_id: self.decoder.last_id().map(str::to_owned).or_else(|| self.before.last_id.clone()),
            retry: self.decoder.retry().map(Duration::from_millis).or(self.before.retry),
        }
    }
}
