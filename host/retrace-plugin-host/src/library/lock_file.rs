use retrace_types::{DistroId, Sha256};
use serde::{Deserialize, Serialize};

use super::{InstallRecord, Inventory, LibraryError};

/// `plugins.lock`: which plugins are in force, to the byte. Written by every change; kept under version control, it makes
/// another machine install the same ones (`retrace plugin install --lock plugins.lock`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginsLock {
    /// Version of the format: 1.
    pub schema: u32,
    /// The plugins, by id.
    #[serde(default, rename = "plugin")]
    pub plugins: Vec<LockedPlugin>,
}

/// One plugin of `plugins.lock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPlugin {
    /// Its id.
    pub id: DistroId,
    /// Its version.
    pub version: String,
    /// Digest of its file.
    pub sha256: Sha256,
    /// Fingerprint of its signer; none for one that was installed unsigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

const SCHEMA: u32 = 1;

impl PluginsLock {
    /// The plugins that are in force.
    #[must_use]
    pub fn of(inventory: &Inventory) -> Self {
        let plugins = inventory.plugins.iter().map(|plugin| LockedPlugin::of(&plugin.record)).collect();
        Self { schema: SCHEMA, plugins }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// [`LibraryError::BadLock`].
    pub fn parse(text: &str) -> Result<Self, LibraryError> {
        let lock: Self = toml::from_str(text).map_err(|error| LibraryError::BadLock(error.message().to_owned()))?;
        if lock.schema != SCHEMA {
            return Err(LibraryError::BadLock(format!("its format {} is not known", lock.schema)));
        }
        Ok(lock)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Never in practice: the values are plain.
    pub fn to_toml(&self) -> Result<String, LibraryError> {
        let text = toml::to_string(self).map_err(|error| LibraryError::Toml(error.to_string()))?;
        Ok(format!("# Written by `retrace plugin`: the plugins in force, to the byte.\n{text}"))
    }

    /// Checks that a plugin is the one that the file names.
    ///
    /// # Errors
    /// [`LibraryError::NotLocked`].
    pub fn check(&self, record: &InstallRecord) -> Result<(), LibraryError> {
        let found = LockedPlugin::of(record);
        let why = match self.plugins.iter().find(|plugin| plugin.id == record.id) {
            Some(wanted) if *wanted == found => return Ok(()),
            Some(wanted) if wanted.version != found.version => format!("it names version {}", wanted.version),
            Some(wanted) if wanted.sha256 != found.sha256 => format!("it names SHA-256 {}", wanted.sha256),
            Some(wanted) => format!("it names signer {}", wanted.signer.as_deref().unwrap_or("none")),
            None => "it does not name it".to_owned(),
        };
        Err(LibraryError::NotLocked { id: record.id.clone(), version: record.version.clone(), why })
    }
}

impl LockedPlugin {
    fn of(record: &InstallRecord) -> Self {
        Self {
            id: record.id.clone(),
            version: record.version.clone(),
            sha256: record.sha256,
            signer: record.signer.as_ref().map(|signer| signer.fingerprint.clone()),
        }
    }
}
