//! The functions of the contract, one by one, on one plugin.

use std::sync::Arc;

use retrace_types::{Architecture, Confidence, Debugger, PackageId, PackageKind, Release, RepositorySpec};
use serde_json::Value;
use wasmtime::Store;

use crate::{
    CallReport, Claim, FailureKind, Function, KernelFiles, NamedPackage, Outcome, PackageRef, Plugin, PluginError,
    ReleaseEntry, ReleaseSource,
    bindings::retrace::distro::types,
    convert::{self, Context},
    guest::{Exports, Instances},
    input,
    state::CallState,
};

/// Questions to one plugin, answered by [fresh instances](Plugin::session) or by [one](Plugin::job). Each answer is checked
/// against the contract; one value that breaks a rule drops it.
pub struct Session {
    plugin: Arc<Plugin>,
    instances: Instances,
}

impl Session {
    pub(crate) fn new(plugin: Arc<Plugin>, instances: Instances) -> Self {
        Self { plugin, instances }
    }

    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Calls a function by JSON, as [`Guest::call`](crate::Guest::call) does, in this session's instance. The answer is not
    /// checked, and a failure counts for nothing.
    #[must_use]
    pub fn call(&mut self, function: Function, input: &Value) -> CallReport {
        self.instances.call(self.plugin.guest(), function, input)
    }

    /// The releases that the plugin serves, newest first.
    ///
    /// # Errors
    /// The plugin failed, or is left alone.
    pub fn releases(&mut self) -> Result<Vec<ReleaseEntry>, PluginError> {
        let plugin = Arc::clone(&self.plugin);
        let call =
            |exports: &Exports, store: &mut Store<CallState>| exports.distribution().call_releases(store).map(Ok);
        self.ask(Function::Releases, input::nothing, call, |answer| convert::releases(answer, &plugin.owner()))
    }

    /// The release that a text names; `None`: not this distribution.
    ///
    /// # Errors
    /// The plugin knows the distribution but cannot read the text or does not serve the release; or it failed, or is left
    /// alone.
    pub fn parse_release(&mut self, source: &ReleaseSource) -> Result<Option<Release>, PluginError> {
        let plugin = Arc::clone(&self.plugin);
        let wit = convert::source_to_wit(source);
        self.ask(
            Function::ParseRelease,
            || input::release_source(&wit),
            |exports, store| exports.distribution().call_parse_release(store, &wit),
            |release| release.map(|release| convert::release("release", release, &plugin.owner())).transpose(),
        )
    }

    /// The release that a package was built for; `None`: nothing points at this distribution.
    ///
    /// # Errors
    /// As [`Session::parse_release`].
    pub fn guess_release(&mut self, subject: &PackageRef) -> Result<Option<Claim>, PluginError> {
        let plugin = Arc::clone(&self.plugin);
        let wit = convert::package_ref_to_wit(subject);
        self.ask(
            Function::GuessRelease,
            || input::package_ref(&wit),
            |exports, store| exports.distribution().call_guess_release(store, &wit),
            |guess| guess.map(|guess| convert::guess(guess, &plugin.owner())).transpose(),
        )
    }

    /// The repositories of a release, those with programs and libraries first; never empty. Variables are replaced.
    ///
    /// # Errors
    /// The plugin does not serve the release or the architecture; or it failed, or is left alone.
    pub fn repositories(
        &mut self,
        release: &Release,
        architecture: Architecture,
    ) -> Result<Vec<RepositorySpec>, PluginError> {
        let plugin = Arc::clone(&self.plugin);
        let (wit, name) = (convert::release_to_wit(release), architecture.to_string());
        let context = Context { owner: plugin.owner(), release, architecture };
        self.ask(
            Function::Repositories,
            || input::release_and_arch(&wit, &name),
            |exports, store| exports.distribution().call_repositories(store, &wit, &name),
            |specs| convert::repositories(specs, &context),
        )
    }

    /// The debugger for cores of a release; `None`: the host's.
    ///
    /// # Errors
    /// As [`Session::repositories`].
    pub fn debugger_for(
        &mut self,
        release: &Release,
        architecture: Architecture,
    ) -> Result<Option<Debugger>, PluginError> {
        let (wit, name) = (convert::release_to_wit(release), architecture.to_string());
        self.ask(
            Function::DebuggerFor,
            || input::release_and_arch(&wit, &name),
            |exports, store| exports.distribution().call_debugger_for(store, &wit, &name),
            |debugger| debugger.map(convert::debugger).transpose(),
        )
    }

    /// Reads names of package files: one answer for each name, in order; `None`: no package file of this distribution. A
    /// long list is asked in parts of [`Limits::batch`](crate::Limits::batch).
    ///
    /// # Errors
    /// The plugin cannot answer or failed, or is left alone.
    pub fn parse_file_names(&mut self, names: &[String]) -> Result<Vec<Option<NamedPackage>>, PluginError> {
        let batch = self.plugin.guest().limits().batch.max(1);
        let mut packages = Vec::with_capacity(names.len());
        for batch in names.chunks(batch) {
            packages.extend(self.ask(
                Function::ParseFileNames,
                || input::names(batch),
                |exports, store| exports.distribution().call_parse_file_names(store, batch),
                |ids| convert::file_names(ids, batch.len()),
            )?);
        }
        Ok(packages)
    }

