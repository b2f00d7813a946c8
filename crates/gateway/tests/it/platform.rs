//! A gateway on a TCP port, a shim on a unix socket, and a directory that says what the test wants.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::ids::InstanceId;
use gateway::{
    Audience, AuthError, Bucket, Calls, Directory, Gateway, Limits, NotServed, Principal, Records, Target,
};
use hop::address::Address;
use hop::pool::Pool;
use hop::serve::Listener;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "berth_good";
pub(crate) const OWN_ORIGIN: &str = "http://127.0.0.1:8420";
pub(crate) const OTHER_ORIGIN: &str = "https://app.example.com";

/// What a test's shim does with a request.
pub(crate) type Shim =
    Arc<dyn Fn(Seen) -> Pin<Box<dyn Future<Output = Response<ShimBody>> + Send>> + Send + Sync>;
pub(crate) type ShimBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// A request as the shim saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer as the client saw it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }
}

pub(crate) struct Platform {
    pub(crate) address: SocketAddr,
    pub(crate) dir: TempDir,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) directory: Arc<dyn Directory>,
    pool: Pool<Full<Bytes>>,
}

impl Platform {
    /// A gateway whose instance `echo` is served by `shim`, and others that are not served.
    pub(crate) async fn start(shim: Shim) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        serve_shim(&dir, shim, Arc::clone(&seen));
        Self::over(dir, seen, None).await
    }

    /// As [`Platform::start`], with the lines that its requests leave.
    pub(crate) async fn recorded(shim: Shim, with_arguments: bool) -> (Self, Arc<Records>) {
        let (dir, seen) = (tempfile::tempdir().unwrap(), Arc::default());
        serve_shim(&dir, shim, Arc::clone(&seen));
        let records = Arc::new(Records::new(with_arguments));
        (Self::over(dir, seen, Some(Arc::clone(&records))).await, records)
    }

    /// As [`Platform::without_shim`], with the lines that its requests leave.
    pub(crate) async fn recorded_without_shim() -> (Self, Arc<Records>) {
        let records = Arc::new(Records::new(false));
        let records_of = Some(Arc::clone(&records));
        (Self::over(tempfile::tempdir().unwrap(), Arc::default(), records_of).await, records)
    }

    /// A gateway whose instance `echo` has no shim at all.
    pub(crate) async fn without_shim() -> Self {
        Self::over(tempfile::tempdir().unwrap(), Arc::default(), None).await
    }

    async fn over(dir: TempDir, seen: Arc<Mutex<Vec<Seen>>>, records: Option<Arc<Records>>) -> Self {
        let config = gateway::Config {
            public: OWN_ORIGIN.to_owned(),
            own_origins: vec![OWN_ORIGIN.to_owned()],
            allowed_origins: vec![OTHER_ORIGIN.to_owned()],
            records,
        };
        let directory: Arc<dyn Directory> = Arc::new(Names::new(&dir));
        let gateway = Arc::new(Gateway::new(Arc::clone(&directory), Pool::new(), &config));
        let of_service = Arc::clone(&gateway);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let gateway = Arc::clone(&of_service);
            async move { Ok::<_, Infallible>(gateway.call(request).await) }
        });
        tokio::spawn(hop::serve::serve(Listener::Tcp(listener), service, std::future::pending()));
        Self { address, dir, seen, pool: Pool::new(), gateway, directory }
    }

    /// A shim comes.
    pub(crate) fn serve(&self, shim: Shim) {
        serve_shim(&self.dir, shim, Arc::clone(&self.seen));
    }

    /// One request with the good token.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut all = vec![("authorization", "Bearer berth_good")];
        all.extend_from_slice(headers);
        self.send_bare(method, path, &all, body).await
    }

    /// One request with these headers and no others.
    pub(crate) async fn send_bare(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let response = self.pool.send(&Address::Tcp(self.address), request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn last_seen(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().expect("the shim saw a request")
    }
}

/// A gateway without a listener, for what must not wait for real time.
pub(crate) fn gateway() -> Gateway {
    let config = gateway::Config { public: OWN_ORIGIN.to_owned(), ..gateway::Config::default() };
    Gateway::new(Arc::new(Names::new(&tempfile::tempdir().unwrap())), Pool::new(), &config)
}

/// A shim that answers everything with a body.
pub(crate) fn answering(body: &'static str) -> Shim {
    Arc::new(move |_| {
        Box::pin(async move {
            let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())).boxed_unsync());
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert("content-type", json);
            response.headers_mut().insert("mcp-session-id", HeaderValue::from_static("s1"));
            response
        })
    })
}

