use std::{path::PathBuf, sync::Arc};

use retrace_types::{Architecture, Debugger, DistroId, PackageId, PackageKind, Release, RepositorySpec};

use crate::{
    Candidate, KernelFiles, NamedPackage, Outcome, PackageRef, Plugin, PluginError, PluginInfo, ReleaseEntry,
    ReleaseSource, Selection, Session, select::select,
};

/// The plugins that serve at one moment. Never changes: whoever holds it is answered by the same versions to the end, while
/// a reload puts another one in its place for those who ask later.
#[derive(Default)]
pub struct Registry {
    pub(crate) plugins: Vec<Arc<Plugin>>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) warming: Vec<PathBuf>,
    pub(crate) replaced: Vec<PluginInfo>,
    /// Decides between plugins whose claims are equally sure: the first one listed wins.
    pub(crate) priority: Vec<DistroId>,
    pub(crate) generation: u64,
}

/// A plugin file that does not serve.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// Why, and what to do.
    pub error: Arc<PluginError>,
    /// The version that goes on serving in its place.
    pub kept: Option<PluginInfo>,
}

impl Registry {
    /// The plugins that serve, the installed ones first.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.iter()
    }

    /// The files that do not serve.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The files that are still being compiled and will serve.
    #[must_use]
    pub fn warming(&self) -> &[PathBuf] {
        &self.warming
    }

    /// Plugins of the folder that an installed one with the same id replaces.
    #[must_use]
    pub fn replaced(&self) -> &[PluginInfo] {
        &self.replaced
    }

    /// Counts the changes of the registry since the host was opened.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The plugin for a distribution, by id or alias.
    ///
    /// # Errors
    /// [`PluginError::NoPlugin`].
    pub fn plugin(&self, distro: &DistroId) -> Result<&Arc<Plugin>, PluginError> {
        self.plugins.iter().find(|plugin| plugin.serves(distro)).ok_or_else(|| PluginError::NoPlugin {
            id: distro.clone(),
            installed: joined(self.plugins.iter().map(|plugin| plugin.info().id.to_string())),
        })
    }

    /// The releases that the plugin for a distribution serves, newest first.
    ///
    /// # Errors
    /// No plugin serves the distribution, or the plugin failed.
    pub fn releases(&self, distro: &DistroId) -> Result<Vec<ReleaseEntry>, PluginError> {
        self.session(distro)?.releases()
    }

    /// The release of a distribution that has this version or, whatever the case of its letters, this code name.
    ///
    /// # Errors
    /// No plugin serves the distribution, it knows no such release, or it failed.
    pub fn release_by_version(&self, distro: &DistroId, version: &str) -> Result<Release, PluginError> {
        let plugin = self.plugin(distro)?;
        let releases: Vec<Release> = plugin.session().releases()?.into_iter().map(|entry| entry.release).collect();
        let has_version = |release: &&Release| release.id.version.as_str() == version;
        let has_codename =
            |release: &&Release| release.codename.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(version));
        // One plugin may serve several distributions that share a version: Leap 15.6, SLES 15.6.
        let of = |own: bool| releases.iter().filter(move |release| !own || release.id.distro == *distro);
        let find = |own: bool| of(own).find(has_version).or_else(|| of(own).find(has_codename));
        let found = find(true).or_else(|| find(false));
        found.cloned().ok_or_else(|| PluginError::NoRelease {
            distro: plugin.info().id.clone(),
            version: version.chars().take(64).collect(),
            known: joined(releases.iter().map(|release| release.id.version.to_string())),
        })
    }

    /// Asks every plugin which release a text names, and decides.
    #[must_use]
    pub fn select_by_text(&self, source: &ReleaseSource) -> Selection {
        self.select(|session| session.claim_of_text(source))
    }

    /// Asks every plugin which release a package was built for, and decides.
    #[must_use]
    pub fn select_by_package(&self, subject: &PackageRef) -> Selection {
        self.select(|session| session.claim_of_package(subject))
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
        self.session(&release.id.distro)?.repositories(release, architecture)
    }

    /// The debugger for cores of a release; `None`: the host's.
    ///
    /// # Errors
    /// No plugin serves the distribution, the plugin does not serve the release or the architecture, or it failed.
    pub fn debugger_for(&self, release: &Release, architecture: Architecture) -> Result<Option<Debugger>, PluginError> {
        self.session(&release.id.distro)?.debugger_for(release, architecture)
    }

    /// Debug packages of a binary package, best first: candidates by name, which need not exist.
    ///
    /// # Errors
    /// No plugin serves the distribution, the plugin cannot read the package, or it failed.
    pub fn debug_packages(&self, distro: &DistroId, package: &PackageId) -> Result<Vec<NamedPackage>, PluginError> {
        self.session(distro)?.debug_packages(package)
    }

    /// Reads names of package files: one answer for each name, in order; `None`: no package file of this distribution.
    /// [`Plugin::job`] is cheaper for many lists.
    ///
    /// # Errors
    /// No plugin serves the distribution, or the plugin failed.
    pub fn parse_file_names(
        &self,
        distro: &DistroId,
        names: &[String],
    ) -> Result<Vec<Option<NamedPackage>>, PluginError> {
        self.session(distro)?.parse_file_names(names)
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
        self.session(distro)?.format_file_name(package, kind)
    }

    /// What the debugger of kernel dumps needs; `None`: not a kernel of the distribution, or its plugin knows no kernels.
    ///
    /// # Errors
    /// No plugin serves the distribution, or the plugin failed.
    pub fn kernel_for(
        &self,
        distro: &DistroId,
        version: &str,
        architecture: Architecture,
    ) -> Result<Option<KernelFiles>, PluginError> {
        self.session(distro)?.kernel_for(version, architecture)
    }

    /// Names of packages that an environment of a release needs beside the wanted ones.
    ///
    /// # Errors
    /// No plugin serves the distribution, or the plugin failed.
    pub fn extra_packages(
        &self,
        release: &Release,
        architecture: Architecture,
        wanted: &[String],
    ) -> Result<Vec<String>, PluginError> {
        self.session(&release.id.distro)?.extra_packages(release, architecture, wanted)
    }

    fn session(&self, distro: &DistroId) -> Result<Session, PluginError> {
        self.plugin(distro).map(Plugin::session)
    }

    fn select(&self, ask: impl Fn(&mut Session) -> Outcome) -> Selection {
        let candidate = |plugin: &Arc<Plugin>| Candidate {
            plugin: plugin.info().id.clone(),
            version: plugin.info().version.clone(),
            sha256: plugin.info().sha256,
            outcome: ask(&mut plugin.session()),
        };
        select(self.plugins.iter().map(candidate).collect(), &self.priority)
    }
}

fn joined(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
