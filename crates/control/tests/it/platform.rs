//! A control plane in a directory of its own, on port 0, with people of every role in two accounts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use api::users::Role;
use bytes::Bytes;
use control::{Config, LocalEnvironment, LocalSetup};
use domain::ids::{AccountId, EnvironmentId, TokenId, UserId};
use domain::status::EnvironmentStatus;
use domain::time::Timestamp;
use hop::address::Address;
use hop::pool::Pool;
use hop::serve::Listener;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::accounts::{AccountRow, UserRow};
use store::environments::EnvironmentRow;
use store::tokens::TokenRow;
use store::{Database, Store};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) use testkit::wait::PATIENCE;

/// The newest lines of an account's audit.
pub(crate) async fn audit_lines(
    store: &Store,
    account: AccountId,
    limit: u32,
) -> Result<Vec<store::audit::AuditRow>, store::StoreError> {
    let wanted = store::audit::Wanted { limit, ..Default::default() };
    let found = store::audit::list(store, account, &wanted).await?;
    Ok(found.into_iter().map(|(line, _)| line).collect())
}

pub(crate) struct Platform {
    pub(crate) address: SocketAddr,
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) local: LocalSetup,
    /// The admin's token of the first run.
    pub(crate) owner: String,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    pool: Pool<Full<Bytes>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    /// Code, field, message and hint of an error, in one line.
    pub(crate) fn error(&self) -> String {
        let error = &self.json()["error"];
        let part = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} | {} | {} | {}",
            self.status.as_u16(),
            part("code"),
            part("field"),
            part("message"),
            part("hint")
        )
    }
}

pub(crate) fn config(dir: &std::path::Path, url: &str, dtma: SocketAddr) -> Config {
    Config {
        local: Some(LocalEnvironment { dtma, sockets: dir.join("sockets"), token: None }),
        ..Config::new(dir.join("control"), control::Public::new(url, None).unwrap())
    }
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// What the tables have of a text that opens something.
pub(crate) fn sha256(text: &str) -> String {
    let bytes: Vec<String> =
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.concat()
}

/// An address at which nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], testkit::ports::free()))
}

impl Platform {
    pub(crate) async fn start(dtma: SocketAddr) -> Self {
        Self::start_with(dtma, |_| {}).await
    }

    /// As [`Platform::start`], with what `change` makes of the configuration.
    pub(crate) async fn start_with(dtma: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = config(dir.path(), &format!("http://{address}"), dtma);
        change(&mut config);
        let setup = control::setup(&config).await.unwrap();
        let database = match &config.database {
            Some(text) => Database::parse(text).unwrap(),
            None => Database::Sqlite(config.data.join("berth.db")),
        };
        let store = Store::open(&database).await.unwrap();
        let stop = CancellationToken::new();
        let (until, served_config) = (stop.clone(), config.clone());
        let served = tokio::spawn(async move {
            control::run(served_config, vec![Listener::Tcp(listener)], until).await.unwrap();
        });
        let owner = setup.api_token.unwrap().expose().to_owned();
        Self {
            address,
            dir,
            store,
            local: setup.environment.unwrap(),
            owner,
            stop,
            served,
            pool: Pool::new(),
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("control")
    }

    /// Stops it and starts it again on the same data.
    pub(crate) async fn again(self, change: impl FnOnce(&mut Config)) -> Self {
        self.stop.cancel();
        self.served.await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = config(self.dir.path(), &format!("http://{address}"), nobody());
        change(&mut config);
        let stop = CancellationToken::new();
        let until = stop.clone();
        let served = tokio::spawn(async move {
            control::run(config, vec![Listener::Tcp(listener)], until).await.unwrap();
        });
        Self { address, stop, served, pool: Pool::new(), ..self }
    }

    /// Stops it and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.served.await.unwrap();
    }

    pub(crate) async fn send(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let response = self.open(token, method, path, body).await;
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// As [`Platform::send`], without reading the body.
    pub(crate) async fn open(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> http::Response<hop::pool::PooledBody<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).unwrap();
        let address = Address::Tcp(self.address);
        let sent = self.pool.send(&address, request);
        tokio::time::timeout(PATIENCE, sent).await.unwrap().unwrap()
    }