fn serve_shim(dir: &TempDir, shim: Shim, seen: Arc<Mutex<Vec<Seen>>>) {
    let listener = hop::address::bind_unix(dir.path(), "shim.sock").unwrap();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (shim, seen) = (Arc::clone(&shim), Arc::clone(&seen));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let one = Seen { method: parts.method, uri: parts.uri, headers: parts.headers, body };
            seen.lock().unwrap().push(one.clone());
            Ok::<_, Infallible>(shim(one).await)
        }
    });
    tokio::spawn(hop::serve::serve(Listener::Unix(listener), service, std::future::pending()));
}

struct Names {
    instances: HashMap<&'static str, Result<Arc<Target>, NotServed>>,
    /// One call an hour.
    slow: Arc<Bucket>,
}

impl Names {
    fn new(dir: &TempDir) -> Self {
        let echo = Target {
            instance: InstanceId::generate(),
            name: "echo".parse().unwrap(),
            address: Address::Unix { dir: dir.path().to_owned(), file: "shim.sock".to_owned() },
            uri: Uri::from_static("/mcp"),
            bearer: None,
            key: HeaderValue::from_static("the-key"),
            limit: None,
            is_changing: false,
        };
        // The same shim as if it were behind a DTMA.
        let behind = Target {
            uri: Uri::from_static("/v1/instances/x/mcp"),
            bearer: Some(HeaderValue::from_static("Bearer dtma")),
            ..echo.clone()
        };
        let changing = Target { is_changing: true, ..echo.clone() };
        let elsewhere = Target { is_changing: true, ..behind.clone() };
        let instances = HashMap::from([
            ("elsewhere", Ok(Arc::new(elsewhere))),
            ("changing", Ok(Arc::new(changing))),
            ("echo", Ok(Arc::new(echo))),
            ("behind", Ok(Arc::new(behind))),
            ("tool", Err(NotServed::Tool)),
            ("stopped", Err(NotServed::Stopped)),
            ("starting", Err(NotServed::Starting { step: "installing packages".to_owned() })),
            ("failed", Err(NotServed::Failed { message: "it exits at once".to_owned() })),
            (
                "lost",
                Err(NotServed::Unreachable { message: "its environment `far` does not report".to_owned() }),
            ),
        ]);
        Self { instances, slow: Arc::new(Bucket::new("1/h".parse().unwrap())) }
    }
}

impl Directory for Names {
    fn authenticate_known(&self, bearer: &str) -> Option<Result<Arc<Principal>, AuthError>> {
        let principal = Arc::new(Principal {
            audience: Audience::Account,
            account: "acme".parse().unwrap(),
            account_id: domain::ids::AccountId::generate(),
            credential: "token:1".into(),
            header: HeaderValue::from_static("user:1"),
            calls: Calls::all(),
            limits: Limits::default(),
        });
        if let Some(scopes) = bearer.strip_prefix("berth_scoped_") {
            let scopes = scopes.split('_').map(|scope| scope.parse().unwrap()).collect::<Vec<_>>();
            let calls = Calls::of(Some(&scopes.try_into().unwrap()), &[]);
            return Some(Ok(Arc::new(Principal { calls, ..(*principal).clone() })));
        }
        match bearer {
            TOKEN => Some(Ok(principal)),
            "berth_slow" => {
                let limits = Limits { token: Some(Arc::clone(&self.slow)), account: None };
                Some(Ok(Arc::new(Principal { limits, ..(*principal).clone() })))
            }
            "berth_for_echo_alone" => {
                let instance = "echo".parse().unwrap();
                let audience = Audience::Instance { account: "acme".parse().unwrap(), instance };
                Some(Ok(Arc::new(Principal { audience, ..(*principal).clone() })))
            }
            "berth_for_the_api" => {
                Some(Ok(Arc::new(Principal { audience: Audience::Api, ..(*principal).clone() })))
            }
            "berth_expired" => Some(Err(AuthError::Expired)),
            "berth_revoked" => Some(Err(AuthError::Revoked)),
            _ => None,
        }
    }

    fn authenticate<'a>(
        &'a self,
        bearer: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Principal>, AuthError>> + Send + 'a>> {
        Box::pin(async move {
            if bearer == "berth_unchecked" { Err(AuthError::Unavailable) } else { Err(AuthError::Wrong) }
        })
    }

    fn find(&self, account: &str, instance: &str, principal: &Principal) -> Result<Arc<Target>, NotServed> {
        assert_eq!(account, principal.account.as_str(), "the gateway asks for the caller's own account only");
        self.instances.get(instance).cloned().unwrap_or(Err(NotServed::Unknown))
    }
}