    /// The usual file name of a package.
    ///
    /// # Errors
    /// The format has no name for such a package; or the plugin failed, or is left alone.
    pub fn format_file_name(&mut self, id: &PackageId, kind: &PackageKind) -> Result<String, PluginError> {
        let wit = convert::package_to_wit(id, kind);
        self.ask(
            Function::FormatFileName,
            || input::package(&wit),
            |exports, store| exports.distribution().call_format_file_name(store, &wit),
            convert::file_name,
        )
    }

    /// Debug packages of a binary package, best first: candidates by name, which need not exist.
    ///
    /// # Errors
    /// The plugin cannot read the package; or it failed, or is left alone.
    pub fn debug_packages(&mut self, id: &PackageId) -> Result<Vec<NamedPackage>, PluginError> {
        let wit = convert::package_to_wit(id, &PackageKind::Binary);
        self.ask(
            Function::DebugPackages,
            || input::package(&wit),
            |exports, store| exports.distribution().call_debug_packages(store, &wit),
            |ids| convert::packages("packages", ids),
        )
    }

    /// What the debugger of kernel dumps needs, for a kernel as `uname -r` names it; `None`: not a kernel of this
    /// distribution, or the plugin does not export this optional function.
    ///
    /// # Errors
    /// The plugin cannot answer or failed, or is left alone.
    pub fn kernel_for(
        &mut self,
        version: &str,
        architecture: Architecture,
    ) -> Result<Option<KernelFiles>, PluginError> {
        let (version, name) = (convert::cut_name(version), architecture.to_string());
        if !self.plugin.guest().exports(Function::KernelFor) {
            return Ok(None);
        }
        self.ask(
            Function::KernelFor,
            || input::version_and_arch(&version, &name),
            |exports, store| match &exports.kernel {
                Some(kernel) => kernel.retrace_distro_kernel().call_kernel_for(store, &version, &name),
                None => Ok(Ok(None)),
            },
            |files| files.map(convert::kernel_files).transpose(),
        )
    }

    /// Names of packages that an environment needs beside the wanted ones; empty if the plugin does not export this
    /// optional function.
    ///
    /// # Errors
    /// The plugin cannot answer or failed, or is left alone.
    pub fn extra_packages(
        &mut self,
        release: &Release,
        architecture: Architecture,
        wanted: &[String],
    ) -> Result<Vec<String>, PluginError> {
        let (wit, name) = (convert::release_to_wit(release), architecture.to_string());
        if !self.plugin.guest().exports(Function::ExtraPackages) {
            return Ok(Vec::new());
        }
        self.ask(
            Function::ExtraPackages,
            || input::wanted_packages(&wit, &name, wanted),
            |exports, store| match &exports.advice {
                Some(advice) => {
                    advice.retrace_distro_environment_advice().call_extra_packages(store, &wit, &name, wanted)
                }
                None => Ok(Ok(Vec::new())),
            },
            convert::extra_packages,
        )
    }

    /// [`Session::parse_release`] as a word among those of other plugins.
    pub(crate) fn claim_of_text(&mut self, source: &ReleaseSource) -> Outcome {
        let reason = "the text names this release";
        let claim = |release| Claim { release, confidence: Confidence::Certain, reason: reason.to_owned() };
        outcome(self.parse_release(source).map(|release| release.map(claim)))
    }

    /// [`Session::guess_release`] as a word among those of other plugins.
    pub(crate) fn claim_of_package(&mut self, subject: &PackageRef) -> Outcome {
        outcome(self.guess_release(subject))
    }

    /// Calls, converts the answer, and takes note of a failure.
    fn ask<W, R>(
        &mut self,
        function: Function,
        input: impl FnOnce() -> Value,
        call: impl FnOnce(&Exports, &mut Store<CallState>) -> wasmtime::Result<Result<W, types::CallError>>,
        convert: impl FnOnce(W) -> Result<R, FailureKind>,
    ) -> Result<R, PluginError> {
        self.plugin.admit()?;
        let (answer, _) = self.instances.run(self.plugin.guest(), function, call);
        let answer = answer.and_then(|answer| match answer {
            Ok(value) => convert(value).map(Ok),
            Err(error) => Ok(Err(convert::call_error(error))),
        });
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                Err(PluginError::Call { plugin: self.plugin.info().id.clone(), function: function.name(), error })
            }
            Err(kind) => Err(PluginError::Failure(self.plugin.failed(function, kind, &input()))),
        }
    }
}

fn outcome(answer: Result<Option<Claim>, PluginError>) -> Outcome {
    match answer {
        Ok(Some(claim)) => Outcome::Claim(claim),
        Ok(None) => Outcome::None,
        Err(PluginError::Call { error, .. }) => Outcome::Refused(error),
        Err(PluginError::Failure(failure)) => Outcome::Failed(failure),
        Err(other) => Outcome::Degraded(other.to_string()),
    }
}
