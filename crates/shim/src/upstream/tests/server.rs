//! A server that hands every request to the test and answers what the test says.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::DEADLINE;

pub(super) struct Server {
    pub(super) url: String,
    asked: mpsc::UnboundedReceiver<Asked>,
    waiting: VecDeque<Asked>,
    task: JoinHandle<()>,
}

/// A request that waits for its answer. Dropped, it is answered by the end of the connection.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    headers: http::HeaderMap,
    pub(super) body: String,
    reply: oneshot::Sender<Response<Answer>>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp?key={}", listener.local_addr().unwrap(), super::SECRET);
        let (push, asked) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let push = push.clone();
                let service = service_fn(move |request| exchange(request, push.clone()));
                // A connection that breaks is what some of the tests want.
                tokio::spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, asked, waiting: VecDeque::new(), task }
    }

    /// The next request with this HTTP method, or with this in its body.
    pub(super) async fn next(&mut self, what: &str) -> Asked {
        let is_it = |asked: &Asked| asked.method == what || asked.body.contains(what);
        if let Some(at) = self.waiting.iter().position(is_it) {
            return self.waiting.remove(at).unwrap();
        }
        let waiting = &mut self.waiting;
        let asking = async {
            loop {
                let asked = self.asked.recv().await.unwrap();
                if is_it(&asked) {
                    return asked;
                }
                waiting.push_back(asked);
            }
        };
        let asked = tokio::time::timeout(DEADLINE, asking).await;
        asked.unwrap_or_else(|_| panic!("{what} was not asked for"))
    }

    /// Whether a request came that nobody took.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.waiting.extend(self.asked.try_recv());
        self.waiting.is_empty()
    }

    pub(super) fn host(&self) -> &str {
        self.url.strip_prefix("http://").unwrap().split('/').next().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asked {
    /// A header's value; empty when it is absent.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Answers with a status, headers and a body.
    pub(super) fn reply(self, status: u16, headers: &[(&str, &str)], body: &str) {
        let mut response = Response::new(Answer::Whole(Some(body.to_owned().into())));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response
                .headers_mut()
                .append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        // Whoever asked may be gone, which is what some of the tests want.
        let _ = self.reply.send(response);
    }

    pub(super) fn json(self, status: u16, body: &str) {
        self.reply(status, &[("content-type", "application/json")], body);
    }

    pub(super) fn accept(self) {
        self.reply(202, &[], "");
    }

    /// Answers with a stream, which goes on until it is dropped.
    pub(super) fn events(self) -> Stream {
        let (stream, pieces) = mpsc::unbounded_channel();
        let mut response = Response::new(Answer::Stream(pieces));
        let kind = "text/event-stream; charset=utf-8";
        response.headers_mut().insert("content-type", kind.parse().unwrap());
        let _ = self.reply.send(response);
        Stream(stream)
    }
}

pub(super) struct Stream(mpsc::UnboundedSender<Option<Bytes>>);

impl Stream {
    pub(super) fn raw(&self, text: &str) {
        let _ = self.0.send(Some(text.to_owned().into()));
    }

    pub(super) fn message(&self, message: &str) {
        self.raw(&format!("data: {message}\n\n"));
    }

    /// The connection breaks within the answer.
    pub(super) fn cut(self) {
        let _ = self.0.send(None);
    }

    /// Returns once the client has closed the connection.
    pub(super) async fn is_closed(&self) {
        tokio::time::timeout(DEADLINE, self.0.closed()).await.unwrap();
    }
}

pub(super) enum Answer {
    Whole(Option<Bytes>),
    Stream(mpsc::UnboundedReceiver<Option<Bytes>>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match &mut *self {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Stream(pieces) => pieces.poll_recv(cx).map(|piece| match piece? {
                Some(piece) => Some(Ok(Frame::data(piece))),
                None => Some(Err(std::io::Error::other("cut"))),
            }),
        }
    }
}

async fn exchange(
    request: Request<Incoming>,
    push: mpsc::UnboundedSender<Asked>,
) -> Result<Response<Answer>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let (reply, replied) = oneshot::channel();
    let asked = Asked {
        method: head.method,
        path: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
        reply,
    };
    push.send(asked).map_err(std::io::Error::other)?;
    replied.await.map_err(std::io::Error::other)
}
