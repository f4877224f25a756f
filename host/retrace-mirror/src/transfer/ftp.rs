//! Files of an ftp server, in passive mode; `ftps://` is TLS by `AUTH TLS` (RFC 4217), for commands and data, or nothing.
//!
//! The data connection goes to the server that was asked, whatever address it names. Sources: RFC 959, RFC 3659 (`REST`,
//! `SIZE`, `MDTM`, `MLSD`).

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use bytes::Bytes;
use suppaftp::{
    FtpError, FtpResult, Mode, Status,
    list::ListParser,
    tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream as Connection, AsyncRustlsStream, TransferStream},
    tokio_rustls::TlsConnector,
    types::FileType,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use super::{
    Download, Expected, Listed, Source, Wanted,
    credentials::Login,
    listing::Walk,
    lock,
    partial::Partial,
    tops::{Signs, Top},
};
use crate::{
    MirrorError, Progress, ProxyChoice,
    error::said,
    location::{Location, Place, Remote},
};

const DEFAULT_PORT: u16 = 21;
const CHUNK_BYTES: usize = 256 << 10;
/// Largest listing of one folder, in bytes.
const MAX_LISTING_BYTES: u64 = 64 << 20;
/// How long a connection is kept for the next file; servers end idle ones after a minute or more.
const MAX_IDLE: Duration = Duration::from_secs(20);

/// Connections that wait for the next file.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<(String, Instant, Connection)>>);

impl Source {
    pub(super) async fn ftp_small(&self, remote: &Remote, limit_bytes: u64) -> Result<Vec<u8>, MirrorError> {
        let mut connection = self.connection(remote).await?;
        let data = self.retrieve(remote, &mut connection, limit_bytes).await?;
        self.park(remote, connection);
        Ok(data)
    }

    pub(super) async fn ftp_top(
        &self,
        remote: &Remote,
        known: Option<&Top>,
        limit_bytes: u64,
    ) -> Result<Option<Top>, MirrorError> {
        let mut connection = self.connection(remote).await?;
        let path = path(remote);
        // A server that does not know these commands, or not this file, says so: the file itself tells the rest.
        let modified = match self.patient(connection.mdtm(&path)).await {
            Ok(time) => self.patient(connection.size(&path)).await.ok().map(|size| format!("{time} {size}")),
            Err(_) => None,
        };
        if let (Some(modified), Some(known)) = (&modified, known)
            && known.signs.modified.as_ref() == Some(modified)
        {
            self.park(remote, connection);
            return Ok(None);
        }
        let data = self.retrieve(remote, &mut connection, limit_bytes).await?;
        self.park(remote, connection);
        Ok(Some(Top { data, signs: Signs::new(None, modified.as_deref()) }))
    }

    pub(super) async fn ftp_head(&self, remote: &Remote, bytes: u64) -> Result<(Vec<u8>, Option<u64>), MirrorError> {
        let mut connection = self.connection(remote).await?;
        let path = path(remote);
        let size = self.patient(connection.size(&path)).await.ok().map(|size| size as u64);
        let mut stream = self.open(remote, &mut connection, &path, 0).await?;
        let mut data = Vec::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        let most = usize::try_from(bytes).unwrap_or(usize::MAX);
        while data.len() < most {
            let piece = self.read(remote, &mut stream, &mut buffer).await?;
            if piece.is_empty() {
                break;
            }
            data.extend_from_slice(piece.get(..most - data.len()).unwrap_or(piece));
        }
        // The rest is not wanted: the connection is given up with it.
        Ok((data, size))
    }

    pub(super) async fn ftp_list(&self, remote: &Remote, wanted: &Wanted<'_>) -> Result<Vec<Listed>, MirrorError> {
        let mut connection = self.connection(remote).await?;
        let mut walk = Walk::new(wanted);
        while let Some(folder) = walk.next()? {
            let at = match folder.as_ref().map(|folder| Place::Remote(remote.clone()).join(folder)) {
                Some(Place::Remote(at)) => at,
                _ => remote.clone(),
            };
            self.list_folder(&at, &mut connection, &mut walk, folder.as_ref()).await?;
        }
        self.park(remote, connection);
        Ok(walk.finish())
    }

