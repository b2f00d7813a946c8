//! Speaking to a DTMA: its own API on port 30000. Where that is, [`crate::reach`] says.

use std::time::Duration;

use api::dtma::{
    BinaryProgress, Check, CleanupReport, CleanupRequest, DtmaInfo, InstanceSpec, PieceQuery, UpgradeRequest,
    UpgradeView,
};
use api::errors::{ErrorBody, ErrorDetail};
use api::instances::LogQuery;
use bytes::Bytes;
use domain::ids::InstanceId;
use domain::program::ProgramDigest;
use domain::status::InstanceReport;
use hop::pool::{HopError, Pool, PooledBody};
use hop::tls::OtherKey;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};

use crate::reach::Host;

/// A DTMA answers from memory and disk; longer than this it hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// A cleanup walks and removes trees, and waits for the engine.
const CLEANUP_PATIENCE: Duration = Duration::from_mins(5);
/// A piece of a program passes over whatever way there is, and the last one is read again whole.
const PIECE_PATIENCE: Duration = Duration::from_mins(2);
/// The largest answer that is read, in bytes; logs are streamed and have no limit.
const MAX_ANSWER: usize = 1 << 20;

/// Why a DTMA did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DtmaError {
    /// Nobody answers there.
    #[error("its DTMA does not answer")]
    Unreachable(#[source] HopError),
    /// Another key answers there than the environment's.
    #[error(
        "at its DTMA's address {0} (`berth dtma pin` prints it there; an environment is added anew with `--host-pin`)"
    )]
    OtherKey(OtherKey),
    /// It took the request and then said nothing.
    #[error("its DTMA did not answer in time")]
    Silent,
    /// It said no.
    #[error("its DTMA refused: {}", .0.message)]
    Refused(ErrorDetail),
    /// It answered what is no answer: somebody else may have the port.
    #[error("what answers at its DTMA's address is no DTMA of this control plane (HTTP {0})")]
    Garbled(StatusCode),
}

/// Connections to DTMAs, which the gateway's calls share: a host in a tunnel has one.
#[derive(Debug, Clone, Default)]
pub(crate) struct DtmaClient {
    pub(crate) pool: Pool<Full<Bytes>>,
}

impl DtmaClient {
    /// Hands a spec over; gives the DTMA's report when it sends one at once.
    ///
    /// # Errors
    /// Any [`DtmaError`].
    pub(crate) async fn put(
        &self,
        host: &Host,
        spec: &InstanceSpec,
    ) -> Result<Option<InstanceReport>, DtmaError> {
        // A spec has nothing that cannot be written as JSON; should it ever, the DTMA refuses the empty body.
        let body = serde_json::to_vec(spec).unwrap_or_default();
        let answer = self.exchange(host, Method::PUT, &format!("/v1/instances/{}", spec.id), body).await?;
        Ok(serde_json::from_slice(&answer).ok())
    }

