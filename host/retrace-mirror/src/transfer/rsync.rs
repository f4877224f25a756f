//! Files of an rsync server, by the `rsync` program: `rsync://` for its daemon, `rsync+ssh://` by the remote shell.
//!
//! The program runs with limits on time, memory and the size of what it writes; each call names one file, so that nothing
//! else of a hostile server lands here. The bandwidth limit counts for each call by itself.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use retrace_process::{Ending, Invocation, Limits, Output, capture};
use tokio::sync::oneshot;

use super::{
    Download, Expected, Listed, Source, Wanted, file,
    http::proxy_url,
    listing::Walk,
    partial::Partial,
    tops::{Signs, Top},
};
use crate::{MirrorError, Progress, ProxyChoice, checksum::Digester, error::said, location::Remote};

/// Largest listing, in bytes.
const MAX_LISTING_BYTES: usize = 256 << 20;
/// Memory of one process of rsync; a listing of a million files needs some 200 MiB.
const MEMORY_BYTES: u64 = 2 << 30;
/// Most bytes of a package that its header may take.
const MAX_HEAD_BYTES: u64 = 64 << 20;
/// Servers before rsync 3.2, and those that refuse it, do not know it.
const NO_CHECKSUM: &str = "--checksum-choice=none";
/// How much the thread that digests stands back behind rsync's processes: they wait for each other, and when one of them
/// waits for a processor both do. Measured with `make bench NAME=mirror` on two processors.
const NICENESS: i32 = 8;
/// Bytes that are digested at once; they stay in a processor's cache.
const PIECE_BYTES: usize = 256 << 10;
/// How often the growing file is looked at.
const LOOK: Duration = Duration::from_millis(3);

impl Source {
    pub(super) async fn rsync_small(&self, remote: &Remote, limit_bytes: u64) -> Result<Vec<u8>, MirrorError> {
        let expected = Expected::anything(limit_bytes);
        let partial = Partial::open(&self.options().download_dir, &expected)?;
        let download = self.rsync_file(remote, &expected, &partial, &()).await?;
        let data = file::read(download.path.clone(), limit_bytes).await;
        let _ = std::fs::remove_file(&download.path);
        data
    }

    pub(super) async fn rsync_top(
        &self,
        remote: &Remote,
        known: Option<&Top>,
        limit_bytes: u64,
    ) -> Result<Option<Top>, MirrorError> {
        let call = self.call(remote, &["--list-only"])?.arg("--").arg(address(remote, remote.path()));
        let output = self.run(remote, call).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(list_line);
        let modified = line.map(|entry| format!("{} {}", entry.stamp, entry.size));
        if let (Some(modified), Some(known)) = (&modified, known)
            && known.signs.modified.as_ref() == Some(modified)
        {
            return Ok(None);
        }
        let data = self.rsync_small(remote, limit_bytes).await?;
        Ok(Some(Top { data, signs: Signs::new(None, modified.as_deref()) }))
    }

    /// The protocol knows no parts of files: the whole file comes, and goes again.
    pub(super) async fn rsync_head(&self, remote: &Remote) -> Result<(Vec<u8>, Option<u64>), MirrorError> {
        let expected = Expected::anything(self.options().limits.package_bytes);
        let partial = Partial::open(&self.options().download_dir, &expected)?;
        let download = self.rsync_file(remote, &expected, &partial, &()).await?;
        let head = file::head(download.path.clone(), MAX_HEAD_BYTES).await;
        let _ = std::fs::remove_file(&download.path);
        head
    }

    pub(super) async fn rsync_list(&self, remote: &Remote, wanted: &Wanted<'_>) -> Result<Vec<Listed>, MirrorError> {
        let folder = format!("{}/", remote.path().trim_end_matches('/'));
        let only = ["--list-only", "-r", "--include=*/", "--include=*.rpm", "--include=*.deb", "--exclude=*"];
        let call = self.call(remote, &only)?.output_limit_bytes(MAX_LISTING_BYTES);
        let output = self.run(remote, call.arg("--").arg(address(remote, folder))).await?;
        if output.truncated {
            let (url, reason) = (remote.to_string(), "its listing is too long".to_owned());
            return Err(MirrorError::Transport { url, reason, passes: false });
        }
        let mut walk = Walk::new(wanted);
        for entry in String::from_utf8_lossy(&output.stdout).lines().filter_map(list_line) {
            if !entry.is_folder {
                walk.file(None, entry.name, Some(entry.size), entry.stamp)?;
            }
        }
        Ok(walk.finish())
    }

