//! The protocol on the wire, spoken by a client that shows every byte.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use retrace_store::{Outcome, Store};
use retrace_types::TaskId;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{ApiOptions, AppState, ServerOptions, serve};

mod hostile;
mod protocol;

pub(crate) const PLAIN: ServerOptions = ServerOptions {
    require_https: false,
    trusted_proxies: Vec::new(),
    external_dirs: Vec::new(),
    allow_delete: false,
    max_queued_tasks: 3,
    max_packed_bytes: 4 << 20,
    max_unpacked_bytes: 8 << 20,
    min_storage_left_bytes: 0,
    idle_timeout: Duration::from_secs(2),
    max_connections: 16,
    api: ApiOptions::DEFAULT,
};

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) store: Store,
    pub(crate) dir: tempfile::TempDir,
    state: AppState,
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    pub(crate) async fn start(options: ServerOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let state = AppState::new(store.clone(), options);
        let done = tokio::spawn(serve(listener, state.clone(), None, async {
            let _ = stopped.await;
        }));
        Self { address, store, dir, state, stop: Some(stop), done }
    }

    pub(crate) async fn send(&self, request: impl Into<Vec<u8>>) -> Reply {
        let (address, request) = (self.address, request.into());
        tokio::task::spawn_blocking(move || exchange(address, &request)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, headers: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")).await
    }

    pub(crate) async fn create(&self, headers: &str, body: &[u8]) -> Reply {
        let head = format!(
            "POST /create HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.send([head.as_bytes(), body].concat()).await
    }

    pub(crate) async fn stop(mut self) -> tempfile::TempDir {
        let _ = self.stop.take().unwrap().send(());
        self.done.await.unwrap().unwrap();
        self.store.close().await;
        self.dir
    }

    /// Does a worker's part for the task that waits.
    async fn finish(&self, results: &[(&str, &[u8])], outcome: &Outcome) {
        let lease = self.store.lease_next("test", Duration::from_secs(9), u64::MAX).await.unwrap().unwrap();
        for (name, content) in results {
            self.store.put_task_result(&lease, name, content).await.unwrap();
        }
        self.store.finish(&lease, outcome).await.unwrap();
    }

    /// Places left for streams of events.
    pub(crate) fn streams(&self) -> usize {
        self.state.api.streams.available_permits()
    }

    /// Folders of tasks that the server keeps.
    pub(crate) fn task_dirs(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("tasks")).unwrap().count()
    }

    /// Waits until what was refused is removed, which goes on behind the answer.
    pub(crate) async fn expect_tasks(&self, count: usize) {
        for _ in 0..250 {
            if self.task_dirs() == count && self.store.task_counts().await.unwrap().unfinished() == count as u64 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!(
            "{} folders and {} tasks are left",
            self.task_dirs(),
            self.store.task_counts().await.unwrap().unfinished()
        );
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// Sends everything, reads to the end of the stream as the strictest client does.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Reply { head: head.to_owned(), body: body.to_owned() }
}

pub(crate) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o640);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn good_archive() -> Vec<u8> {
    archive(&[
        ("coredump", b"core"),
        ("executable", b"/usr/bin/x"),
        ("package", b"x-1-1"),
        ("os_release", b"Fedora 40"),
    ])
}

pub(crate) const TAR: &str = "Content-Type: application/x-tar\r\n";

pub(crate) async fn created(server: &TestServer) -> (TaskId, String) {
    let reply = server.create(TAR, &good_archive()).await;
    assert_eq!(reply.status(), 201, "{reply:?}");
    let id = reply.header("X-Task-Id").unwrap().parse().unwrap();
    (id, format!("X-Task-Password: {}\r\n", reply.header("X-Task-Password").unwrap()))
}
