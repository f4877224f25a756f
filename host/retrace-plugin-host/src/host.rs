use std::{
    fs,
    path::{Path, PathBuf},
};

use retrace_types::{Architecture, Debugger, DistroId, PackageId, PackageKind, Release, ReleaseGuess, RepositorySpec};

use crate::{
    Candidate, Limits, NamedPackage, Outcome, PackageRef, PluginError, PluginInfo, ReleaseEntry, ReleaseError,
    ReleaseSource, cache,
    engine::PluginEngine,
    plugin::{self, Plugin},
    select,
};

/// Where plugins are, and what they may cost.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// Folder with the plugins: every file in it that ends in `.wasm`. Folders in it are not read.
    pub plugin_dir: PathBuf,
    /// Folder for compiled plugins; made if it is missing. It must belong to this user alone, for what lies there is run
    /// as machine code. It can be removed at any time.
    pub cache_dir: PathBuf,
    /// What plugins may cost.
    pub limits: Limits,
}

/// The loaded plugins. Can be asked from many threads at once; each call gets an instance of its own, so no plugin
/// remembers anything.
pub struct PluginHost {
    plugins: Vec<Plugin>,
    failures: Vec<PluginError>,
    /// Keeps the engine's clock going: without it no call would ever end at its deadline.
    _engine: PluginEngine,
}

impl PluginHost {
    /// Loads every plugin of the folder, in the order of their names. The first load of a plugin compiles it (some 50 ms
    /// for one in Rust), later ones find it in the cache folder (less than 1 ms).
    ///
    /// A plugin that cannot be loaded is reported by [`failures`](Self::failures); the others serve.
    ///
    /// # Errors
    /// A folder cannot be used, or the engine cannot be started.
    pub fn load(options: &HostOptions) -> Result<Self, PluginError> {
        let files = plugin_files(&options.plugin_dir, options.limits.plugins)?;
        let engine = PluginEngine::new(&cache::prepare(&options.cache_dir)?, &options.limits)?;
        let linker = plugin::linker(&engine)?;
        let mut host = Self { plugins: Vec::new(), failures: Vec::new(), _engine: engine };
        for path in files {
            let loaded = Plugin::load(&host._engine, &linker, &path, &options.limits);
            match loaded.and_then(|plugin| host.without_rival(plugin)) {
                Ok(plugin) => host.plugins.push(plugin),
                Err(error) => host.failures.push(error),
            }
        }
        Ok(host)
    }

    /// The plugins that serve, in the order of their file names.
    pub fn plugins(&self) -> impl Iterator<Item = &PluginInfo> {
        self.plugins.iter().map(|plugin| &plugin.info)
    }

    /// Why the other files of the folder do not serve.
    #[must_use]
    pub fn failures(&self) -> &[PluginError] {
        &self.failures
    }

    /// The releases that the plugin for a distribution serves, newest first.
    ///
    /// # Errors
    /// No plugin serves the distribution, or the plugin failed.
    pub fn releases(&self, distro: &DistroId) -> Result<Vec<ReleaseEntry>, PluginError> {
        Ok(self.plugin(distro)?.releases()?)
    }