    /// Gets what is missing behind the bytes that are there, and finishes the file.
    pub(super) async fn rsync_file(
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
        // What is there is not read again for a comparison: the checksum of the whole tells.
        let how = if have > 0 { "--append" } else { "--whole-file" };
        let most = expected.most().saturating_add(1);
        let call = self.call(remote, &["--inplace", "--ignore-times", "--copy-links", how])?;
        let call = call.limits(Limits { file_size_bytes: Some(most), ..limits() });
        let files = |call: Invocation| call.arg("--").arg(address(remote, remote.path())).arg(partial.path());
        // Nor is it digested at both ends, to be digested by us once more.
        let is_checked =
            have == 0 && expected.checksum.is_some() && !self.rsync_wants_checksums.load(Ordering::Relaxed);
        let quick = is_checked.then(|| files(call.clone().arg(NO_CHECKSUM)));
        let call = files(call);
        let follower = Follower::start(partial.path(), digester, have)?;
        let ran = {
            let mut running = std::pin::pin!(async {
                let Some(quick) = quick else { return self.run(remote, call).await };
                match self.run(remote, quick).await {
                    Err(MirrorError::Transport { reason, .. }) if reason.contains("checksum-choice") => {
                        self.rsync_wants_checksums.store(true, Ordering::Relaxed);
                        self.run(remote, call).await
                    }
                    ran => ran,
                }
            });
            loop {
                match tokio::time::timeout(Duration::from_millis(200), &mut running).await {
                    Ok(ran) => break ran,
                    Err(_) => progress.bytes(follower.have(), expected.size_bytes),
                }
            }
        };
        let (digester, have) = follower.finish(partial.path()).await?;
        if let Err(error) = expected.check_growth(remote, have) {
            partial.clear()?;
            return Err(error);
        }
        ran?;
        progress.bytes(have, expected.size_bytes);
        partial.complete(remote, expected, digester, have)
    }

    /// The program with what every call has.
    fn call(&self, remote: &Remote, options: &[&str]) -> Result<Invocation, MirrorError> {
        let seconds = |duration: Duration| duration.as_secs().max(1);
        let mut call = Invocation::new("rsync")
            .args(["--no-motd", "--no-human-readable"])
            .arg(format!("--timeout={}", seconds(self.options().idle_timeout)))
            .args(options)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .limits(limits())
            .time_limit(self.options().transfer_timeout);
        if let Some(rate) = self.throttle.bytes_per_second() {
            call = call.arg(format!("--bwlimit={}", rate.get().div_ceil(1024)));
        }
        if remote.url.scheme() == "rsync+ssh" {
            if let Some(home) = std::env::var_os("HOME") {
                call = call.env("HOME", home);
            }
            if let Some(agent) = std::env::var_os("SSH_AUTH_SOCK") {
                call = call.env("SSH_AUTH_SOCK", agent);
            }
            return Ok(call.arg(format!("--rsh={}", self.remote_shell(remote)?)));
        }
        let login = self.credentials.of(remote.host(), Some(remote.url.port().unwrap_or(873)));
        // Without a password it would ask the terminal for one.
        let password = login.map_or("none", |login| &login.password);
        call = call
            .env("RSYNC_PASSWORD", password)
            .arg(format!("--contimeout={}", seconds(self.options().connect_timeout)));
        if let Some(login) = login {
            call = call.env("USER", &login.user).env("LOGNAME", &login.user);
        }
        Ok(match self.rsync_proxy()? {
            Some(proxy) => call.env("RSYNC_PROXY", proxy),
            None => call,
        })
    }

    fn rsync_proxy(&self) -> Result<Option<String>, MirrorError> {
        let ProxyChoice::Url(proxy) = &self.access.proxy else {
            let from_environment = self.access.proxy == ProxyChoice::Environment;
            return Ok(if from_environment { std::env::var("RSYNC_PROXY").ok() } else { None });
        };
        let url = proxy_url(proxy)?;
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let login = self.credentials.of(host, Some(port));
        let login = login.map(|login| format!("{}:{}@", login.user, login.password)).unwrap_or_default();
        Ok(Some(format!("{login}{host}:{port}")))
    }

