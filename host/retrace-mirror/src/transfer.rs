//! Files on their way from a mirror to this machine, one scheme a file: local folders, http(s), ftp(s), rsync.
//!
//! What every scheme does: read a small file whole, get a file of any size onto the disk, list a folder, read the
//! beginning of a file, and tell by one small request whether a top file has changed. A file with a known checksum is
//! written to `partial/<checksum>`; what a killed run left there is continued. Complete and checked it is renamed to
//! `complete/<checksum>`, where the next run finds it if this one ends before it is used.

mod credentials;
mod file;
mod ftp;
mod http;
mod index_page;
mod listing;
mod partial;
mod rsync;
mod throttle;
mod tls;
mod tops;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant, SystemTime},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use retrace_types::{DistroId, RepositorySpec, Sha256};

pub(crate) use listing::{Listed, Wanted};
pub use tls::client_config as tls_config;

use crate::{
    Access, MirrorError, MirrorOptions, Progress,
    checksum::{Checksum, Digester},
    health::{Health, Rest},
    location::{Base, Place, Remote, Scheme},
};
use credentials::Credentials;
use throttle::{Hosts, Throttle};

/// What is left in the download folder is removed after this time.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Longest pause between two attempts. Who wishes a longer one is left alone.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What is known of a file before it comes.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) size_bytes: Option<u64>,
    pub(crate) checksum: Option<Checksum>,
    /// Most bytes, where the size is not known or not trusted.
    pub(crate) limit_bytes: u64,
}

/// A file that came, checked against what was expected.
#[derive(Debug)]
pub(crate) struct Download {
    /// In the download folder; whoever is done with it removes it.
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: Sha256,
}

/// Gets files. One serves many at once.
pub(crate) struct Transfer {
    shared: Arc<Shared>,
    /// One for each access rule, so that repositories share connections and a bandwidth limit.
    sources: Mutex<HashMap<Option<usize>, Arc<Source>>>,
}

struct Shared {
    options: MirrorOptions,
    health: Mutex<Health>,
    hosts: Hosts,
}

/// Gets files by the access that is set for a repository.
pub(crate) struct Source {
    shared: Arc<Shared>,
    access: Access,
    credentials: Credentials,
    throttle: Throttle,
    /// Made when first needed: reading the system's certificates takes longer than a retrace of known packages.
    tls: OnceLock<Arc<rustls::ClientConfig>>,
    client: OnceLock<reqwest::Client>,
    ftp: ftp::Idle,
    /// A server insists on checksums of its own.
    rsync_wants_checksums: AtomicBool,
}

/// A mirror whose turn it is: its base, or why it is not asked.
pub(crate) struct Turn {
    pub(crate) mirror: String,
    pub(crate) base: Result<Base, MirrorError>,
}

impl Transfer {
    pub(crate) fn new(options: MirrorOptions) -> Result<Self, MirrorError> {
        for folder in ["partial", "complete", "tops"] {
            let path = options.download_dir.join(folder);
            std::fs::create_dir_all(&path).map_err(MirrorError::file("write", &path))?;
        }
        let shared = Shared { options, health: Mutex::default(), hosts: Hosts::default() };
        Ok(Self { shared: Arc::new(shared), sources: Mutex::default() })
    }

    pub(crate) fn options(&self) -> &MirrorOptions {
        &self.shared.options
    }

    /// The way to the mirrors of a repository.
    pub(crate) fn source(&self, distribution: &DistroId, repository: &str) -> Result<Arc<Source>, MirrorError> {
        let rules = &self.shared.options.access_rules;
        let rule = rules.iter().position(|rule| rule.applies(distribution, repository));
        let mut sources = lock(&self.sources);
        if let Some(source) = sources.get(&rule) {
            return Ok(Arc::clone(source));
        }
        let access = rule.and_then(|index| rules.get(index)).map_or(&self.shared.options.access, |rule| &rule.access);
        let source = Arc::new(Source::new(Arc::clone(&self.shared), access.clone())?);
        sources.insert(rule, Arc::clone(&source));
        Ok(source)
    }

