//! Reading a request's body: whole, bounded, without a copy when it comes in one piece.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{self, HeaderMap};
use http_body_util::BodyExt as _;

use crate::answers::Refusal;

/// A client that sends too much hears of it only after it has sent it: many never read while they write. So this much
/// more is read and thrown away, for at most this long, before the connection is given up.
const DRAIN_BYTES: usize = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// A client of whose body nothing comes for so long has gone, or keeps our memory on purpose.
const SILENCE: Duration = Duration::from_secs(30);

/// The whole body, at most `limit` bytes, whether its length was announced or not.
pub(crate) async fn collect<B>(body: B, headers: &HeaderMap, limit: usize) -> Result<Bytes, Refusal>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<usize>().ok());
    if announced.is_some_and(|length| limit < length) {
        drain(body).await;
        return Err(Refusal::TooLarge { limit });
    }
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    loop {
        let frame = match tokio::time::timeout(SILENCE, body.frame()).await {
            Err(_) => return Err(Refusal::TooSlow { silence: SILENCE }),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Refusal::Unread),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        let have = rest.as_ref().map_or(first.len(), BytesMut::len);
        if limit < have + data.remaining() {
            drain(body).await;
            return Err(Refusal::TooLarge { limit });
        }
        match &mut rest {
            None if first.is_empty() => first = data,
            None => {
                let mut all = BytesMut::with_capacity(announced.unwrap_or(2 * (have + data.len())));
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                rest = Some(all);
            }
            Some(all) => all.extend_from_slice(&data),
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}

async fn drain<B>(mut body: std::pin::Pin<&mut B>)
where
    B: http_body::Body<Data = Bytes>,
{
    let discard = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            let Some(less) = left.checked_sub(read) else { break };
            left = less;
        }
    };
    // Both ends are the same to the caller: the answer is written either way.
    let _ = tokio::time::timeout(DRAIN_TIME, discard).await;
}
