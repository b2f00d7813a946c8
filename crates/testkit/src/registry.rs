//! A real registry of container images, on the loopback address of the test's Docker engine, with or without a password.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::docker::Docker;
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
        Self { address: format!("127.0.0.1:{port}"), engine: docker.pid(), keeper, home }
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