    /// Removes what earlier runs left and nobody came back for.
    pub(crate) fn sweep(&self) {
        let old = |path: &Path| {
            let modified = path.metadata().and_then(|metadata| metadata.modified());
            modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > KEEP))
        };
        for folder in ["partial", "complete", "tops"] {
            let Ok(entries) = std::fs::read_dir(self.options().download_dir.join(folder)) else { continue };
            for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| old(path)) {
                // Another run may have been faster.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

impl Source {
    fn new(shared: Arc<Shared>, access: Access) -> Result<Self, MirrorError> {
        Ok(Self {
            credentials: Credentials::read(access.credentials.as_deref())?,
            throttle: Throttle::new(access.bytes_per_second),
            shared,
            access,
            tls: OnceLock::new(),
            client: OnceLock::new(),
            ftp: ftp::Idle::default(),
            rsync_wants_checksums: AtomicBool::new(false),
        })
    }

    pub(crate) fn options(&self) -> &MirrorOptions {
        &self.shared.options
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// The mirrors of a repository in the order in which they are to be asked: as they are listed, those that failed a
    /// while ago at the end, and those that do not want to be asked now not at all.
    pub(crate) fn turns(&self, spec: &RepositorySpec) -> Vec<Turn> {
        let (health, now) = (lock(&self.shared.health), Instant::now());
        let (mut turns, mut resting) = (Vec::new(), Vec::new());
        for mirror in &spec.mirrors {
            let base = Base::parse(mirror).and_then(|base| self.access.suffices(spec, &base).map(|()| base));
            let server = base.as_ref().ok().and_then(|base| base.root().server());
            let rest = server.as_ref().and_then(|server| health.rest(server, now));
            let mirror = crate::location::shown(mirror);
            match (rest, server) {
                (Some(Rest { left, reason, is_wish: true }), Some(server)) => {
                    let seconds = left.as_secs().saturating_add(1);
                    turns.push(Turn { mirror, base: Err(MirrorError::Resting { server, seconds, reason }) });
                }
                (Some(_), _) => resting.push(Turn { mirror, base }),
                (None, _) => turns.push(Turn { mirror, base }),
            }
        }
        turns.append(&mut resting);
        turns
    }

    /// Remembers what came of asking a mirror.
    pub(crate) fn remember<T>(&self, base: &Base, outcome: &Result<T, MirrorError>) {
        let Some(server) = base.root().server() else { return };
        let mut health = lock(&self.shared.health);
        match outcome {
            Ok(_) => health.answered(&server),
            Err(error) => health.failed(&server, error, Instant::now()),
        }
    }

    /// A small file, in memory; none if there is no such file.
    pub(crate) async fn small(&self, place: &Place, limit_bytes: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        let got = match place {
            Place::File(path) => file::read(path.clone(), limit_bytes).await,
            Place::Remote(remote) => self.with_retries(|| self.remote_small(remote, limit_bytes).boxed()).await,
        };
        match got {
            Ok(data) => Ok(Some(data)),
            Err(MirrorError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The top file of a repository's metadata: as [`Source::small`], but where the server says that it has not changed
    /// it is the copy of the last time.
    pub(crate) async fn top(&self, place: &Place, limit_bytes: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        let Place::Remote(remote) = place else { return self.small(place, limit_bytes).await };
        let folder = &self.options().download_dir;
        let known = tops::read(folder, remote, limit_bytes);
        let got = self.with_retries(|| self.remote_top(remote, known.as_ref(), limit_bytes).boxed()).await;
        match got {
            Ok(Some(new)) => {
                tops::write(folder, remote, &new);
                Ok(Some(new.data))
            }
            Ok(None) => Ok(known.map(|known| known.data)),
            Err(MirrorError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A file of any size, on disk and checked.
    pub(crate) async fn file(
        &self,
        place: &Place,
        expected: &Expected,
        progress: &dyn Progress,
    ) -> Result<Download, MirrorError> {
        if let Some(size_bytes) = expected.size_bytes
            && size_bytes > expected.limit_bytes
        {
            return Err(MirrorError::TooLarge { url: place.to_string(), limit_bytes: expected.limit_bytes });
        }
        if let Some(done) = self.already_complete(expected).await {
            return Ok(done);
        }
        match place {
            Place::File(path) => file::copy(self.options().download_dir.clone(), path.clone(), expected.clone()).await,
            Place::Remote(remote) => self.remote_file(remote, expected, progress).await,
        }
    }

    /// The first `bytes` of a file, or all of a smaller one, and its size where the server tells.
    pub(crate) async fn head(&self, place: &Place, bytes: u64) -> Result<(Vec<u8>, Option<u64>), MirrorError> {
        match place {
            Place::File(path) => file::head(path.clone(), bytes).await,
            Place::Remote(remote) => self.with_retries(|| self.remote_head(remote, bytes).boxed()).await,
        }
    }

    /// The package files below a base, in order.
    pub(crate) async fn list(&self, base: &Base, wanted: &Wanted<'_>) -> Result<Vec<Listed>, MirrorError> {
        match base.root() {
            Place::File(folder) => listing::local(folder.clone(), wanted).await,
            Place::Remote(remote) => self.with_retries(|| self.remote_list(remote, wanted).boxed()).await,
        }
    }

    async fn remote_small(&self, remote: &Remote, limit_bytes: u64) -> Result<Vec<u8>, MirrorError> {
        let _permit = self.permit(remote).await?;
        let reading = async {
            match remote.scheme {
                Scheme::Http => self.http_small(remote, limit_bytes).await,
                Scheme::Ftp => self.ftp_small(remote, limit_bytes).await,
                Scheme::Rsync => self.rsync_small(remote, limit_bytes).await,
            }
        };
        self.in_time(remote, reading).await
    }

    /// None: it has not changed.
    async fn remote_top(
        &self,
        remote: &Remote,
        known: Option<&tops::Top>,
        limit_bytes: u64,
    ) -> Result<Option<tops::Top>, MirrorError> {
        let _permit = self.permit(remote).await?;
        let reading = async {
            match remote.scheme {
                Scheme::Http => self.http_top(remote, known, limit_bytes).await,
                Scheme::Ftp => self.ftp_top(remote, known, limit_bytes).await,
                Scheme::Rsync => self.rsync_top(remote, known, limit_bytes).await,
            }
        };
        self.in_time(remote, reading).await
    }

    async fn remote_head(&self, remote: &Remote, bytes: u64) -> Result<(Vec<u8>, Option<u64>), MirrorError> {
        let _permit = self.permit(remote).await?;
        let reading = async {
            match remote.scheme {
                Scheme::Http => self.http_head(remote, bytes).await,
                Scheme::Ftp => self.ftp_head(remote, bytes).await,
                Scheme::Rsync => self.rsync_head(remote).await,
            }
        };
        self.in_time(remote, reading).await
    }

    async fn remote_list(&self, remote: &Remote, wanted: &Wanted<'_>) -> Result<Vec<Listed>, MirrorError> {
        let _permit = self.permit(remote).await?;
        let reading = async {
            match remote.scheme {
                Scheme::Http => self.http_list(remote, wanted).await,
                Scheme::Ftp => self.ftp_list(remote, wanted).await,
                Scheme::Rsync => self.rsync_list(remote, wanted).await,
            }
        };
        self.in_time(remote, reading).await
    }

    async fn remote_file(
        &self,
        remote: &Remote,
        expected: &Expected,
        progress: &dyn Progress,
    ) -> Result<Download, MirrorError> {
        let partial = partial::Partial::open(&self.options().download_dir, expected)?;
        let attempt = || {
            let one = async {
                let _permit = self.permit(remote).await?;
                let getting = async {
                    match remote.scheme {
                        Scheme::Http => self.http_file(remote, expected, &partial, progress).await,
                        Scheme::Ftp => self.ftp_file(remote, expected, &partial, progress).await,
                        Scheme::Rsync => self.rsync_file(remote, expected, &partial, progress).await,
                    }
                };
                self.in_time(remote, getting).await
            };
            one.boxed()
        };
        match self.with_retries(attempt).await {
            // Bytes of an earlier run or the line may be to blame; the wrong ones are gone now.
            Err(error) if error.is_wrong() => self.with_retries(attempt).await,
            other => other,
        }
    }

    /// Leave to use a connection to the server.
    async fn permit(&self, remote: &Remote) -> Result<throttle::Permit, MirrorError> {
        if self.options().offline {
            return Err(MirrorError::Offline { url: remote.to_string() });
        }
        Ok(self.shared.hosts.permit(&remote.server(), self.access.connections_per_host).await)
    }

    fn tls(&self) -> Result<Arc<rustls::ClientConfig>, MirrorError> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(tls::client_config(&self.access)?);
        Ok(Arc::clone(self.tls.get_or_init(|| config)))
    }

    /// What a run that was killed before it used the file left.
    async fn already_complete(&self, expected: &Expected) -> Option<Download> {
        let checksum = expected.checksum.clone()?;
        let path = complete_path(&self.options().download_dir, &checksum);
        let hashed = tokio::task::spawn_blocking(move || {
            let mut digester = Digester::for_checksum(Some(&checksum));
            let size_bytes = file::hash(&path, &mut digester).ok()?;
            let (sha256, actual) = digester.finish();
            (actual == checksum).then_some(Download { path, size_bytes, sha256 })
        });
        hashed.await.ok().flatten()
    }

    async fn with_retries<'a, T>(
        &'a self,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, MirrorError>> + Send + Sync,
    ) -> Result<T, MirrorError> {
        let mut pause = self.options().retry_pause;
        for _ in 0..self.options().retries {
            match attempt().await {
                Err(error) if error.is_transient() => {
                    let wanted = match &error {
                        MirrorError::Status { retry_after_seconds: Some(seconds), .. } => Duration::from_secs(*seconds),
                        _ => pause,
                    };
                    if wanted > MAX_PAUSE {
                        return Err(error);
                    }
                    tracing::debug!(error = %crate::error::chain(&error), "a transfer failed and is tried again");
                    tokio::time::sleep(wanted).await;
                    pause = pause.saturating_mul(2).min(MAX_PAUSE);
                }
                other => return other,
            }
        }
        attempt().await
    }

    async fn in_time<T>(
        &self,
        remote: &Remote,
        transfer: impl Future<Output = Result<T, MirrorError>>,
    ) -> Result<T, MirrorError> {
        let limit = self.options().transfer_timeout;
        let slow = |_| MirrorError::TooSlow { url: remote.to_string(), seconds: limit.as_secs() };
        tokio::time::timeout(limit, transfer).await.map_err(slow)?
    }
}

fn complete_path(download_dir: &Path, checksum: &Checksum) -> PathBuf {
    download_dir.join("complete").join(checksum.to_string())
}

/// A panic while the lock was held leaves a value that is right all the same.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The package files that listings of all kinds make of a text, each as a folder below the base; for the fuzz target
/// `listings`.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_listings(base: &Base, text: &str) -> Vec<Listed> {
    let wanted = Wanted::packages(base, 100);
    let mut walk = listing::Walk::new(&wanted);
    let links = index_page::links(text).into_iter().map(|link| (link.name, link.is_folder));
    for (name, is_folder) in links.chain(rsync::fuzz_entries(text)).chain(ftp::fuzz_entries(text)) {
        if is_folder {
            walk.folder(None, &name);
        } else if walk.file(None, &name, None, "").is_err() {
            break;
        }
    }
    walk.finish()
}

/// Reads a file of credentials; for the fuzz target `texts`.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_credentials(text: &str) {
    if let Ok(credentials) = Credentials::parse(text) {
        let _ = credentials.of("mirror.example", Some(443));
    }
}

/// Digest of a file on disk.
pub(crate) fn sha256_of(path: &Path) -> std::io::Result<Sha256> {
    let mut digester = Digester::for_checksum(None);
    file::hash(path, &mut digester)?;
    Ok(digester.finish().0)
}

impl Expected {
    /// Anything up to a limit.
    pub(crate) fn anything(limit_bytes: u64) -> Self {
        Self { size_bytes: None, checksum: None, limit_bytes }
    }

    /// Most bytes that may come.
    fn most(&self) -> u64 {
        self.size_bytes.unwrap_or(self.limit_bytes).min(self.limit_bytes)
    }

    /// Refuses a size that was not announced.
    fn check_size(&self, url: &dyn ToString, actual: u64) -> Result<(), MirrorError> {
        match self.size_bytes {
            Some(expected) if actual != expected => {
                Err(MirrorError::SizeMismatch { url: url.to_string(), expected, actual })
            }
            _ => self.check_growth(url, actual),
        }
    }

    /// Refuses more bytes than were announced, while they come.
    fn check_growth(&self, url: &dyn ToString, actual: u64) -> Result<(), MirrorError> {
        match self.size_bytes {
            Some(expected) if actual > expected => {
                Err(MirrorError::SizeMismatch { url: url.to_string(), expected, actual })
            }
            _ if actual > self.limit_bytes => {
                Err(MirrorError::TooLarge { url: url.to_string(), limit_bytes: self.limit_bytes })
            }
            _ => Ok(()),
        }
    }

    fn check_checksum(&self, url: &dyn ToString, actual: &Checksum) -> Result<(), MirrorError> {
        match &self.checksum {
            Some(expected) if expected != actual => Err(MirrorError::ChecksumMismatch {
                url: url.to_string(),
                expected: expected.to_string(),
                actual: actual.to_string(),
            }),
            _ => Ok(()),
        }
    }
}
