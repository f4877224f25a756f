//! From a file to a plugin in force. The order is the point: nothing parses the component before its signature was
//! checked, nothing compiles it before it was looked at, nothing is in force before it was tested.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use retrace_types::DistroId;

use super::{
    Bundled, InstallRecord, Library, LibraryError, PluginsLock, ReportSummary, Signer, Submission, Trust,
    VersionFolder,
    change::{self, Locked},
    inventory::digest,
    layout::{self, METADATA, RECORD, SIGNATURE, WASM},
    metadata,
};
use crate::{
    Compiler, EngineMode, Limits, Loader, Plugin, PluginError,
    conformance::{self, Fixtures, Profile, Report, Verdict},
};

/// Folders of one version number that are tried.
const MAX_SAME_VERSION: usize = 100;

/// How to install.
#[derive(Clone, Debug)]
pub struct InstallOptions<'a> {
    /// Whose signatures count.
    pub trust: &'a Trust,
    /// Take a plugin that has no signature; one that has a wrong signature is refused all the same.
    pub allow_unsigned: bool,
    /// Take other bytes under a version number that is installed already.
    pub replace: bool,
    /// Mark it as made by `retrace plugin dev`.
    pub development: bool,
    /// Take only what this file names.
    pub lock: Option<&'a PluginsLock>,
    /// The plugins that come with Retrace, for the check that no two plugins share a name.
    pub bundled: &'a [Bundled],
    /// Folder for compiled plugins, the one that the workers use.
    pub cache_dir: PathBuf,
    /// Folder with the author's fixtures, which the suite then tries as well.
    pub fixtures_dir: Option<PathBuf>,
    /// Folder with the keys of the distributions, to check those that the plugin names. One that is missing there is told
    /// ([`Installation::missing_keys`]); another one under its name is an error.
    pub keys_dir: Option<PathBuf>,
    /// Who compiles it.
    pub compiler: Compiler,
    /// What the plugin may cost.
    pub limits: Limits,
}

/// What an install did.
#[derive(Clone, Debug)]
pub struct Installation {
    /// What is in force now.
    pub record: InstallRecord,
    /// Its folder's name.
    pub folder: VersionFolder,
    /// The version that was in force before.
    pub replaced: Option<VersionFolder>,
    /// Nothing was to be done: the same bytes with the same signer were in force already.
    pub unchanged: bool,
    /// What the conformance suite said; its `should` checks may have failed.
    pub report: Report,
    /// Keys that the plugin names and `keys_dir` has not, in order: repositories cannot be mirrored without.
    pub missing_keys: Vec<String>,
}

impl Library {
    /// Installs a plugin and puts it in force: size, signature, static checks, compiling, conformance suite (quick), names,
    /// then one rename. Another install at the same time waits for this one. A process killed at any instant leaves the
    /// version that was in force before.
    ///
    /// # Errors
    /// [`LibraryError`]; nothing is in force that was not before.
    pub fn install(&self, submission: &Submission, options: &InstallOptions<'_>) -> Result<Installation, LibraryError> {
        let size_bytes = u64::try_from(submission.wasm.len()).unwrap_or(u64::MAX);
        if size_bytes > options.limits.file_bytes {
            return Err(LibraryError::TooLarge { path: submission.path.clone(), limit: options.limits.file_bytes });
        }
        let signer = check_signature(submission, options)?;
        let locked = self.lock()?;
        let staging = locked.staging()?;
        let new = staging.path().join("new");
        change::make_dir(&new)?;
        write(&new, WASM, &submission.wasm)?;
        let plugin = examine(submission, &new, options)?;
        let report = test(submission, options)?;
        let missing_keys = options.keys_dir.as_deref().map_or_else(Vec::new, |dir| missing_keys(&plugin, dir));
        let plugin = plugin.info();
        let metadata = metadata::for_plugin(submission.metadata.as_deref(), plugin);
        let record = InstallRecord {
            schema: InstallRecord::SCHEMA,
            id: plugin.id.clone(),
            version: plugin.version.clone(),
            aliases: plugin.aliases.clone(),
            name: plugin.name.clone(),
            contract: contract(&submission.wasm),
            sha256: digest(&submission.wasm),
            size_bytes,
            installed_at: now(),
            unsigned: signer.is_none(),
            development: options.development,
            signer,
            report: Some(summary(&report)),
        };
        if let Some(lock) = options.lock {
            lock.check(&record)?;
        }
        locked.check_names(record.names(), &record.id, options.bundled)?;
        let before = self.current(&record.id).ok().flatten();
        let same = self.same(&record)?;
        let folder = match &same {
            Some(folder) => folder.clone(),
            None => {
                let folder = self.free_folder(&record, options.replace)?;
                if let Some(signature) = &submission.signature {
                    write(&new, SIGNATURE, signature)?;
                }
                if let Some(metadata) = metadata {
                    write(&new, METADATA, metadata.as_bytes())?;
                }
                write(&new, RECORD, record.to_toml()?.as_bytes())?;
                locked.move_in(&new, &record, &folder)?;
                folder
            }
        };
        let unchanged = before.as_ref().is_some_and(|(current, _)| *current == folder);
        if !unchanged {
            let (current, earlier) = before.clone().map_or((None, Vec::new()), |(c, e)| (Some(c), e));
            let history: Vec<_> = current.into_iter().chain(earlier).filter(|known| *known != folder).collect();
            let history =
                if options.development { self.without_drafts(&locked, &record.id, history)? } else { history };
            locked.put_in_force(&record.id, &folder, &history)?;
        }
        locked.finish()?;
        let record = self.version(&record.id, &folder).map_or(record, |plugin| plugin.record);
        let replaced = before.map(|(current, _)| current).filter(|current| *current != folder);
        Ok(Installation { record, folder, replaced, unchanged, report, missing_keys })
    }

