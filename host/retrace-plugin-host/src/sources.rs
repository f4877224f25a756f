//! Where plugins come from: the folder of those that come with Retrace, and the library of installed ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use retrace_types::DistroId;

use crate::{
    Fault, HostOptions, Limits, Origin, Plugin, PluginError,
    files::{self, Stamp},
    library::{Installed, Library, Mark},
};

/// Names a plugin across its versions. Installed ones come first in the order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// By the id that it was installed under.
    Installed(DistroId),
    /// By its file in the folder.
    File(PathBuf),
}

/// One version of one plugin. Equal sources have equal content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) origin: Origin,
    stamp: Stamp,
    installed: Option<Box<Installed>>,
}

impl Source {
    /// Its bytes. Those of an installed plugin are compared with what was installed.
    pub(crate) fn read(&self, limits: &Limits) -> Result<Vec<u8>, PluginError> {
        match &self.installed {
            None => files::read(&self.path, limits),
            Some(installed) => installed
                .read()
                .map_err(|reason| PluginError::Installed { id: installed.record.id.clone(), source: reason }),
        }
    }

    /// A plugin must be what it was when it was installed.
    pub(crate) fn check_id(&self, plugin: &Plugin) -> Result<(), PluginError> {
        match &self.installed {
            Some(installed) if installed.record.id != plugin.info().id => Err(PluginError::OtherId {
                installed: installed.record.id.clone(),
                found: plugin.info().id.clone(),
                path: self.path.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// What there is at one moment.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) sources: BTreeMap<Key, Source>,
    pub(crate) faults: Vec<Fault>,
    /// Changes when the operator asks for a reload.
    pub(crate) mark: Option<Mark>,
}

pub(crate) struct Sources {
    dir: PathBuf,
    limit: usize,
    library: Option<Library>,
    disabled: Mutex<BTreeSet<DistroId>>,
}

impl Sources {
    pub(crate) fn new(options: &HostOptions) -> Self {
        Self {
            dir: options.plugin_dir.clone(),
            limit: options.limits.plugins,
            library: options.library_dir.clone().map(Library::new),
            disabled: Mutex::default(),
        }
    }

    pub(crate) fn find(&self) -> Result<Found, PluginError> {
        let mut found = Found::default();
        for path in files::plugin_files(&self.dir, self.limit)? {
            let source =
                Source { stamp: files::stamp(&path), path: path.clone(), origin: Origin::Bundled, installed: None };
            found.sources.insert(Key::File(path), source);
        }
        let Some(library) = &self.library else { return Ok(found) };
        // The mark first: a change in between is then seen the next time.
        let unreadable = |source| PluginError::Library { source: Box::new(source) };
        found.mark = Some(library.mark().map_err(unreadable)?);
        let inventory = library.inventory().map_err(unreadable)?;
        for installed in inventory.plugins {
            let id = installed.record.id.clone();
            if inventory.disabled.contains(&id) {
                continue;
            }
            let origin =
                Origin::Installed { unsigned: installed.record.unsigned, development: installed.record.development };
            let path = installed.path.clone();
            let source = Source { stamp: files::stamp(&path), path, origin, installed: Some(Box::new(installed)) };
            found.sources.insert(Key::Installed(id), source);
        }
        for refused in inventory.refused {
            let path = library.dir().join(refused.id.as_str());
            let error = PluginError::Installed { id: refused.id, source: refused.reason };
            found.faults.push(Fault { path, error: Arc::new(error), kept: None });
        }
        *self.disabled.lock().unwrap_or_else(PoisonError::into_inner) = inventory.disabled;
        Ok(found)
    }

    /// Whether the operator switched plugins with this id off, wherever they come from.
    pub(crate) fn is_disabled(&self, id: &DistroId) -> bool {
        self.disabled.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}
