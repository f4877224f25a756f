//! A small HTTP server that serves a folder, remembers what was asked, and lies where it is told to.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use suppaftp::tokio_rustls::TlsAcceptor;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

/// How a request is answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Honest,
    /// A status without a body.
    Status(u16),
    /// A status and what `Retry-After` says.
    RetryAfter(u16, &'static str),
    /// Announces everything, sends so many bytes, closes.
    Cut(usize),
    /// Announces and sends so many bytes only.
    Short(usize),
    /// One bit is another.
    Corrupt,
    /// Sends the file and much more, without saying how much.
    Endless,
    /// Announces more than it has, says nothing any more after it.
    Long,
    /// To this path.
    Redirect(String),
    /// Says nothing any more.
    Stall,
    /// Sends so many bytes, then says nothing any more.
    StallAfter(usize),
    /// This file in place of the one that was asked for.
    Other(PathBuf),
    /// Sends everything, whatever range was asked for.
    NoRanges,
    /// Continues somewhere else than asked for, and says so.
    WrongRange,
    /// Continues somewhere else than asked for, and says that it is right.
    LyingRange,
}

/// A request: path, how often it was asked for before, the first byte that was wanted, and whether only news was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) before: usize,
    pub(super) from: u64,
    pub(super) is_conditional: bool,
    pub(super) authorization: Option<String>,
    /// When it came.
    pub(super) at: Option<std::time::Instant>,
}

pub(super) struct Server {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `root`; `lie` decides about each request.
    pub(super) async fn start(root: &Path, lie: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(root, None, lie).await
    }

    /// The same by https.
    pub(super) async fn start_tls(root: &Path, acceptor: TlsAcceptor) -> Self {
        Self::listen(root, Some(acceptor), |_| Answer::Honest).await
    }

    async fn listen(
        root: &Path,
        tls: Option<TlsAcceptor>,
        lie: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (root, log, lie) = (root.to_owned(), Arc::clone(&requests), Arc::new(lie));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (root, log, lie, tls) = (root.clone(), Arc::clone(&log), Arc::clone(&lie), tls.clone());
                tokio::spawn(async move {
                    // A client that goes away is no failure of the server.
                    let _ = match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => answer(stream, root, &log, lie.as_ref()).await,
                            Err(error) => Err(error),
                        },
                        None => answer(stream, root, &log, lie.as_ref()).await,
                    };
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

async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
) -> std::io::Result<(Request, Option<u64>, String)> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let target = line.split(' ').nth(1).unwrap_or_default();
    let path = percent_encoding::percent_decode_str(target).decode_utf8_lossy().trim_start_matches('/').to_owned();
    let mut request = Request { path, at: Some(std::time::Instant::now()), ..Request::default() };
    let (mut last, mut etag) = (None, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 || line.trim().is_empty() {
            return Ok((request, last, etag));
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let (first, end) = value.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                request.from = first.parse().unwrap();
                last = end.parse().ok();
            }
            "if-none-match" => (request.is_conditional, etag) = (true, value.to_owned()),
            "authorization" => request.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
}

/// What a folder holds, as nginx shows it.
fn index_page(folder: &Path) -> Vec<u8> {
    let mut page = "<html><body><pre><a href=\"../\">../</a>\n".to_owned();
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (name, metadata) = (entry.file_name().into_string().unwrap(), entry.metadata().unwrap());
        let slash = if metadata.is_dir() { "/" } else { "" };
        page +=
            &format!("<a href=\"{name}{slash}\">{name}</a> {:?} {}\n", metadata.modified().unwrap(), metadata.len());
    }
    (page + "</pre></body></html>").into_bytes()
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    root: PathBuf,
    log: &Mutex<Vec<Request>>,
    lie: &(impl Fn(&Request) -> Answer + ?Sized),
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut request, last, etag_known) = read_request(&mut stream).await?;
    {
        let mut log = log.lock().unwrap();
        request.before = log.iter().filter(|before: &&Request| before.path == request.path).count();
        log.push(request.clone());
    }
    let answer = lie(&request);
    let mut out = stream.into_inner();
    let head = |status: u16, rest: String| format!("HTTP/1.1 {status} x\r\nConnection: close\r\n{rest}\r\n");
    let length = |n: usize| format!("Content-Length: {n}\r\n");
    let silence = || tokio::time::sleep(std::time::Duration::from_secs(600));
    match &answer {
        Answer::Status(status) => return out.write_all(head(*status, length(0)).as_bytes()).await,
        Answer::RetryAfter(status, wish) => {
            let rest = format!("Retry-After: {wish}\r\n{}", length(0));
            return out.write_all(head(*status, rest).as_bytes()).await;
        }
        Answer::Redirect(to) => {
            return out.write_all(head(302, format!("Location: {to}\r\n{}", length(0))).as_bytes()).await;
        }
        Answer::Stall => {
            silence().await;
            return Ok(());
        }
        _ => {}
    }
    let path = match &answer {
        Answer::Other(path) => path.clone(),
        _ => root.join(&request.path),
    };
    let is_folder = path.is_dir();
    let read = if is_folder { Ok(index_page(&path)) } else { tokio::fs::read(&path).await };
    let Ok(mut body) = read else {
        return out.write_all(head(404, length(0)).as_bytes()).await;
    };
    let etag = format!("\"{}\"", crate::checksum::sha256(&body));
    let kind = if is_folder { "text/html" } else { "application/octet-stream" };
    let signs = format!("ETag: {etag}\r\nContent-Type: {kind}\r\n");
    if etag == etag_known {
        return out.write_all(head(304, signs).as_bytes()).await;
    }
    if matches!(answer, Answer::Corrupt) {
        let middle = body.len() / 2;
        body[middle] ^= 1;
    }
    let total = body.len();
    let asked = usize::try_from(request.from).unwrap();
    let (from, said) = match answer {
        Answer::NoRanges => (0, 0),
        Answer::WrongRange if asked > 0 => (asked / 2, asked / 2),
        Answer::LyingRange if asked > 0 => (asked / 2, asked),
        _ => (asked, asked),
    };
    let mut body = body.split_off(from.min(total));
    let is_part = !matches!(answer, Answer::NoRanges) && (asked > 0 || last.is_some());
    if let Some(last) = last.filter(|_| is_part) {
        body.truncate(usize::try_from(last).unwrap() + 1 - asked);
    }
    let range = format!("Content-Range: bytes {said}-{}/{total}\r\n", (said + body.len()).saturating_sub(1));
    let (status, range) = if is_part { (206, range) } else { (200, String::new()) };
    let (announced, sent) = match answer {
        Answer::Cut(n) | Answer::StallAfter(n) => (length(body.len()), &body[..n.min(body.len())]),
        Answer::Short(n) => (length(n), &body[..n.min(body.len())]),
        Answer::Endless => (String::new(), body.as_slice()),
        Answer::Long => (length(body.len() + 1000), body.as_slice()),
        _ => (length(body.len()), body.as_slice()),
    };
    out.write_all(head(status, signs + &range + &announced).as_bytes()).await?;
    out.write_all(sent).await?;
    match answer {
        Answer::Endless => loop {
            out.write_all(&[b' '; 65536]).await?;
        },
        Answer::StallAfter(_) | Answer::Long => {
            out.flush().await?;
            silence().await;
        }
        _ => {}
    }
    out.shutdown().await
}
