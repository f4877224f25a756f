//! A small HTTP server that serves a folder, remembers what was asked, and lies where it is told to.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How a request is answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Honest,
    /// A status without a body.
    Status(u16),
    /// Announces everything, sends so many bytes, closes.
    Cut(usize),
    /// Announces and sends so many bytes only.
    Short(usize),
    /// One bit is another.
    Corrupt,
    /// Sends the file and much more, without saying how much.
    Endless,
    /// To this path.
    Redirect(String),
    /// Says nothing any more.
    Stall,
}

/// A request: path, how often it was asked for before, and the first byte that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) before: usize,
    pub(super) from: u64,
}

pub(super) struct Server {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `root`; `lie` decides about each request.
    pub(super) async fn start(root: &Path, lie: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (root, log, lie) = (root.to_owned(), Arc::clone(&requests), Arc::new(lie));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (root, log, lie) = (root.clone(), Arc::clone(&log), Arc::clone(&lie));
                tokio::spawn(async move {
                    // A client that goes away is no failure of the server.
                    let _ = answer(stream, root, &log, lie.as_ref()).await;
                });
            }
        });
        Self { url, requests, task }
    }

    pub(super) async fn honest(root: &Path) -> Self {
        Self::start(root, |_| Answer::Honest).await
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Requests for paths that end so.
    pub(super) fn hits(&self, end: &str) -> usize {
        self.requests().iter().filter(|request| request.path.ends_with(end)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    stream: TcpStream,
    root: PathBuf,
    log: &Mutex<Vec<Request>>,
    lie: &(impl Fn(&Request) -> Answer + ?Sized),
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let mut from = 0;
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = range.trim().trim_end_matches('-').parse().unwrap();
        }
    }
    let request = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|request: &&Request| request.path == path).count();
        let request = Request { path: path.clone(), before, from };
        log.push(request.clone());
        request
    };
    let answer = lie(&request);
    let mut out = stream.into_inner();
    let head = |status: u16, rest: String| format!("HTTP/1.1 {status} x\r\nConnection: close\r\n{rest}\r\n");
    let length = |n: usize| format!("Content-Length: {n}\r\n");
    match &answer {
        Answer::Status(status) => return out.write_all(head(*status, length(0)).as_bytes()).await,
        Answer::Redirect(to) => {
            return out.write_all(head(302, format!("Location: {to}\r\n{}", length(0))).as_bytes()).await;
        }
        Answer::Stall => {
            tokio::time::sleep(std::time::Duration::from_secs(600)).await;
            return Ok(());
        }
        _ => {}
    }
    let Ok(mut body) = tokio::fs::read(root.join(&path)).await else {
        return out.write_all(head(404, length(0)).as_bytes()).await;
    };
    if matches!(answer, Answer::Corrupt) {
        let middle = body.len() / 2;
        body[middle] ^= 1;
    }
    let total = body.len();
    let body = body.split_off(usize::try_from(from).unwrap().min(total));
    let range = format!("Content-Range: bytes {from}-{}/{total}\r\n", total.saturating_sub(1));
    let (status, range) = if from > 0 { (206, range) } else { (200, String::new()) };
    let (announced, sent) = match answer {
        Answer::Cut(n) => (length(body.len()), &body[..n.min(body.len())]),
        Answer::Short(n) => (length(n), &body[..n.min(body.len())]),
        Answer::Endless => (String::new(), body.as_slice()),
        _ => (length(body.len()), body.as_slice()),
    };
    out.write_all(head(status, range + &announced).as_bytes()).await?;
    out.write_all(sent).await?;
    if matches!(answer, Answer::Endless) {
        loop {
            out.write_all(&[b' '; 65536]).await?;
        }
    }
    out.shutdown().await
}
