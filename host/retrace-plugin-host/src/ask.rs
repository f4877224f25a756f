//! The functions of the contract, one by one, on one plugin.

use retrace_types::{Architecture, Confidence, Debugger, PackageId, PackageKind, Release, RepositorySpec};

use crate::{
    CallError, Claim, FailureKind, NamedPackage, Outcome, PackageRef, PluginError, PluginFailure, ReleaseEntry,
    ReleaseSource,
    bindings::retrace::distro::types,
    convert::{self, Context, Owner},
    plugin::Plugin,
};

impl Plugin {
    pub(crate) fn releases(&self) -> Result<Vec<ReleaseEntry>, Box<PluginFailure>> {
        let deadline = self.limits().long_deadline;
        let convert = |answer| convert::releases(answer, &self.owner());
        self.call("releases", deadline, |guest, store| guest.call_releases(store), convert)
    }

    pub(crate) fn parse_release(&self, source: &ReleaseSource) -> Outcome {
        let source = convert::source_to_wit(source);
        let convert = |release| {
            let release = convert::release("release", release, &self.owner())?;
            let reason = "the text names this release".to_owned();
            Ok(Claim { release, confidence: Confidence::Certain, reason })
        };
        let answer = self.call(
            "parse-release",
            self.limits().deadline,
            |guest, store| guest.call_parse_release(store, &source),
            |answer| answered(answer, |release| release.map(convert).transpose()),
        );
        outcome(answer)
    }

    pub(crate) fn guess_release(&self, subject: &PackageRef) -> Outcome {
        let subject = convert::package_ref_to_wit(subject);
        let answer = self.call(
            "guess-release",
            self.limits().deadline,
            |guest, store| guest.call_guess_release(store, &subject),
            |answer| answered(answer, |guess| guess.map(|guess| convert::guess(guess, &self.owner())).transpose()),
        );
        outcome(answer)
    }

    pub(crate) fn repositories(
        &self,
        release: &Release,
        architecture: Architecture,
    ) -> Result<Vec<RepositorySpec>, PluginError> {
        let (wit_release, name) = (convert::release_to_wit(release), architecture.to_string());
        let context = Context { owner: self.owner(), release, architecture };
        let answer = self.call(
            "repositories",
            self.limits().deadline,
            |guest, store| guest.call_repositories(store, &wit_release, &name),
            |answer| answered(answer, |specs| convert::repositories(specs, &context)),
        );
        self.or_call_error("repositories", answer)
    }

    pub(crate) fn debugger_for(
        &self,
        release: &Release,
        architecture: Architecture,
    ) -> Result<Option<Debugger>, PluginError> {
        let (release, name) = (convert::release_to_wit(release), architecture.to_string());
        let answer = self.call(
            "debugger-for",
            self.limits().deadline,
            |guest, store| guest.call_debugger_for(store, &release, &name),
            |answer| answered(answer, |debugger| debugger.map(convert::debugger).transpose()),
        );
        self.or_call_error("debugger-for", answer)
    }

    /// Asks in parts of as many names as one call may have.
    pub(crate) fn parse_file_names(&self, names: &[String]) -> Result<Vec<Option<NamedPackage>>, PluginError> {
        let mut packages = Vec::with_capacity(names.len());
        for batch in names.chunks(self.limits().batch.max(1)) {
            let answer = self.call(
                "parse-file-names",
                self.limits().deadline,
                |guest, store| guest.call_parse_file_names(store, batch),
                |answer| answered(answer, |ids| convert::file_names(ids, batch.len())),
            );
            packages.extend(self.or_call_error("parse-file-names", answer)?);
        }
        Ok(packages)
    }

    pub(crate) fn format_file_name(&self, id: &PackageId, kind: &PackageKind) -> Result<String, PluginError> {
        let subject = convert::package_to_wit(id, kind);
        let answer = self.call(
            "format-file-name",
            self.limits().deadline,
            |guest, store| guest.call_format_file_name(store, &subject),
            |answer| answered(answer, convert::file_name),
        );
        self.or_call_error("format-file-name", answer)
    }

    pub(crate) fn debug_packages(&self, id: &PackageId) -> Result<Vec<NamedPackage>, PluginError> {
        let subject = convert::package_to_wit(id, &PackageKind::Binary);
        let answer = self.call(
            "debug-packages",
            self.limits().deadline,
            |guest, store| guest.call_debug_packages(store, &subject),
            |answer| answered(answer, |ids| convert::packages("packages", ids)),
        );
        self.or_call_error("debug-packages", answer)
    }

    fn owner(&self) -> Owner<'_> {
        Owner { id: &self.info.id, aliases: &self.info.aliases }
    }

    fn or_call_error<R>(
        &self,
        function: &'static str,
        answer: Result<Result<R, CallError>, Box<PluginFailure>>,
    ) -> Result<R, PluginError> {
        answer?.map_err(|error| PluginError::Call { plugin: self.info.id.clone(), function, error })
    }
}

/// Converts an answer; the plugin's own error is an answer too.
fn answered<W, R>(
    answer: Result<W, types::CallError>,
    convert: impl FnOnce(W) -> Result<R, FailureKind>,
) -> Result<Result<R, CallError>, FailureKind> {
    match answer {
        Ok(value) => convert(value).map(Ok),
        Err(error) => Ok(Err(convert::call_error(error))),
    }
}

fn outcome(answer: Result<Result<Option<Claim>, CallError>, Box<PluginFailure>>) -> Outcome {
    match answer {
        Ok(Ok(Some(claim))) => Outcome::Claim(claim),
        Ok(Ok(None)) => Outcome::None,
        Ok(Err(error)) => Outcome::Refused(error),
        Err(failure) => Outcome::Failed(failure),
    }
}
