//! What is installed, and which of it is to be loaded.

use std::{collections::BTreeSet, path::PathBuf};

use retrace_types::{DistroId, Sha256};
use sha2::Digest as _;

use super::{
    InstallRecord, Library, LibraryError, Refusal, Submission, VersionFolder,
    layout::{self, CURRENT, DISABLED, METADATA, RECORD, RELOAD, SIGNATURE, WASM},
};

/// What the library holds at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The plugins in force, by id: to be loaded, through [`Installed::read`], unless their id is in
    /// [`disabled`](Self::disabled). No two that are not disabled share an id or an alias.
    pub plugins: Vec<Installed>,
    /// Ids that the operator switched off. A bundled plugin with such an id is not loaded either.
    pub disabled: BTreeSet<DistroId>,
    /// What is there and must not be loaded, with the reason.
    pub refused: Vec<Refused>,
}

/// A plugin in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// What was found out when it was installed.
    pub record: InstallRecord,
    /// Its folder's name.
    pub folder: VersionFolder,
    /// Path of `plugin.wasm`.
    pub path: PathBuf,
    /// Folders of versions that were in force before, the last one first: where `rollback` goes.
    pub earlier: Vec<VersionFolder>,
}

/// A plugin that must not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its id.
    pub id: DistroId,
    /// The version, where that is known.
    pub version: Option<String>,
    /// Why.
    pub reason: Refusal,
}

/// Tells one state of the library from another: equal marks, equal state. A digest of which versions are in force, what
/// is disabled, and how often a reload was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(Sha256);

impl Installed {
    /// The bytes of the plugin, after their digest was compared with the record. What is compiled must be these bytes and
    /// not the file read again.
    ///
    /// # Errors
    /// [`Refusal::Unreadable`] or [`Refusal::Changed`].
    pub fn read(&self) -> Result<Vec<u8>, Refusal> {
        let bytes = layout::read_file(&self.path, self.record.size_bytes)
            .map_err(|error| Refusal::Unreadable(error.to_string()))?;
        let found = digest(&bytes);
        let installed = self.record.sha256;
        if found == installed { Ok(bytes) } else { Err(Refusal::Changed { found, installed }) }
    }

    /// The detached signature that it came with.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn signature(&self) -> Result<Option<Vec<u8>>, LibraryError> {
        let path = self.path.with_file_name(SIGNATURE);
        layout::read_text(&path).map(|text| text.map(String::into_bytes)).map_err(LibraryError::io(path))
    }
}

impl Library {
    /// Reads what is installed. Takes a few small files per plugin and no lock: each `current` is replaced in one step,
    /// and no folder of a version changes after it got its name.
    ///
    /// # Errors
    /// The folder cannot be read, or others can write to it. A single plugin that is damaged is in
    /// [`Inventory::refused`] instead.
    pub fn inventory(&self) -> Result<Inventory, LibraryError> {
        let mut inventory = Inventory::default();
        for id in self.ids()? {
            let dir = self.plugin_dir(&id);
            let disabled = dir.join(DISABLED).exists();
            if disabled {
                inventory.disabled.insert(id.clone());
            }
            match self.installed(&id) {
                Ok(None) => {}
                Ok(Some(plugin)) => match inventory.rival(&plugin) {
                    Some((name, other)) if !disabled => {
                        let (version, reason) = (plugin.record.version, Refusal::Duplicate { name, other });
                        inventory.refused.push(Refused { id, version: Some(version), reason });
                    }
                    _ => inventory.plugins.push(plugin),
                },
                Err(reason) => inventory.refused.push(Refused { id, version: None, reason }),
            }
        }
        Ok(inventory)
    }

    /// A mark of the present state, for whoever wants to know whether it changed: cheap enough for a look every second.
    ///
    /// # Errors
    /// As [`inventory`](Self::inventory).
    pub fn mark(&self) -> Result<Mark, LibraryError> {
        let mut hash = sha2::Sha256::new();
        let mut part = |text: &str| {
            hash.update(text.as_bytes());
            hash.update([0]);
        };
        let text = |path: PathBuf| layout::read_text(&path).map_err(LibraryError::io(path));
        for id in self.ids()? {
            let dir = self.plugin_dir(&id);
            part(id.as_str());
            part(&text(dir.join(CURRENT))?.unwrap_or_default());
            part(if dir.join(DISABLED).exists() { "disabled" } else { "" });
        }
        part(&text(self.dir.join(RELOAD))?.unwrap_or_default());
        Ok(Mark(Sha256::from_bytes(hash.finalize().into())))
    }

