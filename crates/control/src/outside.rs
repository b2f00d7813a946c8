//! JSON documents that strangers name: those of MCP clients, and their keys. How far they are asked for is the crate `fetch`'s.

use bytes::Bytes;
use fetch::{Fetcher, Reach};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

/// The largest document, in bytes.
const MAX: usize = 64 << 10;
/// For how long a document is good, in seconds, at least and at most, whatever its server says.
const FRESH: std::ops::RangeInclusive<u64> = 300..=86_400;

/// Fetches them. One per process.
#[derive(Debug)]
pub(crate) struct Outside {
    reach: Reach,
    fetcher: OnceCell<Fetcher>,
}

impl Outside {
    /// Connects to nothing yet.
    pub(crate) fn new(reach: Reach) -> Self {
        Self { reach, fetcher: OnceCell::new() }
    }

    /// The JSON document at a URL, and for how many seconds it need not be fetched again.
    ///
    /// # Errors
    /// Why there is none, in words for whoever named it.
    pub(crate) async fn json<T: DeserializeOwned>(&self, url: &str) -> Result<(T, u64), String> {
        let fetcher = self.fetcher.get_or_try_init(async || Fetcher::new(self.reach)).await;
        let fetcher = fetcher.map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = fetcher.send(Method::GET, url, headers, Bytes::new(), MAX).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != StatusCode::OK {
            return Err(format!("it answered {}", answer.status.as_u16()));
        }
        let kind = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind != "application/json" && !kind.ends_with("+json") {
            return Err("it is not of the type `application/json`".to_owned());
        }
        let document = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        Ok((document, max_age(&answer.headers)))
    }
}

/// `Cache-Control` (RFC 9111 §5.2.2), within [`FRESH`].
fn max_age(headers: &HeaderMap) -> u64 {
    let text = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = text.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse::<u64>().ok());
    said.unwrap_or(*FRESH.start()).clamp(*FRESH.start(), *FRESH.end())
}
