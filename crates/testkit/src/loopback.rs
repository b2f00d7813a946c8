//! A loopback address that adds a token, for programs that cannot send one. Everything else passes as it is, `Host` and
//! `Origin` among it, so that what is tested is what a client with a token would see.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The longest request head, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// A listening address. Dropped, it no longer listens.
#[derive(Debug)]
pub struct Loopback {
    address: SocketAddr,
    /// Where requests go and with which token; said once.
    target: Option<oneshot::Sender<(SocketAddr, String)>>,
    _stop: oneshot::Sender<()>,
}

impl Loopback {
    /// Listens on a free port; requests wait until [`Loopback::lead`] says where they go. So the address is known
    /// before the platform that must be told of it starts.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn listen() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let address = listener.local_addr().expect("a socket of ours");
        let (target, told) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime of one thread");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, told) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, target: Some(target), _stop: stop }
    }

    /// Says where requests go, and the token that they get.
    ///
    /// # Panics
    /// When it was said before.
    pub fn lead(&mut self, to: SocketAddr, token: &str) {
        let target = self.target.take().expect("it is led somewhere once");
        target.send((to, token.to_owned())).expect("its thread listens");
    }

    /// Such as `http://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(listener: std::net::TcpListener, told: oneshot::Receiver<(SocketAddr, String)>) {
    let listener = TcpListener::from_std(listener).expect("a non-blocking listener");
    let Ok((target, token)) = told.await else { return };
    while let Ok((client, _)) = listener.accept().await {
        let token = token.clone();
        tokio::spawn(async move {
            // A connection that breaks is the tested program's to notice.
            drop(pass(client, target, &token).await);
        });
    }
}

/// One request for each connection: so nothing but its head has to be understood.
async fn pass(mut client: TcpStream, target: SocketAddr, token: &str) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut read = vec![];
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 2;
        }
        if MAX_HEAD < read.len() || client.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let (head, rest) = read.split_at(end);
    let mut sent = vec![];
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if !name.eq_ignore_ascii_case(b"connection") && !name.eq_ignore_ascii_case(b"authorization") {
            sent.extend(line);
        }
    }
    sent.extend(format!("authorization: Bearer {token}\r\nconnection: close\r\n").bytes());
    sent.extend(rest);
    let mut server = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    server.write_all(&sent).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}