    /// The remote shell as `--rsh` has it: words, some of them in single quotes.
    fn remote_shell(&self, remote: &Remote) -> Result<String, MirrorError> {
        let ssh = &self.access.ssh;
        let mut options = vec![
            "BatchMode=yes".to_owned(),
            format!("ConnectTimeout={}", self.options().connect_timeout.as_secs().max(1)),
            format!("ServerAliveInterval={}", self.options().idle_timeout.as_secs().max(1)),
        ];
        let path = |path: &Path| path.to_string_lossy().into_owned();
        if let Some(identity) = &ssh.identity {
            options.push("IdentitiesOnly=yes".to_owned());
            options.push(format!("IdentityFile={}", path(identity)));
        }
        if let Some(known_hosts) = &ssh.known_hosts {
            options.push(format!("UserKnownHostsFile={}", path(known_hosts)));
        }
        options.extend(ssh.options.iter().cloned());
        let mut shell = "ssh".to_owned();
        if let Some(port) = remote.url.port() {
            shell.push_str(&format!(" -p {port}"));
        }
        for option in options {
            if option.contains('\'') || option.chars().any(char::is_control) || !option.contains('=') {
                let reason = format!("{:?}: want Name=value without single quotes", said(&option));
                return Err(MirrorError::InvalidAccess { setting: "ssh options", reason });
            }
            shell.push_str(&format!(" -o '{option}'"));
        }
        Ok(shell)
    }

    async fn run(&self, remote: &Remote, call: Invocation) -> Result<Output, MirrorError> {
        let url = || remote.to_string();
        let output = capture(&call).await.map_err(|source| MirrorError::Program { url: url(), source })?;
        match output.ending {
            Ending::TimedOut => {
                Err(MirrorError::TooSlow { url: url(), seconds: self.options().transfer_timeout.as_secs() })
            }
            Ending::Exited(status) if status.success() => Ok(output),
            Ending::Exited(status) => Err(rsync_error(remote, status.code(), &String::from_utf8_lossy(&output.stderr))),
        }
    }
}

fn limits() -> Limits {
    Limits { memory_bytes: Some(MEMORY_BYTES), ..Limits::default() }
}

/// What the program calls a file. Wildcards in a name stand for themselves.
fn address(remote: &Remote, path: String) -> String {
    let mut literal = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '*' | '?' | '[' => literal.extend(['[', c, ']']),
            _ => literal.push(c),
        }
    }
    let user = match remote.url.username() {
        "" => String::new(),
        user => format!("{user}@"),
    };
    let host = remote.host();
    if remote.url.scheme() == "rsync+ssh" {
        return format!("{user}{host}:{literal}");
    }
    let port = remote.url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("rsync://{user}{host}{port}/{}", literal.trim_start_matches('/'))
}

/// What the exit status and the messages of the program mean. Source: rsync(1), "EXIT VALUES".
fn rsync_error(remote: &Remote, code: Option<i32>, stderr: &str) -> MirrorError {
    let url = remote.to_string();
    let line = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("rsync says nothing");
    let reason = said(line);
    let has = |text: &str| stderr.contains(text);
    if has("No such file or directory") || has("Unknown module") {
        return MirrorError::NotFound { url };
    }
    if has("auth failed") || has("Permission denied (") || has("Host key verification failed") {
        return MirrorError::Denied { url, reason };
    }
    // 10 socket, 11 file, 12 protocol stream, 23 and 24 partial, 30 and 35 time-outs, 255 ssh; none: killed.
    let passes = has("max connections") || matches!(code, Some(10 | 12 | 23 | 24 | 30 | 35 | 255));
    MirrorError::Transport { url, reason, passes }
}

/// A line of a listing.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'l> {
    name: &'l str,
    is_folder: bool,
    size: u64,
    stamp: &'l str,
}

/// `-rw-r--r--          1234 2026/11/01 10:00:00 folder/name`; only plain files and folders.
fn list_line(line: &str) -> Option<Entry<'_>> {
    let (mode, rest) = line.split_once(' ')?;
    let (size, rest) = rest.trim_start().split_once(' ')?;
    let (stamp, name) = rest.split_at_checked("2026/11/01 10:00:00".len())?;
    let name = name.strip_prefix(' ')?;
    let is_folder = match mode.chars().next()? {
        'd' => true,
        '-' => false,
        _ => return None,
    };
    let is_stamp = stamp.bytes().all(|b| b.is_ascii_digit() || b"/: ".contains(&b));
    (mode.len() == 10 && is_stamp).then_some(Entry { name, is_folder, size: size.parse().ok()?, stamp })
}

/// The entries of a listing, with whether they are folders; for the fuzz target `listings`.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz_entries(text: &str) -> Vec<(String, bool)> {
    text.lines().filter_map(list_line).map(|entry| (entry.name.to_owned(), entry.is_folder)).collect()
}

/// Digests a file while the program writes it.
struct Follower {
    ended: Arc<AtomicBool>,
    have: Arc<AtomicU64>,
    digested: oneshot::Receiver<io::Result<Digester>>,
}

