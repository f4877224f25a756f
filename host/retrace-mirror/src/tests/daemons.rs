//! Real servers beside the tests, and the certificates and proxies that they want.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use retrace_process::{Child, Invocation, find_program, run, spawn};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The one that Debian's packages of Python modules are for.
const PYTHON: &str = "/usr/bin/python3";

/// True if all programs and Python modules are there; their absence is told, or a failure where the environment says so.
pub(super) async fn has(programs: &[&str], modules: &[&str]) -> bool {
    let mut missing = Vec::new();
    for program in programs {
        if find_program(program).await.is_none() {
            missing.push(*program);
        }
    }
    for module in modules {
        if run(&Invocation::new(PYTHON).args(["-c", &format!("import {module}")])).await.is_err() {
            missing.push(module);
        }
    }
    let demanded = std::env::var_os("RETRACE_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(missing.is_empty() || !demanded, "missing: {missing:?}");
    if !missing.is_empty() {
        println!("skipped: missing {missing:?}");
    }
    missing.is_empty()
}

/// A server of `daemons.py`; ended when dropped.
pub(super) struct Daemon {
    pub(super) port: u16,
    _child: Child,
    dir: TempDir,
}

impl Daemon {
    pub(super) async fn start(kind: &str, root: &Path, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port_file = dir.path().join("port");
        let path = std::env::var_os("PATH").unwrap();
        let call = Invocation::new(PYTHON)
            .args(["-c", include_str!("daemons.py"), kind])
            .arg(&port_file)
            .arg(root)
            .args(options)
            .env("PATH", path);
        let child = spawn(&call).unwrap();
        for _ in 0..600 {
            if let Ok(port) = std::fs::read_to_string(&port_file) {
                return Self { port: port.parse().unwrap(), _child: child, dir };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the {kind} server does not start");
    }

    /// A file that holds a password for this server.
    pub(super) fn netrc(&self) -> PathBuf {
        let path = self.dir.path().join("netrc");
        std::fs::write(&path, format!("machine 127.0.0.1:{} login me password s3cret\n", self.port)).unwrap();
        path
    }
}

/// Certificates of a throw-away authority: `ca.pem`, `server.pem`, `server-key.pem`, `both.pem` (certificate and key),
/// `client.pem`, `client-key.pem`, and `other-ca.pem` that signed nothing.
pub(super) async fn certificates() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
        set -euo pipefail; cd "$1"
        new() { openssl req -newkey rsa:2048 -nodes -keyout "$1-key.pem" "${@:2}" 2>/dev/null; }
        new ca -x509 -days 30 -subj "/CN=fixture authority" -out ca.pem
        new other-ca -x509 -days 30 -subj "/CN=other authority" -out other-ca.pem
        for name in server client; do
            new $name -subj "/CN=$name" -out $name.csr
            printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 30 -extfile ext -out $name.pem 2>/dev/null
        done
        cat server.pem server-key.pem >both.pem"#;
    let path = std::env::var_os("PATH").unwrap();
    run(&Invocation::new("bash").args(["-c", script, "-"]).arg(dir.path()).env("PATH", path)).await.unwrap();
    dir
}

/// A proxy for http and CONNECT that remembers what it was asked for.
pub(super) struct Proxy {
    pub(super) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// `authorization`: what `Proxy-Authorization` must say.
    pub(super) async fn start(authorization: Option<&'static str>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    let _ = pass_on(stream, &log, authorization).await;
                });
            }
        });
        Self { port, asked, task }
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(stream: TcpStream, log: &Mutex<Vec<String>>, authorization: Option<&str>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut request, mut headers, mut given) = (String::new(), String::new(), None);
    stream.read_line(&mut request).await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line.trim().is_empty() {
            break;
        }
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("proxy-authorization") => {
                given = Some(value.trim().to_owned());
            }
            _ => headers += &line,
        }
    }
    log.lock().unwrap().push(request.trim().to_owned());
    if authorization.is_some_and(|wanted| given.as_deref() != Some(wanted)) {
        return stream.write_all(b"HTTP/1.1 407 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    }
    let target = request.split(' ').nth(1).unwrap_or_default();
    if request.starts_with("CONNECT ") {
        let mut server = TcpStream::connect(target).await?;
        stream.write_all(b"HTTP/1.1 200 x\r\n\r\n").await?;
        tokio::io::copy_bidirectional(&mut stream, &mut server).await?;
        return Ok(());
    }
    let (host, path) = target.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap_or_default();
    let mut server = TcpStream::connect(host).await?;
    server.write_all(format!("GET /{path} HTTP/1.1\r\n{headers}\r\n").as_bytes()).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut server).await?;
    Ok(())
}
