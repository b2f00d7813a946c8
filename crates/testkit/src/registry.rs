//! A real registry of container images, on the loopback address of the test's Docker engine, with or without a password.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::docker::Docker;
use crate::hosts::copy_both;
use crate::wait;

/// The user and password of a registry with a password.
pub const LOGIN: (&str, &str) = ("me", "right");
/// The same, as the registry keeps it.
const HASHED: &str = "me:$2b$04$hQp0/nWQpdz8BRyFgzppreeCW00hqSHwi.PHMoTpu536RaMbtVl3C\n";

/// Runs the registry until the standard input ends, which it does with the test process.
const KEEPER: &str = "docker-registry serve \"$1\" & cat >/dev/null; kill $!";

/// A running registry; it ends when this is dropped, and when the process ends in whatever way.
#[derive(Debug)]
pub struct Registry {
    address: String,
    port: u16,
    /// The process whose network it listens in.
    engine: u32,
    keeper: Child,
    home: tempfile::TempDir,
}

impl Registry {
    /// Starts one on a port of the engine's own network, which nobody else of this machine has.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(docker: &Docker, port: u16, with_password: bool) -> Self {
        let program = Path::new("/usr/bin/docker-registry");
        assert!(program.exists(), "the registry is not installed: run `apt-get install docker-registry`");
        let home = tempfile::tempdir().expect("a temporary directory");
        let dir = home.path().display();
        let auth = if with_password {
            fs::write(home.path().join("users"), HASHED).expect("the file of users");
            format!("auth: {{htpasswd: {{realm: test, path: {dir}/users}}}}\n")
        } else {
            String::new()
        };
        let config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {dir}/data}}}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n{auth}"
        );
        let file = home.path().join("config.yml");
        fs::write(&file, config).expect("the configuration");
        let keeper = serve(docker.pid(), &file);
        Self { address: format!("127.0.0.1:{port}"), port, engine: docker.pid(), keeper, home }
    }

    /// Ends it; what it has is kept.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn stop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().expect("its end");
    }

    /// Starts it again after [`Registry::stop`], with what it had.
    pub fn go_on(&mut self) {
        self.keeper = serve(self.engine, &self.home.path().join("config.yml"));
    }

    /// Puts an image of the engine into the registry and takes it off the engine; its full name.
    ///
    /// # Panics
    /// When the registry does not take it in time.
    pub fn take(&self, docker: &Docker, image: &str) -> String {
        let (name, tag) = image.split_once(':').expect("a name with a tag");
        let full = format!("{}/{name}", self.address);
        docker.post(&format!("/images/{image}/tag?repo={full}&tag={tag}"), &serde_json::Value::Null);
        wait::until("the registry", || docker.push(&full, tag, LOGIN));
        docker.delete(&format!("/images/{full}:{tag}"));
        format!("{full}:{tag}")
    }

    /// The digest of an image that it has, as it says it.
    ///
    /// # Panics
    /// When it has none of this name.
    pub fn digest(&self, docker: &Docker, name: &str, tag: &str) -> String {
        let asked = format!(
            "HEAD /v2/{name}/manifests/{tag} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Accept: application/vnd.docker.distribution.manifest.v2+json\r\n\r\n",
            self.address
        );
        let answer = docker.talk(self.port, asked.as_bytes()).expect("it answers");
        let digest = answer.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: "));
        digest.unwrap_or_else(|| panic!("it has no `{name}:{tag}`: {answer}")).to_owned()
    }

    /// An address of this machine's own network, where it answers too for as long as the test process lives: at `port`, or at any for 0.
    ///
    /// # Panics
    /// When it cannot be listened on.
    pub fn outside(&self, docker: &'static Docker, port: u16) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port");
        let (address, port) = (listener.local_addr().expect("a socket of ours"), self.port);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let far = docker.in_its_network(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
                    if let Ok(far) = far {
                        copy_both(&near, &far);
                    }
                });
            }
        });
        address
    }

    /// Changes a byte of the largest thing that it keeps, which it does not notice.
    ///
    /// # Panics
    /// When it keeps nothing.
    pub fn spoil(&self) {
        let blobs = self.home.path().join("data/docker/registry/v2/blobs/sha256");
        let below = |path: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(path).expect("its files");
            entries.map(|entry| entry.expect("an entry").path()).collect()
        };
        let all = below(&blobs).into_iter().flat_map(|path| below(&path)).map(|path| path.join("data"));
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let largest = all.max_by_key(size).expect("something");
        let mut bytes = fs::read(&largest).expect("a file");
        *bytes.last_mut().expect("a byte") ^= 1;
        fs::write(&largest, bytes).expect("the same file");
    }
}

fn serve(engine: u32, file: &Path) -> Child {
    Command::new("nsenter")
        .arg(format!("--net=/proc/{engine}/ns/net"))
        .args(["/bin/sh", "-c", KEEPER, "sh"])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("`nsenter` starts")
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // The keeper ends at once; there is nothing to do about one that does not.
        let _ = self.keeper.wait();
    }
}
