//! What a host that serves tells the commands of an operator: one small file for each process.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use retrace_types::{DistroId, Sha256};
use serde::{Deserialize, Serialize};

use crate::{PluginHost, host::chain};

/// Folder of the files below the cache folder.
const FOLDER: &str = "status";

/// Most bytes of such a file.
const MAX_BYTES: u64 = 4 << 20;

/// State of the plugins in one process that serves: a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// The process.
    pub pid: u32,
    /// Seconds since 1970, when this was written.
    pub written_at: u64,
    /// How often the set of plugins changed.
    pub generation: u64,
    /// Changed files that were refused while the version before went on serving.
    pub refused_updates: u64,
    /// The plugins that serve.
    pub plugins: Vec<PluginStatus>,
    /// The files that do not serve.
    pub faults: Vec<FaultStatus>,
    /// Files that are still being compiled.
    pub warming: Vec<PathBuf>,
}

/// State of one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// The plugin.
    pub id: DistroId,
    /// Its version.
    pub version: String,
    /// Its digest.
    pub sha256: Sha256,
    /// Calls so far.
    pub calls: u64,
    /// Calls that failed by a defect of the plugin.
    pub failures: u64,
    /// How often it failed so often that it was left alone for a while.
    pub trips: u64,
    /// Seconds since 1970 until which it is left alone; none if it is asked.
    pub degraded_until: Option<u64>,
}

/// A file that does not serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultStatus {
    /// The file.
    pub path: PathBuf,
    /// Why, and what to do.
    pub reason: String,
    /// The version that goes on serving in its place.
    pub kept_version: Option<String>,
}

impl HostStatus {
    /// The state of a host in this process.
    #[must_use]
    pub fn of(host: &PluginHost) -> Self {
        let registry = host.registry();
        let now = seconds_since_1970();
        let plugin = |plugin: &std::sync::Arc<crate::Plugin>| {
            let (info, counts) = (plugin.info(), plugin.counts());
            PluginStatus {
                id: info.id.clone(),
                version: info.version.clone(),
                sha256: info.sha256,
                calls: counts.calls,
                failures: counts.failures,
                trips: counts.trips,
                degraded_until: counts.degraded_for.map(|left| now.saturating_add(left.as_secs()).saturating_add(1)),
            }
        };
        let fault = |fault: &crate::Fault| FaultStatus {
            path: fault.path.clone(),
            reason: chain(&*fault.error),
            kept_version: fault.kept.as_ref().map(|kept| kept.version.clone()),
        };
        Self {
            pid: std::process::id(),
            written_at: now,
            generation: registry.generation(),
            refused_updates: host.refused_updates(),
            plugins: registry.plugins().map(plugin).collect(),
            faults: registry.faults().iter().map(fault).collect(),
            warming: registry.warming().to_vec(),
        }
    }

    /// Writes it below the cache folder of the host, in one step.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, cache_dir: &Path) -> io::Result<()> {
        let dir = cache_dir.join(FOLDER);
        fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{}.json", self.pid));
        let part = dir.join(format!("{}.part", self.pid));
        fs::write(&part, serde_json::to_vec(self)?)?;
        fs::rename(part, path)
    }

    /// Removes it, at the end of the process.
    pub fn remove(cache_dir: &Path) {
        let _ = fs::remove_file(cache_dir.join(FOLDER).join(format!("{}.json", std::process::id())));
    }

    /// What the processes that live left below this cache folder, by process number. Files of dead ones are removed.
    ///
    /// # Errors
    /// What the system says; no folder is no error.
    pub fn read_all(cache_dir: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(cache_dir.join(FOLDER)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let pid = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u32>().ok());
            let Some(pid) = pid else { continue };
            if !Path::new("/proc").join(pid.to_string()).is_dir() {
                let _ = fs::remove_file(&path); // another command may have been faster
                continue;
            }
            let is_small = fs::metadata(&path).is_ok_and(|data| data.len() <= MAX_BYTES);
            let status = is_small.then(|| fs::read(&path).ok()).flatten();
            all.extend(status.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok()));
        }
        all.sort_by_key(|status| status.pid);
        Ok(all)
    }
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
