//! Changes of what is in force: each is one rename, under the library's lock.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use retrace_types::DistroId;

use super::{
    Library, LibraryError, PluginsLock, VersionFolder,
    layout::{self, CURRENT, DISABLED, LOCK, LOCK_FILE, RELOAD, STAGING},
};

/// Versions that `current` remembers.
const MAX_HISTORY: usize = 16;
/// How long a change waits for another one to end. An install takes as long as compiling and testing do.
const LOCK_WAIT: Duration = Duration::from_secs(300);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// The right to change the library, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    pub(crate) library: &'a Library,
    /// Holds the lock; the system gives it back when the process is killed.
    _file: File,
}

impl Library {
    /// Switches a plugin off, installed or bundled. False if it was off.
    ///
    /// # Errors
    /// The library cannot be written.
    pub fn disable(&self, id: &DistroId) -> Result<bool, LibraryError> {
        let locked = self.lock()?;
        let dir = self.plugin_dir(id);
        make_dir(&dir)?;
        let path = dir.join(DISABLED);
        if path.exists() {
            return Ok(false);
        }
        layout::write_new(&path, b"").map_err(LibraryError::io(&path))?;
        locked.finish()?;
        Ok(true)
    }

    /// Switches a plugin on again. False if it was on.
    ///
    /// # Errors
    /// [`LibraryError::Duplicate`] if a plugin that is on, installed or of `bundled`, has one of its names; the library
    /// cannot be written.
    pub fn enable(&self, id: &DistroId, bundled: &[Bundled]) -> Result<bool, LibraryError> {
        let locked = self.lock()?;
        let dir = self.plugin_dir(id);
        let path = dir.join(DISABLED);
        if !path.exists() {
            return Ok(false);
        }
        if let Ok(Some(plugin)) = self.installed(id) {
            locked.check_names(plugin.record.names(), id, bundled)?;
        }
        fs::remove_file(&path).map_err(LibraryError::io(&path))?;
        // The folder may have held nothing but the marker.
        let _ = fs::remove_dir(&dir);
        locked.finish()?;
        Ok(true)
    }

    /// Puts an earlier version in force: the one before, or the one that is named. Returns its folder.
    ///
    /// # Errors
    /// [`LibraryError::NotInstalled`], [`LibraryError::NothingBefore`], [`LibraryError::NoVersion`], or the version's files
    /// are damaged ([`LibraryError::Damaged`]) or have a name that another plugin has now ([`LibraryError::Duplicate`]).
    pub fn rollback(
        &self,
        id: &DistroId,
        to: Option<&str>,
        bundled: &[Bundled],
    ) -> Result<VersionFolder, LibraryError> {
        let locked = self.lock()?;
        let versions = self.versions(id)?;
        if versions.is_empty() {
            return Err(LibraryError::NotInstalled { id: id.clone() });
        }
        // A damaged `current` must not stand in the way of mending it.
        let (current, earlier) = match self.current(id) {
            Ok(Some((current, earlier))) => (Some(current), earlier),
            _ => (None, Vec::new()),
        };
        let target = match to {
            Some(name) => VersionFolder::parse(name).filter(|folder| versions.contains(folder)),
            None => {
                earlier.iter().find(|folder| versions.contains(folder) && Some(*folder) != current.as_ref()).cloned()
            }
        };
        let have = versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let target = target.ok_or_else(|| match to {
            Some(name) => LibraryError::NoVersion { id: id.clone(), version: name.chars().take(64).collect(), have },
            None => LibraryError::NothingBefore { id: id.clone(), have },
        })?;
        let plugin = self.version(id, &target).and_then(|plugin| plugin.read().map(|_| plugin));
        let plugin =
            plugin.map_err(|reason| LibraryError::Damaged { id: id.clone(), version: target.to_string(), reason })?;
        if !self.plugin_dir(id).join(DISABLED).exists() {
            locked.check_names(plugin.record.names(), id, bundled)?;
        }
        // Going back drops what was in front; naming a version puts it in front.
        let history: Vec<VersionFolder> = match to {
            None => earlier.into_iter().skip_while(|folder| *folder != target).skip(1).collect(),
            Some(_) => current.into_iter().chain(earlier).filter(|folder| *folder != target).collect(),
        };
        locked.put_in_force(id, &target, &history)?;
        locked.finish()?;
        Ok(target)
    }

    /// Removes a plugin with all its versions, or one version that is not in force. A bundled plugin of that id serves
    /// again. Workers that loaded it keep it until they read the library anew. Returns what was removed.
    ///
    /// # Errors
    /// [`LibraryError::NotInstalled`], [`LibraryError::NoVersion`], or [`LibraryError::InForce`].
    pub fn remove(&self, id: &DistroId, version: Option<&str>) -> Result<Vec<VersionFolder>, LibraryError> {
        let locked = self.lock()?;
        let versions = self.versions(id)?;
        if versions.is_empty() && !layout::is_real_dir(&self.plugin_dir(id)) {
            return Err(LibraryError::NotInstalled { id: id.clone() });
        }
        let Some(version) = version else {
            locked.discard(&self.plugin_dir(id))?;
            locked.finish()?;
            return Ok(versions);
        };
        let folder = VersionFolder::parse(version).filter(|folder| versions.contains(folder));
        let folder = folder.ok_or_else(|| LibraryError::NoVersion {
            id: id.clone(),
            version: version.chars().take(64).collect(),
            have: versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })?;
        if let Ok(Some((current, earlier))) = self.current(id) {
            if current == folder {
                return Err(LibraryError::InForce { id: id.clone(), version: folder.to_string() });
            }
            let earlier: Vec<_> = earlier.into_iter().filter(|known| *known != folder).collect();
            locked.put_in_force(id, &current, &earlier)?;
        }
        locked.discard(&self.version_dir(id, &folder))?;
        locked.finish()?;
        Ok(vec![folder])
    }