    /// Without a body, and with further headers.
    pub(crate) async fn send_with(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let sent = tokio::time::timeout(PATIENCE, self.pool.send(&Address::Tcp(self.address), request)).await;
        let (parts, body) = sent.unwrap().unwrap().into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// With nothing but these headers and this body.
    pub(crate) async fn send_body(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let sent = tokio::time::timeout(PATIENCE, self.pool.send(&Address::Tcp(self.address), request)).await;
        let (parts, body) = sent.unwrap().unwrap().into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// `POST` of a form, with further headers.
    pub(crate) async fn post_form(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.send_body(Method::POST, path, &all, form.finish()).await
    }

    /// The address that it is reached by.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the password of a token's user, who has none.
    pub(crate) async fn set_password(&self, token: &str, password: &str) {
        let body = json!({ "password": password });
        let set = self.send(Some(token), Method::PUT, "/api/v1/whoami/password", Some(body)).await;
        assert_eq!(set.status, StatusCode::NO_CONTENT, "{set:?}");
    }

    /// The id of the user of that name.
    pub(crate) async fn user(&self, name: &str) -> UserId {
        store::people::by_name(&self.store, name).await.unwrap().unwrap().id
    }

    /// The id of an account.
    pub(crate) async fn account(&self, name: &str) -> AccountId {
        let found = store::accounts::account_by_name(&self.store, &name.parse().unwrap()).await.unwrap();
        found.unwrap().id
    }

    /// A configuration of the same data, for what runs beside it.
    pub(crate) fn config(&self) -> Config {
        config(self.dir.path(), &format!("http://{}", self.address), nobody())
    }

    /// `POST` of a text that is declared as JSON, as the owner.
    pub(crate) async fn send_raw(&self, path: &str, text: &'static str) -> Answer {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.owner))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(text.as_bytes())))
            .unwrap();
        let response = self.pool.send(&Address::Tcp(self.address), request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// A further environment of the account `default`, whose host shows this token and is not there.
    pub(crate) async fn environment(&self, name: &str, token: &str) -> EnvironmentRow {
        let at: Timestamp = SystemTime::now().into();
        let account =
            store::accounts::account_by_name(&self.store, &"default".parse().unwrap()).await.unwrap();
        let row = EnvironmentRow::new(
            EnvironmentId::generate(),
            account.unwrap().id,
            name.parse().unwrap(),
            EnvironmentStatus::AwaitingHeartbeat,
            serde_json::json!({"by": "direct", "dtma": nobody().to_string()}),
            at,
        );
        let hash: Vec<String> = Sha256::digest(token.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        let mut tx = self.store.begin().await.unwrap();
        store::environments::insert(&mut tx, &row, Some(&hash.concat())).await.unwrap();
        tx.commit().await.unwrap();
        row
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Some(&self.owner), Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Some(&self.owner), Method::POST, path, Some(body)).await
    }

    pub(crate) async fn deploy(&self, name: &str) {
        let body = serde_json::json!({ "server": "welcome", "name": name });
        let answer = self.post("/api/v1/instances", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    }

    /// Asks for an instance until it is as it should be.
    pub(crate) async fn instance_until(&self, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let instance = self.get(&format!("/api/v1/instances/{name}")).await.json();
            if is(&instance) {
                return instance;
            }
            assert!(Instant::now() < deadline, "waited in vain, it is {instance:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A token with scopes, made with another one.
    pub(crate) async fn scoped(&self, by: &str, scopes: &[&str]) -> String {
        let body = json!({ "name": "scoped", "scopes": scopes });
        let made = self.send(Some(by), Method::POST, "/api/v1/tokens", Some(body)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.error());
        made.json()["secret"].as_str().unwrap().to_owned()
    }

    /// A person of that role, in the account of that name (made when it is not there), and their token.
    pub(crate) async fn person(&self, account: &str, role: Role, life: Life) -> String {
        let at: Timestamp = SystemTime::now().into();
        let found = store::accounts::account_by_name(&self.store, &account.parse().unwrap()).await.unwrap();
        let (user, secret) = (UserId::generate(), format!("berth_{}", UserId::generate()));
        let user_row = UserRow { id: user, name: format!("user {user}"), created_at: at };
        let mut tx = self.store.begin().await.unwrap();
        let account_id = if let Some(row) = found {
            store::accounts::create_user(&mut tx, &user_row).await.unwrap();
            row.id
        } else {
            let id = AccountId::generate();
            let row = AccountRow { id, name: account.parse().unwrap(), created_at: at };
            store::accounts::create_account(&mut tx, &row, &user_row).await.unwrap();
            id
        };
        store::accounts::add_member(&mut tx, account_id, user, role, at).await.unwrap();
        let row = TokenRow {
            id: TokenId::generate(),
            account: account_id,
            user,
            name: "test".to_owned(),
            prefix: "berth_x".to_owned(),
            scopes: None,
            created_at: at,
            expires_at: (life == Life::Expired).then_some(Timestamp(at.0 - 1)),
            last_used_at: None,
            revoked_at: (life == Life::Revoked).then_some(at),
        };
        let hash: Vec<String> =
            Sha256::digest(secret.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        store::tokens::insert(&mut tx, &row, &hash.concat()).await.unwrap();
        tx.commit().await.unwrap();
        secret
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Good,
    Expired,
    Revoked,
}