    /// A folder that holds this very plugin, unharmed and with the same signer.
    fn same(&self, record: &InstallRecord) -> Result<Option<VersionFolder>, LibraryError> {
        let folders = self.versions(&record.id)?;
        Ok(folders.into_iter().find(|folder| {
            self.version(&record.id, folder).is_ok_and(|known| {
                known.record.sha256 == record.sha256
                    && known.record.signer == record.signer
                    && known.record.development == record.development
                    && known.read().is_ok()
            })
        }))
    }

    /// Removes what `retrace plugin dev` made before, but for the draft that was in force until now: a save a minute would
    /// fill the disk. Returns the history without them.
    fn without_drafts(
        &self,
        locked: &Locked<'_>,
        id: &DistroId,
        history: Vec<VersionFolder>,
    ) -> Result<Vec<VersionFolder>, LibraryError> {
        let mut kept = Vec::new();
        for (place, folder) in history.into_iter().enumerate() {
            let is_draft = self.version(id, &folder).is_ok_and(|known| known.record.development);
            if place > 0 && is_draft {
                locked.discard(&self.version_dir(id, &folder))?;
            } else {
                kept.push(folder);
            }
        }
        Ok(kept)
    }

    /// A name for the new folder. The number of a version belongs to the bytes that had it first: others are refused unless
    /// the caller insists, and then get a name of their own.
    fn free_folder(&self, record: &InstallRecord, replace: bool) -> Result<VersionFolder, LibraryError> {
        let known: Vec<_> = self.versions(&record.id)?;
        let taken = known.iter().filter_map(|folder| self.version(&record.id, folder).ok());
        let mut taken = taken.filter(|known| known.record.version == record.version);
        if let Some(taken) = taken.find(|known| known.record.sha256 != record.sha256)
            && !replace
        {
            let (id, version) = (record.id.clone(), record.version.clone());
            return Err(LibraryError::VersionTaken { id, version, taken: taken.record.sha256, new: record.sha256 });
        }
        let names = [VersionFolder::plain(&record.version), VersionFolder::with_digest(&record.version, record.sha256)];
        let more =
            (2..MAX_SAME_VERSION).map(|n| VersionFolder::with_digest(&record.version, record.sha256)?.numbered(n));
        let names = names.into_iter().chain(more).flatten();
        let free = names.into_iter().find(|folder| !self.version_dir(&record.id, folder).exists());
        free.ok_or_else(|| LibraryError::NoFolder { id: record.id.clone(), version: record.version.clone() })
    }
}

impl Locked<'_> {
    /// Gives a finished folder its name, in one step.
    fn move_in(&self, new: &Path, record: &InstallRecord, folder: &VersionFolder) -> Result<(), LibraryError> {
        let dir = self.library.plugin_dir(&record.id);
        change::make_dir(&dir)?;
        layout::sync_dir(new).map_err(LibraryError::io(new))?;
        let target = dir.join(folder.as_str());
        fs::rename(new, &target).map_err(LibraryError::io(&target))?;
        layout::sync_dir(&dir).map_err(LibraryError::io(&dir))
    }
}