    /// Removes an instance, and has specs up to this generation refused from then on. One that is not there is removed.
    ///
    /// # Errors
    /// Any [`DtmaError`].
    pub(crate) async fn delete(
        &self,
        host: &Host,
        instance: InstanceId,
        generation: u64,
    ) -> Result<(), DtmaError> {
        let path = format!("/v1/instances/{instance}?generation={generation}");
        match self.exchange(host, Method::DELETE, &path, Vec::new()).await {
            Ok(_) => Ok(()),
            Err(DtmaError::Refused(detail)) if detail.code == api::errors::ErrorCode::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Clears the host of what no instance needs.
    ///
    /// # Errors
    /// Any [`DtmaError`].
    pub(crate) async fn cleanup(
        &self,
        host: &Host,
        request: CleanupRequest,
    ) -> Result<CleanupReport, DtmaError> {
        let body = serde_json::to_vec(&request).unwrap_or_default();
        let whole = async {
            let send = self.send_within(CLEANUP_PATIENCE, host, Method::POST, "/v1/cleanup", body);
            let response = send.await?;
            let status = response.status();
            serde_json::from_slice(&read(response).await?).map_err(|_| DtmaError::Garbled(status))
        };
        tokio::time::timeout(CLEANUP_PATIENCE, whole).await.unwrap_or(Err(DtmaError::Silent))
    }

    /// Sends a piece of a binary, or asks how much of it is there with an empty one.
    ///
    /// # Errors
    /// Any [`DtmaError`].
    pub(crate) async fn put_binary(
        &self,
        host: &Host,
        program: &ProgramDigest,
        query: PieceQuery,
        piece: Bytes,
    ) -> Result<BinaryProgress, DtmaError> {
        let path = format!("/v1/binary/{program}?offset={}&size={}", query.offset, query.size);
        self.ask(PIECE_PATIENCE, host, Method::PUT, &path, piece.into()).await
    }

    /// Begins to put a binary in the place of the host's own.
    ///
    /// # Errors
    /// Any [`DtmaError`].
    pub(crate) async fn upgrade(&self, host: &Host, request: &UpgradeRequest) -> Result<(), DtmaError> {
        let body = serde_json::to_vec(request).unwrap_or_default();
        let whole = async { read(self.send(host, Method::POST, "/v1/upgrade", body).await?).await.map(drop) };
        tokio::time::timeout(PATIENCE, whole).await.unwrap_or(Err(DtmaError::Silent))
    }

    /// What became of the last upgrade.
    ///
    /// # Errors
    /// Any [`DtmaError`].
    pub(crate) async fn upgrade_view(&self, host: &Host) -> Result<UpgradeView, DtmaError> {
        self.ask(PATIENCE, host, Method::GET, "/v1/upgrade", Vec::new()).await
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        patience: Duration,
        host: &Host,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, DtmaError> {
        let whole = async {
            let response = self.send_within(patience, host, method, path, body).await?;
            let status = response.status();
            serde_json::from_slice(&read(response).await?).map_err(|_| DtmaError::Garbled(status))
        };
        tokio::time::timeout(patience, whole).await.unwrap_or(Err(DtmaError::Silent))
    }

    /// What it says it is.
    ///
    /// # Errors
    /// Any [`DtmaError`].
    pub(crate) async fn info(&self, host: &Host) -> Result<DtmaInfo, DtmaError> {
        let whole = async {
            let response = self.send(host, Method::GET, "/v1/info", Vec::new()).await?;
            let status = response.status();
            serde_json::from_slice(&read(response).await?).map_err(|_| DtmaError::Garbled(status))
        };
        tokio::time::timeout(PATIENCE, whole).await.unwrap_or(Err(DtmaError::Silent))
    }

    /// Asks under one of the older DTMA's paths, such as `/status`; gives what it says of itself.
    ///
    /// # Errors
    /// Any [`DtmaError`].
    pub(crate) async fn older(
        &self,
        host: &Host,
        method: Method,
        path: &'static str,
    ) -> Result<serde_json::Value, DtmaError> {
        self.ask(PATIENCE, host, method, path, Vec::new()).await
    }

    /// The lines of an instance's log, as they come.
    ///
    /// # Errors
    /// Any [`DtmaError`].
    pub(crate) async fn logs(
        &self,
        host: &Host,
        instance: InstanceId,
        query: LogQuery,
    ) -> Result<Response<PooledBody<Full<Bytes>>>, DtmaError> {
        let tail = query.tail.map(|tail| format!("&tail={tail}")).unwrap_or_default();
        let path = format!("/v1/instances/{instance}/logs?follow={}{tail}", query.follow);
        self.lines(host, &path).await
    }

    /// The lines of its own log, as they come.
    ///
    /// # Errors
    /// Any [`DtmaError`].
    pub(crate) async fn own_log(
        &self,
        host: &Host,
        query: LogQuery,
    ) -> Result<Response<PooledBody<Full<Bytes>>>, DtmaError> {
        let tail = query.tail.map(|tail| format!("&tail={tail}")).unwrap_or_default();
        self.lines(host, &format!("/v1/log?follow={}{tail}", query.follow)).await
    }

    /// What it finds on its machine.
    ///
    /// # Errors
    /// Any [`DtmaError`].
    pub(crate) async fn checks(&self, host: &Host) -> Result<Vec<Check>, DtmaError> {
        self.ask(PATIENCE, host, Method::GET, "/v1/checks", Vec::new()).await
    }

    /// A text that may have no end.
    async fn lines(&self, host: &Host, path: &str) -> Result<Response<PooledBody<Full<Bytes>>>, DtmaError> {
        let response = self.send(host, Method::GET, path, Vec::new()).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(read(response).await.err().unwrap_or(DtmaError::Silent))
    }

    async fn exchange(
        &self,
        host: &Host,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, DtmaError> {
        let whole = async {
            let response = self.send(host, method, path, body).await?;
            read(response).await
        };
        tokio::time::timeout(PATIENCE, whole).await.unwrap_or(Err(DtmaError::Silent))
    }

    async fn send(
        &self,
        host: &Host,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<PooledBody<Full<Bytes>>>, DtmaError> {
        self.send_within(PATIENCE, host, method, path, body).await
    }

    async fn send_within(
        &self,
        patience: Duration,
        host: &Host,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<PooledBody<Full<Bytes>>>, DtmaError> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        // Paths are made here, from ids and numbers.
        *request.uri_mut() = path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, host.bearer.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        tokio::time::timeout(patience, self.pool.send(&host.dtma, request))
            .await
            .map_err(|_| DtmaError::Silent)?
            .map_err(|error| match &error {
                HopError::Connect { source, .. } => match source.get_ref().and_then(|e| e.downcast_ref()) {
                    Some(other) => DtmaError::OtherKey(*other),
                    None => DtmaError::Unreachable(error),
                },
                HopError::Lost { .. } => DtmaError::Unreachable(error),
            })
    }
}

/// The body of a success; otherwise what the DTMA says is wrong.
async fn read(response: Response<PooledBody<Full<Bytes>>>) -> Result<Bytes, DtmaError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|_| DtmaError::Garbled(status))?
        .to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    match serde_json::from_slice::<ErrorBody>(&body) {
        // A 401 is about the token between us: nothing the instance's owner could correct.
        Ok(_) if status == StatusCode::UNAUTHORIZED => Err(DtmaError::Garbled(status)),
        Ok(body) => Err(DtmaError::Refused(body.error)),
        Err(_) => Err(DtmaError::Garbled(status)),
    }
}
