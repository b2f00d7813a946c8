//! A host without a control plane: its enrolment, and its DTMA's own API as the control plane speaks it, over a new
//! connection for each request. It says whether a connection was refused or reset, which clients with a pool hide.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::wait;

/// The key of every instance that is deployed here.
const KEY: &str = "the-key-of-a-test";
/// The environment of every host.
const ENVIRONMENT: &str = "01890000-0000-7000-8000-000000000001";
/// The one instance of a host.
const INSTANCE: &str = "01890000-0000-7000-8000-000000000002";

/// The files that make a data directory a host's.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The data directory.
    pub data: PathBuf,
    /// What the DTMA's callers must show.
    pub token: String,
}

impl Enrolled {
    /// Writes them.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write(data: &Path) -> Self {
        let token = "berth_dtma_of_a_test".to_owned();
        let dtma = data.join("dtma");
        fs::create_dir_all(&dtma).expect("a directory");
        fs::write(dtma.join("environment"), ENVIRONMENT).expect("a file");
        fs::write(dtma.join("token"), &token).expect("a file");
        Self { data: data.to_owned(), token }
    }

    /// The process id of the instance's shim, as the DTMA noted it.
    ///
    /// # Panics
    /// When it noted none.
    pub fn shim(&self) -> u32 {
        let record = self.data.join("dtma/instances").join(INSTANCE).join("shim.pid");
        let text = fs::read_to_string(record).expect("the DTMA noted the shim");
        text.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id")
    }

    /// Waits until a call is under way in the instance's shim.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn wait_until_busy(&self) {
        let socket = self.data.join("dtma/sockets").join(INSTANCE).join("shim.sock");
        wait::until("a call under way", || {
            let stream = UnixStream::connect(&socket).ok()?;
            let head = format!(
                "GET /status HTTP/1.1\r\nHost: shim\r\nConnection: close\r\nberth-key: {KEY}\r\n\r\n"
            );
            let answer = exchange(stream, &head, b"").ok()?;
            let status: Value = serde_json::from_str(&answer.body).ok()?;
            (0 < status["in_flight"].as_u64()?).then_some(())
        });
    }
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The head as it came.
    pub head: String,
    /// The body as text.
    pub body: String,
}

/// A DTMA's API.
#[derive(Debug, Clone)]
pub struct Api {
    address: SocketAddr,
    token: String,
}

impl Api {
    /// The API at an address.
    pub fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.to_owned() }
    }

    /// Asks with the token, over a connection of its own.
    ///
    /// # Errors
    /// When the connection is refused, or ends before the answer does.
    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<Reply> {
        let stream = TcpStream::connect(self.address)?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: dtma\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
            self.token,
            body.len()
        );
        exchange(stream, &head, body.as_bytes())
    }

    /// The status of `/health`.
    ///
    /// # Errors
    /// As [`Api::ask`].
    pub fn health(&self) -> io::Result<u16> {
        Ok(self.ask("GET", "/health", "", "")?.status)
    }

    /// Deploys the host's one instance, an executable of this machine, and waits until it runs.
    ///
    /// # Panics
    /// When it does not.
    pub fn deploy_file(&self, path: &Path) {
        self.deploy(1, &format!("file:{}", path.display()));
    }

    /// As [`Api::deploy_file`], of any package and generation.
    ///
    /// # Panics
    /// When it does not run in time.
    pub fn deploy(&self, generation: u64, package: &str) {
        let (kind, rest) = package.split_once(':').expect("a package");
        let package = match kind {
            "file" => json!({"kind": "file", "path": rest}),
            "oci" => json!({"kind": "oci", "image": rest}),
            kind => panic!("no test deploys `{kind}`"),
        };
        let spec = json!({
            "id": INSTANCE, "account": "default", "name": "one", "generation": generation, "desired": "running",
            "restarts_asked": 0, "package": package, "key": KEY,
        });
        let path = format!("/v1/instances/{INSTANCE}");
        let reply = self.ask("PUT", &path, "", &spec.to_string()).expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.body);
        wait::until("a running instance", || {
            let reply = self.ask("GET", &path, "", "").expect("an answer");
            let report: Value = serde_json::from_str(&reply.body).expect("a report");
            assert!(report["status"] != "error_install", "{report}");
            (report["status"] == "running" && report["generation"] == generation).then_some(())
        });
    }

    /// Opens an MCP session with the instance.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn session(&self) -> Session {
        let mut session = Session { api: self.clone(), id: None, last: 0 };
        session.request(
            "initialize",
            &json!({"protocolVersion": "2025-11-25", "capabilities": {},
                    "clientInfo": {"name": "test", "version": "1"}}),
        );
        session
    }

    /// Ends the DTMA with its instances.
    ///
    /// # Panics
    /// When it refuses.
    pub fn shut_down(&self) {
        let reply = self.ask("POST", "/v1/shutdown", "", r#"{"stop_instances":true}"#).expect("an answer");
        assert_eq!(reply.status, 204, "{}", reply.body);
    }

    /// The socket that listens at the address, as a link in `/proc/PID/fd` names it.
    ///
    /// # Panics
    /// When nothing listens.
    pub fn listening_socket(&self) -> PathBuf {
        let port = format!(":{:04X}", self.address.port());
        let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
        let inode =
            table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find_map(|fields| {
                (fields.get(1)?.ends_with(&port) && *fields.get(3)? == "0A").then(|| fields[9].to_owned())
            });
        format!("socket:[{}]", inode.expect("somebody listens")).into()
    }
}

/// An MCP session with the instance of a host.
#[derive(Debug, Clone)]
pub struct Session {
    api: Api,
    id: Option<String>,
    last: u64,
}

impl Session {
    /// Calls a tool and gives the text that it answers.
    ///
    /// # Panics
    /// When it answers none.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> String {
        let answer = self.request("tools/call", &json!({"name": tool, "arguments": arguments}));
        answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    fn request(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let message = json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        let session = self.id.as_ref().map_or_else(String::new, |id| format!("Mcp-Session-Id: {id}\r\n"));
        let headers = format!(
            "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n\
             berth-key: {KEY}\r\nberth-principal: test\r\n{session}"
        );
        let path = format!("/v1/instances/{INSTANCE}/mcp");
        let reply = self.api.ask("POST", &path, &headers, &message.to_string()).expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.body);
        let given = reply.head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
        });
        self.id = given.or(self.id.take());
        let event = reply.body.lines().filter_map(|line| line.strip_prefix("data:")).next_back();
        serde_json::from_str(event.map_or(reply.body.as_str(), str::trim)).expect("a message")
    }
}

fn exchange(mut stream: impl Read + Write, head: &str, body: &[u8]) -> io::Result<Reply> {
    let early = |what: &str| io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(early("the connection ended before the answer's head"));
        }
    }
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| early("no HTTP"))?;
    let mut body = Vec::new();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(|_| early("it ended in its body"))?;
            let mut piece = vec![0; size + 2];
            reader.read_exact(&mut piece)?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&piece[..size]);
        }
    } else {
        reader.read_to_end(&mut body)?;
    }
    Ok(Reply { status, head, body: String::from_utf8_lossy(&body).into_owned() })
}
