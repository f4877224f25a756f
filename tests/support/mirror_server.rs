//! A folder served by HTTP/1.1, byte by byte under our control: no library, because libraries refuse to lie.

use std::{
    io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// Longest request head that is read.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// One request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`.
    pub method: String,
    /// Path without the leading slash, percent-decoded.
    pub path: String,
    /// First byte that was asked for, if the request had a `Range`.
    pub range_start: Option<u64>,
}

/// What the server does instead of giving a file as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lie {
    /// This status, with a short text.
    Status(u16),
    /// The length of the whole file, and so many bytes of it; then the connection closes.
    Truncate(u64),
    /// The whole file with one bit in its middle flipped.
    Corrupt,
    /// Other content, properly announced.
    Replace(Vec<u8>),
    /// The head and half of the file; then silence with an open connection.
    Stall,
    /// Zero bytes without a length and without an end.
    Endless,
    /// A redirect to this URL.
    Redirect(String),
    /// The connection closes without a word.
    HangUp,
}

/// Serves a folder on a free port of 127.0.0.1 and counts. Stops when dropped.
///
/// It has a thread of its own, so that it serves blocking tests and child processes too.
#[derive(Debug)]
pub struct MirrorServer {
    url: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    requests: Mutex<Vec<Request>>,
    lies: Mutex<Vec<(String, Lie)>>,
}

impl MirrorServer {
    /// Starts to serve what lies below `root`.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn start(root: impl Into<PathBuf>) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared { root: root.into(), requests: Mutex::default(), lies: Mutex::default() });
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    let listener = TcpListener::from_std(listener).expect("a listener");
                    tokio::select! {
                        () = accept(listener, shared) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        Self { url, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// `http://127.0.0.1:PORT/`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on, lies about every file whose path ends with `suffix` (`""`: about all). The latest lie that matches
    /// counts.
    pub fn lie(&self, suffix: &str, lie: Lie) {
        self.shared.lies.lock().unwrap().push((suffix.to_owned(), lie));
    }

    /// Forgets all lies.
    pub fn be_honest(&self) {
        self.shared.lies.lock().unwrap().clear();
    }

    /// All requests so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many requests came for files whose path ends with `suffix`.
    #[must_use]
    pub fn hits(&self, suffix: &str) -> usize {
        self.requests().iter().filter(|request| request.path.ends_with(suffix)).count()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.requests.lock().unwrap().clear();
    }
}

impl Drop for MirrorServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there is a panic of the test's helper; the test has its own reasons to fail.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // The client may go away at any time, which is its right.
            let _ = answer(stream, &shared).await;
        });
    }
}

/// One request, one answer, `Connection: close`.
async fn answer(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let Some(request) = read_request(&mut stream).await? else { return Ok(()) };
    shared.requests.lock().unwrap().push(request.clone());
    let lie = {
        let lies = shared.lies.lock().unwrap();
        lies.iter().rev().find(|(suffix, _)| request.path.ends_with(suffix.as_str())).map(|(_, lie)| lie.clone())
    };
    let content = file_below(&shared.root, &request.path).and_then(|path| std::fs::read(path).ok());
    let head_only = request.method == "HEAD";
    match (lie, content) {
        (Some(Lie::HangUp), _) => Ok(()),
        (Some(Lie::Status(status)), _) => send(&mut stream, status, b"a lie\n", None, head_only).await,
        (Some(Lie::Redirect(to)), _) => {
            let head =
                format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await
        }
        (Some(Lie::Endless), _) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(&[0; 64 * 1024]).await?;
                tokio::task::yield_now().await;
            }
        }
        (Some(Lie::Replace(other)), _) => send(&mut stream, 200, &other, None, head_only).await,
        (_, None) => send(&mut stream, 404, b"no such file\n", None, head_only).await,
        (None, Some(content)) => send(&mut stream, 200, &content, request.range_start, head_only).await,
        (Some(Lie::Corrupt), Some(mut content)) => {
            let middle = content.len() / 2;
            if let Some(byte) = content.get_mut(middle) {
                *byte ^= 1;
            }
            send(&mut stream, 200, &content, request.range_start, head_only).await
        }
        (Some(lie @ (Lie::Truncate(_) | Lie::Stall)), Some(content)) => {
            let sent = match lie {
                Lie::Truncate(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX).min(content.len()),
                _ => content.len() / 2,
            };
            stream.write_all(head(200, content.len(), None).as_bytes()).await?;
            stream.write_all(&content[..sent]).await?;
            stream.flush().await?;
            if lie == Lie::Stall {
                // Until the client gives up; reading tells us when it does.
                let _ = stream.read(&mut [0; 1]).await?;
            }
            Ok(())
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> io::Result<Option<Request>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).await?;
        if count == 0 || bytes.len() > MAX_HEAD_BYTES {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let path = target.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
    let range_start = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let range = name.eq_ignore_ascii_case("range").then(|| value.trim().strip_prefix("bytes="))??;
        range.split_once('-')?.0.parse().ok()
    });
    Ok(Some(Request { method: method.to_owned(), path: percent_decode(path), range_start }))
}

fn head(status: u16, length: usize, range: Option<(usize, usize)>) -> String {
    let reason = if status < 300 { "OK" } else { "Not OK" };
    let range = range.map(|(start, total)| format!("Content-Range: bytes {start}-{}/{total}\r\n", total - 1));
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Length: {length}\r\nAccept-Ranges: bytes\r\n{}Connection: close\r\n\r\n",
        range.unwrap_or_default()
    )
}

/// An honest answer; from `start` on when that lies in the content.
async fn send(
    stream: &mut TcpStream,
    status: u16,
    content: &[u8],
    start: Option<u64>,
    head_only: bool,
) -> io::Result<()> {
    let start = start.and_then(|start| usize::try_from(start).ok()).filter(|start| *start < content.len());
    let head = match start {
        Some(start) => head(206, content.len() - start, Some((start, content.len()))),
        None => head(status, content.len(), None),
    };
    stream.write_all(head.as_bytes()).await?;
    if !head_only {
        stream.write_all(&content[start.unwrap_or(0)..]).await?;
    }
    stream.flush().await
}

/// The file, unless the path leads out of the folder.
fn file_below(root: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| root.join(path)).filter(|path| path.is_file())
}

fn percent_decode(text: &str) -> String {
    let (mut decoded, mut rest) = (Vec::new(), text.as_bytes());
    while let [byte, tail @ ..] = rest {
        let code = if *byte == b'%' { tail.get(..2) } else { None };
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        decoded.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