    /// Makes the workers read the library anew although nothing changed: their breakers are reset, and plugins that failed
    /// to load are tried again.
    ///
    /// # Errors
    /// The library cannot be written.
    pub fn reload(&self) -> Result<(), LibraryError> {
        let locked = self.lock()?;
        let path = self.dir.join(RELOAD);
        let text = layout::read_text(&path).map_err(LibraryError::io(&path))?.unwrap_or_default();
        let count: u64 = text.trim().parse().unwrap_or(0);
        layout::replace(&path, format!("{}\n", count.wrapping_add(1)).as_bytes()).map_err(LibraryError::io(&path))?;
        locked.finish()
    }

    /// Waits for the lock and removes what a killed process left.
    pub(crate) fn lock(&self) -> Result<Locked<'_>, LibraryError> {
        make_dir(&self.dir)?;
        self.check_owner()?;
        let path = self.dir.join(LOCK_FILE);
        let io = |source| LibraryError::Io { path: path.clone(), source };
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io)?;
        let started = Instant::now();
        loop {
            match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io(error.into())),
            }
            if started.elapsed() >= LOCK_WAIT {
                return Err(LibraryError::Busy { path, waited: LOCK_WAIT });
            }
            thread::sleep(LOCK_POLL);
        }
        let locked = Locked { library: self, _file: file };
        locked.sweep()?;
        Ok(locked)
    }
}

impl Locked<'_> {
    /// A folder for a half-finished install, which nobody else uses.
    pub(crate) fn staging(&self) -> Result<tempfile::TempDir, LibraryError> {
        let dir = &self.library.dir;
        let builder = tempfile::Builder::new().prefix(STAGING).rand_bytes(8).tempdir_in(dir);
        builder.map_err(LibraryError::io(dir))
    }

    /// Refuses names that another plugin has which is not switched off: installed ones, and those of `bundled` that no
    /// installed plugin replaces.
    pub(crate) fn check_names<'n>(
        &self,
        names: impl Iterator<Item = &'n DistroId>,
        id: &DistroId,
        bundled: &[Bundled],
    ) -> Result<(), LibraryError> {
        let inventory = self.library.inventory()?;
        let installed = inventory.plugins.iter().map(|plugin| &plugin.record);
        let replaced: Vec<&DistroId> = installed.clone().map(|record| &record.id).chain([id]).collect();
        let installed = installed.map(|record| (&record.id, record.names().collect::<Vec<_>>()));
        let bundled = bundled.iter().filter(|plugin| !replaced.contains(&&plugin.id));
        let bundled = bundled.map(|plugin| (&plugin.id, [&plugin.id].into_iter().chain(&plugin.aliases).collect()));
        let others: Vec<(&DistroId, Vec<&DistroId>)> = installed.chain(bundled).collect();
        for name in names {
            let active = others.iter().filter(|(other, _)| *other != id && !inventory.disabled.contains(other));
            if let Some((other, _)) = active.into_iter().find(|(_, names)| names.contains(&name)) {
                return Err(LibraryError::Duplicate { id: id.clone(), name: name.clone(), other: (*other).clone() });
            }
        }
        Ok(())
    }

    /// Replaces `current` in one step.
    pub(crate) fn put_in_force(
        &self,
        id: &DistroId,
        folder: &VersionFolder,
        earlier: &[VersionFolder],
    ) -> Result<(), LibraryError> {
        let path = self.library.plugin_dir(id).join(CURRENT);
        let earlier = earlier.iter().take(MAX_HISTORY.saturating_sub(1));
        let text: String = [folder].into_iter().chain(earlier).map(|folder| format!("{folder}\n")).collect();
        layout::replace(&path, text.as_bytes()).map_err(LibraryError::io(&path))
    }

    /// Writes `plugins.lock` anew: the last step of every change.
    pub(crate) fn finish(&self) -> Result<(), LibraryError> {
        let path = self.library.dir.join(LOCK);
        let text = PluginsLock::of(&self.library.inventory()?).to_toml()?;
        layout::replace(&path, text.as_bytes()).map_err(LibraryError::io(&path))
    }

    /// Takes a folder away in one step, then removes it.
    pub(crate) fn discard(&self, path: &Path) -> Result<(), LibraryError> {
        let staging = self.staging()?;
        fs::rename(path, staging.path().join("removed")).map_err(LibraryError::io(path))?;
        layout::sync_dir(&self.library.dir).map_err(LibraryError::io(&self.library.dir))?;
        staging.close().map_err(LibraryError::io(path))
    }

    /// Removes half-finished installs: whoever holds the lock knows that nobody works on them.
    fn sweep(&self) -> Result<(), LibraryError> {
        for name in layout::names(&self.library.dir)?.iter().filter(|name| name.starts_with(STAGING)) {
            let path = self.library.dir.join(name);
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(LibraryError::io(path)(error)),
                _ => tracing::info!(path = %path.display(), "Removed what an unfinished change of the plugins left"),
            }
        }
        Ok(())
    }
}

/// A plugin that came with Retrace: its names, for the check that no two plugins share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// Its id.
    pub id: DistroId,
    /// Further ids that it answers for.
    pub aliases: Vec<DistroId>,
}

/// Makes a folder that everybody may read and its owner alone may change.
pub(crate) fn make_dir(path: &Path) -> Result<(), LibraryError> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(LibraryError::io(path))
}
