//! What servers reach outside of Berth, on this machine, so that no test depends on somebody's web site: pages over HTTP
//! and a real PostgreSQL.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Path, content type and body of each page; every other path is not found.
const PAGES: &[(&str, &str, &str)] = &[
    ("/page", "text/html", "<html><body><article><p>Served to fetch</p></article></body></html>"),
    (
        "/context7/v2/libs/search",
        "application/json",
        r#"{"results": [{"id": "/berth/example", "title": "Berth", "description": "An example", "branch": "main",
            "lastUpdateDate": "2026-01-01", "state": "finalized", "totalTokens": 1, "totalSnippets": 1}]}"#,
    ),
    ("/notion/v1/users/me", "application/json", r#"{"object": "user", "id": "1", "name": "Berth's tests"}"#),
];

/// Longer than any client here takes between connecting and asking.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both addresses; they serve until the test process ends.
#[derive(Debug)]
pub(crate) struct Outside {
    /// Such as `http://127.0.0.1:41234`.
    pub(crate) site: String,
    /// A fresh database's URL that leads over TCP: a sandbox shows no socket of the host.
    pub(crate) postgres: String,
}

impl Outside {
    pub(crate) fn start() -> Self {
        let site = serve(page);
        let url = testkit::postgres::database();
        let socket = url.split_once("?host=").map(|(_, directory)| format!("{directory}/.s.PGSQL.5432"));
        let postgres = match socket {
            Some(socket) => {
                let database =
                    url.split('?').next().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
                format!("postgres://postgres@{}/{database}", serve(move |client| relay(client, &socket)))
            }
            // Somebody's own server, which listens on TCP.
            None => url,
        };
        Self { site: format!("http://{site}"), postgres }
    }
}

/// Hands each connection to a thread of its own; gives the address.
fn serve(answer: impl Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a socket of ours");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let answer = answer.clone();
            // A connection that breaks is the tested server's to notice.
            std::thread::spawn(move || drop(answer(client)));
        }
    });
    address.to_string()
}

fn page(mut client: TcpStream) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let (mut head, mut chunk) = (vec![], [0; 4096]);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let length = client.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        head.extend_from_slice(&chunk[..length]);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split([' ', '?']).nth(1).unwrap_or_default();
    let (status, kind, body) = PAGES
        .iter()
        .find(|(known, ..)| *known == path)
        .map_or(("404 Not Found", "text/plain", ""), |&(_, kind, body)| ("200 OK", kind, body));
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn relay(client: TcpStream, socket: &str) -> std::io::Result<()> {
    let database = UnixStream::connect(socket)?;
    let (mut from_client, mut to_database) = (client.try_clone()?, database.try_clone()?);
    std::thread::spawn(move || {
        drop(std::io::copy(&mut from_client, &mut to_database));
        drop(to_database.shutdown(Shutdown::Write));
    });
    let (mut from_database, mut to_client) = (database, client);
    std::io::copy(&mut from_database, &mut to_client)?;
    to_client.shutdown(Shutdown::Both)
}