    async fn list_folder(
        &self,
        at: &Remote,
        connection: &mut Connection,
        walk: &mut Walk<'_>,
        folder: Option<&Location>,
    ) -> Result<(), MirrorError> {
        let path = path(at);
        let command = |name: &str| format!("{name} {path}").trim_end().to_owned();
        let opened = [Status::AboutToSend, Status::AlreadyOpen];
        let (is_mlsd, stream) = match self.patient(connection.custom_data_command(command("MLSD"), &opened)).await {
            Ok((_, stream)) => (true, stream),
            // Not every server knows it.
            Err(FtpError::UnexpectedResponse(response)) if (500..=504).contains(&response.status.code()) => {
                let listing = self.patient(connection.custom_data_command(command("LIST"), &opened)).await;
                (false, listing.map_err(|error| ftp_error(at, error))?.1)
            }
            Err(error) => return Err(ftp_error(at, error)),
        };
        let text = self.drain(at, stream, MAX_LISTING_BYTES).await?;
        for line in String::from_utf8_lossy(&text).lines() {
            let parsed = if is_mlsd { fact_line(line) } else { list_line(line) };
            match parsed {
                Some(Entry { name, is_folder: true, .. }) => walk.folder(folder, &name),
                Some(Entry { name, size, stamp, .. }) => walk.file(folder, &name, size, &stamp)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Gets what is missing behind the bytes that are there, and finishes the file.
    pub(super) async fn ftp_file(
        &self,
        remote: &Remote,
        expected: &Expected,
        partial: &Partial,
        progress: &dyn Progress,
    ) -> Result<Download, MirrorError> {
        let (digester, have) = partial.resume(expected).await?;
        if have > 0 && expected.size_bytes == Some(have) {
            return partial.complete(remote, expected, digester, have);
        }
        let mut connection = self.connection(remote).await?;
        let mut stream = self.open(remote, &mut connection, &path(remote), have).await?;
        let mut arrival = partial.receive(remote, expected, digester, have, None)?;
        let ending = async {
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let piece = self.read(remote, &mut stream, &mut buffer).await?;
                if piece.is_empty() {
                    break;
                }
                arrival.take(Bytes::copy_from_slice(piece), progress).await?;
            }
            self.patient(stream.finish()).await.map_err(|error| ftp_error(remote, error))
        }
        .await;
        let is_clean = ending.is_ok();
        let done = arrival.end(ending).await;
        if is_clean {
            self.park(remote, connection);
        }
        done
    }

    async fn retrieve(
        &self,
        remote: &Remote,
        connection: &mut Connection,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, MirrorError> {
        let stream = self.open(remote, connection, &path(remote), 0).await?;
        self.drain(remote, stream, limit_bytes).await
    }

    async fn open(
        &self,
        remote: &Remote,
        connection: &mut Connection,
        path: &str,
        from: u64,
    ) -> Result<TransferStream<AsyncRustlsStream>, MirrorError> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        self.patient(connection.resume_transfer(from)).await.map_err(|error| ftp_error(remote, error))?;
        self.patient(connection.retr_as_stream(path)).await.map_err(|error| ftp_error(remote, error))
    }

    async fn drain(
        &self,
        remote: &Remote,
        mut stream: TransferStream<AsyncRustlsStream>,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, MirrorError> {
        let expected = Expected::anything(limit_bytes);
        let (mut data, mut buffer) = (Vec::new(), vec![0; CHUNK_BYTES]);
        loop {
            let piece = self.read(remote, &mut stream, &mut buffer).await?;
            if piece.is_empty() {
                break;
            }
            expected.check_growth(remote, (data.len() as u64).saturating_add(piece.len() as u64))?;
            data.extend_from_slice(piece);
        }
        self.patient(stream.finish()).await.map_err(|error| ftp_error(remote, error))?;
        Ok(data)
    }

    /// The next bytes; none at the end.
    async fn read<'b>(
        &self,
        remote: &Remote,
        stream: &mut TransferStream<AsyncRustlsStream>,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], MirrorError> {
        let reading = async { stream.read(buffer).await.map_err(FtpError::ConnectionError) };
        let length = self.patient(reading).await.map_err(|error| ftp_error(remote, error))?;
        self.throttle.spend(length).await;
        Ok(buffer.get(..length).unwrap_or_default())
    }

    /// A connection that is logged in: one that waits, or a new one.
    async fn connection(&self, remote: &Remote) -> Result<Connection, MirrorError> {
        let server = remote.server();
        let waiting = {
            let mut idle = lock(&self.ftp.0);
            idle.retain(|(_, since, _)| since.elapsed() < MAX_IDLE);
            let found = idle.iter().position(|(name, ..)| *name == server);
            found.map(|index| idle.swap_remove(index).2)
        };
        match waiting {
            Some(connection) => Ok(connection),
            None => self.connect(remote).await,
        }
    }

    fn park(&self, remote: &Remote, connection: Connection) {
        lock(&self.ftp.0).push((remote.server(), Instant::now(), connection));
    }

    async fn connect(&self, remote: &Remote) -> Result<Connection, MirrorError> {
        if let ProxyChoice::Url(_) = self.access.proxy {
            let reason = "ftp does not go through a proxy: use an http mirror, or no proxy for this repository";
            return Err(MirrorError::InvalidAccess { setting: "proxy", reason: reason.to_owned() });
        }
        let failed = |error| ftp_error(remote, error);
        let host = remote.host().trim_start_matches('[').trim_end_matches(']');
        let port = remote.url.port().unwrap_or(DEFAULT_PORT);
        let connecting = timeout(self.options().connect_timeout, TcpStream::connect((host, port)));
        let stream = connecting.await.map_err(|_| silent()).map_err(failed)?;
        let stream = stream.map_err(FtpError::ConnectionError).map_err(failed)?;
        let is_ipv6 = stream.peer_addr().is_ok_and(|address| address.is_ipv6());
        let mut connection = self.patient(Connection::connect_with_stream(stream)).await.map_err(failed)?;
        connection.set_mode(if is_ipv6 { Mode::ExtendedPassive } else { Mode::Passive });
        connection.set_passive_nat_workaround(true);
        if remote.url.scheme() == "ftps" {
            let connector = AsyncRustlsConnector::from(TlsConnector::from(self.tls()?));
            connection = self.patient(connection.into_secure(connector, host)).await.map_err(failed)?;
        }
        let login = self.login(remote, port);
        self.patient(connection.login(login.user, login.password)).await.map_err(failed)?;
        self.patient(connection.transfer_type(FileType::Binary)).await.map_err(failed)?;
        Ok(connection)
    }

    fn login(&self, remote: &Remote, port: u16) -> Login {
        let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        match self.credentials.of(remote.host(), Some(port)) {
            Some(login) => login.clone(),
            None if remote.url.username().is_empty() => {
                Login { user: "anonymous".to_owned(), password: "anonymous@".to_owned() }
            }
            None => Login {
                user: decode(remote.url.username()),
                password: decode(remote.url.password().unwrap_or_default()),
            },
        }
    }

    /// Waits for a server, but not longer than it may be silent.
    async fn patient<T>(&self, answer: impl Future<Output = FtpResult<T>>) -> FtpResult<T> {
        timeout(self.options().idle_timeout, answer).await.unwrap_or_else(|_| Err(silent()))
    }
}

/// The path as commands have it: below the folder that the login leads to; `%2F` at its begin makes it absolute.
fn path(remote: &Remote) -> String {
    let path = remote.path();
    path.strip_prefix('/').map(str::to_owned).unwrap_or(path)
}

fn silent() -> FtpError {
    FtpError::ConnectionError(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server is silent"))
}

fn ftp_error(remote: &Remote, error: FtpError) -> MirrorError {
    let url = remote.to_string();
    match error {
        FtpError::UnexpectedResponse(response) => {
            let code = response.status.code();
            let reason = said(&response.to_string());
            // Some refuse with the code of a missing file what TLS is missing for.
            let wants_tls = reason.contains("TLS") || reason.contains("SSL");
            match code {
                550 if wants_tls => MirrorError::Transport { url, reason, passes: false },
                550 | 551 | 553 | 450 => MirrorError::NotFound { url },
                530 | 532 | 430 => MirrorError::Denied { url, reason },
                _ => MirrorError::Transport { url, reason, passes: (400..500).contains(&code) },
            }
        }
        FtpError::ConnectionError(source) => {
            MirrorError::Transport { url, reason: said(&source.to_string()), passes: true }
        }
        other => MirrorError::Transport { url, reason: said(&other.to_string()), passes: false },
    }
}

/// Something in a folder.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    is_folder: bool,
    size: Option<u64>,
    stamp: String,
}

/// A line of `MLSD`: `type=file;size=12;modify=20261101100000; name`. Source: RFC 3659, 7.
fn fact_line(line: &str) -> Option<Entry> {
    let (facts, name) = line.split_once(' ')?;
    let fact = |wanted: &str| {
        let mut facts = facts.split(';').filter_map(|fact| fact.split_once('='));
        facts.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    let is_folder = match fact("type")?.to_ascii_lowercase().as_str() {
        "dir" => true,
        "file" => false,
        _ => return None,
    };
    plain(name, is_folder, fact("size").and_then(|size| size.parse().ok()), fact("modify").unwrap_or_default())
}

/// A line of `LIST`, for which there is no standard.
fn list_line(line: &str) -> Option<Entry> {
    let file = ListParser::parse_posix(line).or_else(|_| ListParser::parse_dos(line)).ok()?;
    if !file.is_directory() && !file.is_file() {
        return None;
    }
    let modified = file.modified().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    plain(file.name(), file.is_directory(), Some(file.size() as u64), &modified.to_string())
}

/// The entries of a listing of either kind, with whether they are folders; for the fuzz target `listings`.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz_entries(text: &str) -> Vec<(String, bool)> {
    let entries = text.lines().filter_map(fact_line).chain(text.lines().filter_map(list_line));
    entries.map(|entry| (entry.name, entry.is_folder)).collect()
}

fn plain(name: &str, is_folder: bool, size: Option<u64>, stamp: &str) -> Option<Entry> {
    let is_plain = !name.contains(['/', '\\']) && name != "." && name != "..";
    is_plain.then(|| Entry { name: name.to_owned(), is_folder, size, stamp: stamp.to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn listings_are_read_and_strange_names_left_out() {
        let entry = |name: &str, is_folder, size, stamp: &str| {
            Some(Entry { name: name.to_owned(), is_folder, size, stamp: stamp.to_owned() })
        };
        for (line, want) in [
            ("type=file;size=12;modify=20261101100000; a b.rpm", entry("a b.rpm", false, Some(12), "20261101100000")),
            ("Type=dir;Perm=el; d", entry("d", true, None, "")),
            ("type=cdir; .", None),
            ("type=file; ../x.rpm", None),
            ("type=OS.unix=slink:/x; l.rpm", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(fact_line(line), want, "{line}");
        }
        let listed = list_line("-rw-r--r-- 1 ftp ftp 1234 Nov  1  2025 a.deb").unwrap();
        assert_eq!((listed.name.as_str(), listed.is_folder, listed.size), ("a.deb", false, Some(1234)));
        assert!(list_line("drwxr-xr-x 2 ftp ftp 4096 Nov  1  2025 pool").unwrap().is_folder);
        assert_eq!(list_line("lrwxrwxrwx 1 ftp ftp 4 Nov  1  2025 a -> /etc"), None);
        assert_eq!(list_line("total 12"), None);
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_left_out(line in "\\PC*") {
            for entry in [fact_line(&line), list_line(&line)].into_iter().flatten() {
                prop_assert!(!entry.name.contains('/'));
            }
        }
    }
}