impl Follower {
    /// Goes on behind the `have` bytes of `digester`.
    fn start(path: &Path, digester: Digester, have: u64) -> Result<Self, MirrorError> {
        let (ended, counter) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(have)));
        let (until, count) = (Arc::clone(&ended), Arc::clone(&counter));
        let (done, digested) = oneshot::channel();
        let file = path.to_owned();
        // A thread of its own: niceness stays with a thread, and only root may take it back.
        let thread = thread::Builder::new().name("digest".to_owned()).spawn(move || {
            let _ = rustix::process::nice(NICENESS);
            let _ = done.send(follow(&file, digester, have, &until, &count));
        });
        thread.map_err(MirrorError::file("read", path))?;
        Ok(Self { ended, have: counter, digested })
    }

    fn have(&self) -> u64 {
        self.have.load(Ordering::Relaxed)
    }

    /// Reads to the end; nobody writes any more.
    async fn finish(mut self, path: &Path) -> Result<(Digester, u64), MirrorError> {
        self.ended.store(true, Ordering::Release);
        let read =
            (&mut self.digested).await.unwrap_or_else(|_| Err(io::Error::other("the digesting thread panicked")));
        Ok((read.map_err(MirrorError::file("read", path))?, self.have()))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

fn follow(
    path: &Path,
    mut digester: Digester,
    from: u64,
    ended: &AtomicBool,
    have: &AtomicU64,
) -> io::Result<Digester> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        // Looked at before reading: what was written before the end is read after it.
        let is_last = ended.load(Ordering::Acquire);
        let length = file.read(&mut buffer)?;
        match buffer.get(..length).filter(|piece| !piece.is_empty()) {
            Some(piece) => {
                digester.update(piece);
                have.fetch_add(length as u64, Ordering::Relaxed);
            }
            None if is_last => return Ok(digester),
            None => thread::sleep(LOOK),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::location::{Base, Location, Place};

    fn remote(url: &str) -> Remote {
        let Place::Remote(remote) = Base::parse(url).unwrap().root().clone() else { panic!("{url}") };
        remote
    }

    #[test]
    fn addresses_are_what_the_program_wants() {
        for (url, location, want) in [
            ("rsync://h/module/a%20b/", "x[1]*?.rpm", "rsync://h/module/a b/x[[]1][*][?].rpm"),
            ("rsync://me@h:8730/m", "x", "rsync://me@h:8730/m/x"),
            ("rsync+ssh://me@h:2222/srv/x", "y", "me@h:/srv/x/y"),
            ("rsync+ssh://h/srv", "y", "h:/srv/y"),
        ] {
            let place = Base::parse(url).unwrap().at(&Location::parse(location).unwrap());
            let Place::Remote(remote) = place else { panic!() };
            assert_eq!(address(&remote, remote.path()), want);
        }
    }

    #[test]
    fn listings_are_read() {
        let line = "-rw-r--r--          1234 2026/11/01 10:00:00 a/b c.rpm";
        let want = Entry { name: "a/b c.rpm", is_folder: false, size: 1234, stamp: "2026/11/01 10:00:00" };
        assert_eq!(list_line(line), Some(want));
        assert!(list_line("drwxr-xr-x          4096 2026/11/01 10:00:00 .").unwrap().is_folder);
        for line in
            ["", "lrwxrwxrwx 1 2026/11/01 10:00:00 a", "-rw-r--r-- x 2026/11/01 10:00:00 a", "motd with a b c d"]
        {
            assert_eq!(list_line(line), None, "{line}");
        }
    }

    #[test]
    fn messages_say_what_is_wrong() {
        let remote = remote("rsync://h/m");
        let missing = "rsync: [sender] link_stat \"/x\" (in m) failed: No such file or directory (2)\nrsync error: x";
        assert!(matches!(rsync_error(&remote, Some(23), missing), MirrorError::NotFound { .. }));
        assert!(matches!(rsync_error(&remote, Some(5), "@ERROR: Unknown module 'm'"), MirrorError::NotFound { .. }));
        assert!(matches!(rsync_error(&remote, Some(5), "@ERROR: auth failed on module m"), MirrorError::Denied { .. }));
        let busy = rsync_error(&remote, Some(5), "@ERROR: max connections (1) reached -- try again later");
        assert!(busy.is_transient(), "{busy}");
        let strange = rsync_error(&remote, Some(5), "@ERROR: \u{1b}[2Jboo");
        assert!(!strange.is_transient() && !strange.to_string().contains('\u{1b}'), "{strange}");
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_left_out(line in "\\PC*") {
            let _ = list_line(&line);
        }
    }
}
