//! Server-Sent Events from an HTTP answer, decoded as they arrive.

use std::collections::VecDeque;

use mcp::sse::{Decoder, Event, TooLong};
use reqwest::Response;

/// The largest event that is taken, in bytes: somewhat more than the largest MCP message.
const LARGEST: usize = domain::shim::MAX_MESSAGE + (1 << 20);

/// Events as they arrive.
#[derive(Debug)]
pub(crate) struct Events {
    response: Response,
    decoder: Decoder,
    ready: VecDeque<Event>,
}

/// Why no further event comes, other than the end of the stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SseError {
    /// The connection broke off.
    #[error("the event stream broke off")]
    Lost(#[source] reqwest::Error),
    /// One event is larger than any message may be.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

impl Events {
    /// Reads the body of an answer whose content type is `text/event-stream`.
    pub(crate) fn new(response: Response) -> Self {
        Self { response, decoder: Decoder::new(LARGEST), ready: VecDeque::new() }
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, SseError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let chunk = self.response.chunk().await.map_err(|e| SseError::Lost(e.without_url()))?;
            let Some(bytes) = chunk else { return Ok(None) };
            let mut events = Vec::new();
            self.decoder.push(&bytes, &mut events)?;
            self.ready.extend(events);
        }
    }
}