fn check_signature(submission: &Submission, options: &InstallOptions<'_>) -> Result<Option<Signer>, LibraryError> {
    match submission.verify(options.trust) {
        Err(LibraryError::Unsigned { .. }) if options.allow_unsigned => Ok(None),
        verified => verified.map(Some),
    }
}

/// Static checks, compiling, `describe`: what a worker will do, done once before.
fn examine(submission: &Submission, dir: &Path, options: &InstallOptions<'_>) -> Result<Arc<Plugin>, LibraryError> {
    let compiler = options.compiler.clone();
    let loader = Loader::new(EngineMode::Production, &options.limits, &options.cache_dir, compiler);
    let loader = loader.map_err(|error| LibraryError::Engine(Box::new(error)))?;
    match loader.plugin(&submission.wasm, &dir.join(WASM)) {
        Ok(plugin) => Ok(plugin),
        Err(error) => {
            let why = match &error {
                // The path would be that of the staging folder.
                PluginError::NotAPlugin { source, .. } => source.to_string(),
                PluginError::Compile { source, .. } => source.to_string(),
                other => other.to_string(),
            };
            Err(LibraryError::NotLoadable { path: submission.path.clone(), why })
        }
    }
}

/// The keys that the plugin names and the folder has not.
fn missing_keys(plugin: &Arc<Plugin>, keys_dir: &Path) -> Vec<String> {
    let mut job = plugin.job();
    // What cannot be answered, the suite has found before.
    let releases = job.releases().unwrap_or_default();
    let mut missing = BTreeSet::new();
    for (entry, architecture) in releases.iter().flat_map(|entry| entry.architectures.iter().map(move |a| (entry, a))) {
        let repositories = job.repositories(&entry.release, *architecture).unwrap_or_default();
        let keys = repositories.into_iter().flat_map(|repository| repository.keys).map(|key| key.path);
        missing.extend(keys.filter(|key| !keys_dir.join(key).exists()));
    }
    missing.into_iter().collect()
}

fn test(submission: &Submission, options: &InstallOptions<'_>) -> Result<Report, LibraryError> {
    let fixtures =
        Fixtures { dir: options.fixtures_dir.clone(), keys_dir: options.keys_dir.clone(), keys_may_come_later: true };
    let quick = conformance::Options {
        limits: options.limits.clone(),
        file: submission.path.clone(),
        ..conformance::Options::quick()
    };
    let report = conformance::run(&submission.wasm, &fixtures, &quick).map_err(LibraryError::Conformance)?;
    match report.verdict() {
        Verdict::Passed => Ok(report),
        Verdict::Failed => Err(LibraryError::NotConformant { path: submission.path.clone(), report: Box::new(report) }),
        Verdict::NotLoadable => {
            let failed = report.failures().next();
            let why = failed.map_or_else(String::new, |check| {
                format!("{}: {}: {}", check.id, check.title, check.message.as_deref().unwrap_or("does not hold"))
            });
            Err(LibraryError::NotLoadable { path: submission.path.clone(), why })
        }
    }
}

fn summary(report: &Report) -> ReportSummary {
    let profile = match report.profile {
        Profile::Quick => "quick",
        Profile::Full => "full",
    };
    ReportSummary {
        suite: report.suite.clone(),
        profile: profile.to_owned(),
        must_pass: report.summary.must.pass,
        must_fail: report.summary.must.fail,
        should_pass: report.summary.should.pass,
        should_fail: report.summary.should.fail,
        skipped: report.summary.skipped,
    }
}

/// The version of the contract that the component was built for; of a component that was checked, there is one.
fn contract(wasm: &[u8]) -> String {
    let exports = wasmparser::Parser::new(0).parse_all(wasm).filter_map(|payload| match payload {
        Ok(wasmparser::Payload::ComponentExportSection(section)) => Some(section),
        _ => None,
    });
    let names = exports.flat_map(|section| section.into_iter().filter_map(Result::ok)).map(|export| export.name.name);
    let versions = names.filter_map(|name| name.strip_prefix("retrace:distro/distribution@"));
    versions.last().unwrap_or("unknown").to_owned()
}

/// RFC 3339, UTC, whole seconds.
fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), LibraryError> {
    let path = dir.join(name);
    layout::write_new(&path, bytes).map_err(LibraryError::io(path))
}
