//! What 2026-07-28 asks of a message over HTTP: headers that say what the body says, some of which are found out from the
//! server's list of tools.

use bytes::Bytes;
use http::HeaderValue;
use http::header::{HeaderMap, HeaderName};
use mcp::envelope::{self, Envelope};
use mcp::{errors, headers};

use super::Call;
use super::fault::Fault;
use super::streamable::Streamable;

impl Streamable {
    /// The headers of a modern message.
    pub(super) fn modern_headers(&self, message: &Envelope<'_>) -> HeaderMap {
        let mut headers = self.link.for_post();
        self.state().known.each(message, &mut |name, value| {
            let name = HeaderName::from_bytes(name.as_bytes());
            // What cannot stand in a header is for the server to miss.
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        });
        headers
    }

    /// Learns which arguments the server wants repeated in headers, for a call that it refused for want of them. Says
    /// whether the call is sent otherwise now.
    pub(super) async fn learn_tools(&self, call: &Call) -> Result<bool, Fault> {
        /// A list with more pages than this has no end.
        const PAGES: usize = 100;
        const ID: &str = "\"tools\"";
        let Ok(message) = envelope::scan(&call.message) else { return Ok(false) };
        let written = || {
            let mut written = Vec::new();
            self.state().known.each(&message, &mut |name, value| {
                written.push((name.to_owned(), value.to_owned()));
            });
            written
        };
        let before = written();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES {
            let Some(request) = headers::list_request(&message, ID, cursor.as_deref()) else { break };
            let request = Bytes::from(request);
            let Ok(asked) = envelope::scan(&request) else { break };
            let headers = self.modern_headers(&asked);
            let (_, answer) = self.ask(headers, request.clone(), ID).await?;
            let Ok(list) = envelope::scan(&answer) else { break };
            self.state().known.learn(&list);
            match headers::next_cursor(&list) {
                Some(next) if cursor.as_deref() != Some(next) => cursor = Some(next.to_owned()),
                _ => break,
            }
        }
        Ok(written() != before)
    }
}

/// Whether a body is an answer that says that a header is missing or wrong.
pub(super) fn wants_headers(body: &[u8]) -> bool {
    envelope::scan(body).is_ok_and(|answer| {
        let code = answer.marks.code.and_then(|code| answer.raw(code).parse().ok());
        code == Some(errors::HEADER_MISMATCH)
    })
}