    /// The release of a distribution that has this version or, whatever the case of its letters, this code name.
    ///
    /// # Errors
    /// No plugin serves the distribution, it knows no such release, or it failed.
    pub fn release_by_version(&self, distro: &DistroId, version: &str) -> Result<Release, PluginError> {
        let plugin = self.plugin(distro)?;
        let releases: Vec<Release> = plugin.releases()?.into_iter().map(|entry| entry.release).collect();
        let has_version = |release: &&Release| release.id.version.as_str() == version;
        let has_codename =
            |release: &&Release| release.codename.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(version));
        let found = releases.iter().find(has_version).or_else(|| releases.iter().find(has_codename));
        found.cloned().ok_or_else(|| PluginError::NoRelease {
            distro: plugin.info.id.clone(),
            version: version.chars().take(64).collect(),
            known: joined(releases.iter().map(|release| release.id.version.to_string())),
        })
    }

    /// What every plugin says of a text that names the release of a machine.
    #[must_use]
    pub fn parse_release(&self, source: &ReleaseSource) -> Vec<Candidate> {
        self.ask_all(|plugin| plugin.parse_release(source))
    }

    /// The release that a text names.
    ///
    /// # Errors
    /// Those of [`pick`](crate::pick).
    pub fn pick_release(&self, source: &ReleaseSource) -> Result<Release, ReleaseError> {
        select::pick(&self.parse_release(source)).map(|claim| claim.release)
    }

    /// What every plugin says of a package.
    #[must_use]
    pub fn guess_release(&self, subject: &PackageRef) -> Vec<Candidate> {
        self.ask_all(|plugin| plugin.guess_release(subject))
    }

    /// The release that a package was built for, guessed from its name.
    ///
    /// # Errors
    /// Those of [`pick`](crate::pick).
    pub fn pick_guess(&self, subject: &PackageRef) -> Result<ReleaseGuess, ReleaseError> {
        let claim = select::pick(&self.guess_release(subject))?;
        Ok(ReleaseGuess { release: claim.release, confidence: claim.confidence, reason: claim.reason })
    }

    /// The repositories of a release, those with programs and libraries first; never empty. Variables are replaced.
    ///
    /// # Errors
    /// No plugin serves the distribution, the plugin does not serve the release or the architecture, or it failed.
    pub fn repositories(
        &self,
        release: &Release,
        architecture: Architecture,
    ) -> Result<Vec<RepositorySpec>, PluginError> {
        self.plugin(&release.id.distro)?.repositories(release, architecture)
    }

    /// The debugger for cores of a release; `None`: the host's.
    ///
    /// # Errors
    /// No plugin serves the distribution, the plugin does not serve the release or the architecture, or it failed.
    pub fn debugger_for(&self, release: &Release, architecture: Architecture) -> Result<Option<Debugger>, PluginError> {
        self.plugin(&release.id.distro)?.debugger_for(release, architecture)
    }

    /// Debug packages of a binary package, best first: candidates by name, which need not exist.
    ///
    /// # Errors
    /// No plugin serves the distribution, the plugin cannot read the package, or it failed.
    pub fn debug_packages(&self, distro: &DistroId, package: &PackageId) -> Result<Vec<NamedPackage>, PluginError> {
        self.plugin(distro)?.debug_packages(package)
    }

    /// Reads names of package files: one answer for each name, in order; `None`: no package file of this distribution.
    ///
    /// # Errors
    /// No plugin serves the distribution, or the plugin failed.
    pub fn parse_file_names(
        &self,
        distro: &DistroId,
        names: &[String],
    ) -> Result<Vec<Option<NamedPackage>>, PluginError> {
        self.plugin(distro)?.parse_file_names(names)
    }

    /// The usual file name of a package.
    ///
    /// # Errors
    /// No plugin serves the distribution, the format has no name for such a package, or the plugin failed.
    pub fn format_file_name(
        &self,
        distro: &DistroId,
        package: &PackageId,
        kind: &PackageKind,
    ) -> Result<String, PluginError> {
        self.plugin(distro)?.format_file_name(package, kind)
    }

    fn plugin(&self, distro: &DistroId) -> Result<&Plugin, PluginError> {
        self.plugins.iter().find(|plugin| plugin.serves(distro)).ok_or_else(|| PluginError::NoPlugin {
            id: distro.clone(),
            installed: joined(self.plugins().map(|info| info.id.to_string())),
        })
    }

    fn ask_all(&self, ask: impl Fn(&Plugin) -> Outcome) -> Vec<Candidate> {
        let candidate = |plugin: &Plugin| Candidate { plugin: plugin.info.id.clone(), outcome: ask(plugin) };
        self.plugins.iter().map(candidate).collect()
    }

    /// Gives the plugin back unless one that is loaded serves one of its distributions.
    fn without_rival(&self, plugin: Plugin) -> Result<Plugin, PluginError> {
        for id in plugin.info.aliases.iter().chain([&plugin.info.id]) {
            if let Some(first) = self.plugins.iter().find(|loaded| loaded.serves(id)) {
                let (first, second) = (first.info.path.clone(), plugin.info.path.clone());
                return Err(PluginError::Duplicate { id: id.clone(), first, second });
            }
        }
        Ok(plugin)
    }
}

/// The files of the folder that end in `.wasm`, sorted; hidden ones, which may be half written, are left out.
fn plugin_files(dir: &Path, limit: usize) -> Result<Vec<PathBuf>, PluginError> {
    let failed = |source| PluginError::Folder { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "wasm") && !is_hidden {
            files.push(path);
        }
        if files.len() > limit {
            return Err(PluginError::TooManyPlugins { path: dir.to_owned(), limit });
        }
    }
    files.sort();
    Ok(files)
}

fn joined(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
