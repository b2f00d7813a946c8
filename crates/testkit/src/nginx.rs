//! A real nginx in a temporary directory, for what stands before a control plane.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{ports, wait};

/// A running nginx; it ends when this is dropped.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    port: u16,
    home: tempfile::TempDir,
}

impl Nginx {
    /// Starts one on 127.0.0.1, with these directives in its only `server`. In them `PORT` is the port that it listens on.
    ///
    /// # Panics
    /// When it is not installed, or does not start in time.
    pub fn start(directives: &str) -> Self {
        let program = "/usr/sbin/nginx";
        assert!(Path::new(program).exists(), "nginx is not installed: run `apt-get install nginx-light`");
        let home = tempfile::tempdir().expect("a temporary directory");
        let port = ports::free();
        let dir = home.path().display();
        let directives = directives.replace("PORT", &port.to_string());
        let config = format!(
            "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log info;\n\
             events {{}}\n\
             http {{ access_log {dir}/access.log; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
             fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
             server {{\n{directives}\n}} }}\n"
        );
        fs::write(home.path().join("nginx.conf"), config).expect("its configuration");
        let process = Command::new(program)
            .arg("-p")
            .arg(home.path())
            .arg("-c")
            .arg(home.path().join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(home.path().join("start.log")).expect("a log"))
            .spawn()
            .expect("nginx starts");
        let nginx = Self { process, port, home };
        wait::until("nginx", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        nginx
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it passed on, a line each.
    pub fn access(&self) -> String {
        fs::read_to_string(self.home.path().join("access.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["start.log", "error.log", "access.log"] {
                eprintln!(
                    "--- nginx {name}\n{}",
                    fs::read_to_string(self.home.path().join(name)).unwrap_or_default()
                );
            }
        }
        // One that ended already is no loss.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
