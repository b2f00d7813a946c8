//! The resolver of instances that may reach listed names alone: on the bridge's address, for them and for nobody else.
//!
//! What a name's addresses are is the host's resolvers' word; they are opened in the packet filter before the instance is
//! told.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::dns::{self, Answer, Asked, Question};
use super::opened::Asker;
use super::{Filter, nameservers};
use crate::error::RuntimeError;

/// The port of DNS.
const PORT: u16 = 53;
/// How long one of the host's resolvers may take; each is asked twice.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// Connections at a time, of all instances.
const CONNECTIONS: usize = 64;
/// The pause after the system refused, so that a fault which stays does not spin.
const AFTER_FAULT: Duration = Duration::from_millis(100);

/// A running resolver; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Resolver {
    address: Ipv4Addr,
    tasks: [JoinHandle<()>; 2],
}

impl Resolver {
    /// Listens on the bridge's address.
    pub(super) async fn start(filter: &Weak<Filter>, address: Ipv4Addr) -> Result<Self, RuntimeError> {
        let refused = |source| RuntimeError::Resolver { address, source };
        let socket = UdpSocket::bind((address, PORT)).await.map_err(refused)?;
        let listener = TcpListener::bind((address, PORT)).await.map_err(refused)?;
        tracing::info!(%address, "the resolver of instances listens");
        let (udp, tcp) = (Weak::clone(filter), Weak::clone(filter));
        Ok(Self {
            address,
            tasks: [tokio::spawn(datagrams(udp, socket)), tokio::spawn(connections(tcp, listener))],
        })
    }

    pub(super) fn is_at(&self, address: Ipv4Addr) -> bool {
        self.address == address && self.tasks.iter().all(|task| !task.is_finished())
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Who asks; nobody else is answered.
fn asker(filter: &Weak<Filter>, from: SocketAddr) -> Option<(Arc<Filter>, Arc<Asker>)> {
    let IpAddr::V4(address) = from.ip() else { return None };
    let filter = filter.upgrade()?;
    let asker = filter.askers.read().unwrap_or_else(PoisonError::into_inner).get(&address).map(Arc::clone)?;
    Some((filter, asker))
}

async fn datagrams(filter: Weak<Filter>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; 4096];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "the resolver could not receive");
                tokio::time::sleep(AFTER_FAULT).await;
                continue;
            }
        };
        let Some((filter, asker)) = asker(&filter, from) else { continue };
        let Ok(turn) = Arc::clone(&asker.turns).try_acquire_owned() else { continue };
        let (bytes, socket) = (buffer[..length].to_vec(), Arc::clone(&socket));
        tokio::spawn(async move {
            if let Some(reply) = answer(&filter, &asker, &bytes, false).await
                && let Err(error) = socket.send_to(&reply, from).await
            {
                tracing::debug!(%error, "an answer could not be sent");
            }
            drop(turn);
        });
    }
}

async fn connections(filter: Weak<Filter>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "the resolver could not accept");
                tokio::time::sleep(AFTER_FAULT).await;
                continue;
            }
        };
        let Some((filter, asker)) = asker(&filter, from) else { continue };
        let place = Arc::clone(&places).try_acquire_owned();
        let turn = Arc::clone(&asker.turns).try_acquire_owned();
        let (Ok(place), Ok(turn)) = (place, turn) else { continue };
        tokio::spawn(async move {
            if let Err(error) = converse(&filter, &asker, stream).await {
                tracing::debug!(%error, "a connection to the resolver broke");
            }
            drop((place, turn));
        });
    }
}

/// Question and answer in turn, each behind its length.
async fn converse(filter: &Filter, asker: &Asker, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let Ok(read) = tokio::time::timeout(IDLE, read_framed(&mut stream)).await else { return Ok(()) };
        let Some(bytes) = read? else { return Ok(()) };
        let Some(reply) = answer(filter, asker, &bytes, true).await else { return Ok(()) };
        match tokio::time::timeout(IDLE, write_framed(&mut stream, &reply)).await {
            Ok(written) => written?,
            Err(_elapsed) => return Ok(()),
        }
    }
}

async fn read_framed(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    match stream.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    };
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).await?;
    Ok(Some(bytes))
}

async fn write_framed(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend(bytes);
    stream.write_all(&framed).await
}

/// What an instance is told; `None`: nothing.
async fn answer(filter: &Filter, asker: &Asker, bytes: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
    let question = match dns::read(bytes, &asker.member.egress) {
        Asked::Noise => return None,
        Asked::Answer(bytes) => return Some(bytes),
        Asked::Refused(name, bytes) => {
            asker.refuse(name);
            return Some(bytes);
        }
        Asked::Forward(question) => question,
    };
    let Some(found) = forward(&question, &nameservers::all(&filter.options.nameservers)).await else {
        return question.failed();
    };
    let (addresses, seconds) = found.addresses();
    if !question.ports.is_empty()
        && !addresses.is_empty()
        && let Err(error) = filter.open(asker, &addresses, &question.ports, seconds).await
    {
        tracing::warn!(instance = %asker.instance, error, "the addresses of an allowed name cannot be opened");
        return question.failed();
    }
    question.reply(&found, over_tcp)
}

/// Asks the host's resolvers one after the other, twice.
async fn forward(question: &Question, servers: &[SocketAddr]) -> Option<Answer> {
    for server in servers.iter().chain(servers) {
        let (id, message) = question.onward()?;
        match within(over_udp(question, id, &message, *server)).await {
            Ok(answer) if !answer.is_cut() => return Some(answer),
            Ok(_) => match within(over_tcp(question, id, &message, *server)).await {
                Ok(answer) => return Some(answer),
                Err(error) => tracing::debug!(%server, %error, "a resolver does not answer over TCP"),
            },
            Err(error) => tracing::debug!(%server, %error, "a resolver does not answer"),
        }
    }
    None
}

async fn within<T>(asking: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn over_udp(question: &Question, id: u16, message: &[u8], server: SocketAddr) -> io::Result<Answer> {
    let own: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0)).await?;
    // From here on only that server is heard.
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = question.answered(id, &buffer[..length]) {
            return Ok(answer);
        }
    }
}

async fn over_tcp(question: &Question, id: u16, message: &[u8], server: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    write_framed(&mut stream, message).await?;
    let bytes = read_framed(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    question.answered(id, &bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