    /// Whether a version of the plugin is installed, in force or not, loadable or not.
    #[must_use]
    pub fn contains(&self, id: &DistroId) -> bool {
        self.versions(id).is_ok_and(|versions| !versions.is_empty())
    }

    /// The plugin in force as it was handed in, and its record; none if it is not installed.
    ///
    /// # Errors
    /// [`LibraryError::Damaged`] if it was changed since, or it cannot be read.
    pub fn submission(&self, id: &DistroId) -> Result<Option<(Submission, InstallRecord)>, LibraryError> {
        let damaged = |version: String| {
            let id = id.clone();
            move |reason| LibraryError::Damaged { id, version, reason }
        };
        let Some(plugin) = self.installed(id).map_err(damaged("in force".to_owned()))? else { return Ok(None) };
        let metadata = plugin.path.with_file_name(METADATA);
        let submission = Submission {
            wasm: plugin.read().map_err(damaged(plugin.record.version.clone()))?,
            signature: plugin.signature()?,
            metadata: layout::read_text(&metadata).map_err(LibraryError::io(&metadata))?,
            path: plugin.path,
        };
        Ok(Some((submission, plugin.record)))
    }

    /// Ids that have a folder, sorted.
    pub(crate) fn ids(&self) -> Result<Vec<DistroId>, LibraryError> {
        if !self.check_owner()? {
            return Ok(Vec::new());
        }
        let ids = layout::names(&self.dir)?.into_iter().filter_map(|name| name.parse::<DistroId>().ok());
        Ok(ids.filter(|id| layout::is_real_dir(&self.plugin_dir(id))).collect())
    }

    /// The version in force of one plugin; none if no version of it is installed.
    pub(crate) fn installed(&self, id: &DistroId) -> Result<Option<Installed>, Refusal> {
        let Some((folder, earlier)) = self.current(id)? else {
            return match self.versions(id).map_err(|error| Refusal::NoCurrent(error.to_string()))?.is_empty() {
                true => Ok(None),
                false => Err(Refusal::NoCurrent("the file `current` is missing".to_owned())),
            };
        };
        self.version(id, &folder).map(|mut plugin| {
            plugin.earlier = earlier;
            Some(plugin)
        })
    }

    /// One installed version, whether in force or not.
    pub(crate) fn version(&self, id: &DistroId, folder: &VersionFolder) -> Result<Installed, Refusal> {
        let dir = self.version_dir(id, folder);
        if !layout::is_real_dir(&dir) {
            return Err(Refusal::NoCurrent(format!("there is no version {folder}")));
        }
        let text = layout::read_text(&dir.join(RECORD)).map_err(|error| Refusal::Record(error.to_string()))?;
        let text = text.ok_or_else(|| Refusal::Record("there is none".to_owned()))?;
        let record = InstallRecord::parse(&text).map_err(Refusal::Record)?;
        if record.id != *id {
            return Err(Refusal::Record(format!("it is that of {}", record.id)));
        }
        Ok(Installed { record, folder: folder.clone(), path: dir.join(WASM), earlier: Vec::new() })
    }

    /// Folders of versions that are complete, sorted by name.
    pub(crate) fn versions(&self, id: &DistroId) -> Result<Vec<VersionFolder>, LibraryError> {
        let names = layout::names(&self.plugin_dir(id))?;
        let folders = names.iter().filter_map(|name| VersionFolder::parse(name));
        Ok(folders.filter(|folder| layout::is_real_dir(&self.version_dir(id, folder))).collect())
    }

    /// What `current` says: the folder in force, and those before. None if there is no such file.
    pub(crate) fn current(&self, id: &DistroId) -> Result<Option<(VersionFolder, Vec<VersionFolder>)>, Refusal> {
        let path = self.plugin_dir(id).join(CURRENT);
        let text = layout::read_text(&path).map_err(|error| Refusal::NoCurrent(error.to_string()))?;
        let Some(text) = text else { return Ok(None) };
        let mut folders = text.lines().map(VersionFolder::parse);
        let current = folders.next().flatten();
        let current = current.ok_or_else(|| Refusal::NoCurrent("the file `current` is damaged".to_owned()))?;
        Ok(Some((current, folders.flatten().collect())))
    }
}

impl Inventory {
    /// A plugin that is not disabled and has one of the names of this one.
    fn rival(&self, plugin: &Installed) -> Option<(DistroId, DistroId)> {
        let active = self.plugins.iter().filter(|known| !self.disabled.contains(&known.record.id));
        active.flat_map(|known| known.record.names().map(move |name| (name, &known.record.id))).find_map(
            |(name, other)| plugin.record.names().any(|own| own == name).then(|| (name.clone(), other.clone())),
        )
    }
}

pub(crate) fn digest(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into())
}
