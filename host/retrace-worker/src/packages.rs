//! What the packages gave, module by module.

use std::collections::HashMap;

use retrace_coredump::{Module, NoBuildId};
use retrace_mirror::{Found, Member, Resolved};
use retrace_package::{FillRequest, Trust};
use retrace_store::{RepositoryKey, Scope};
use retrace_types::{BuildId, Gap, GapReason, PackageReport, Role};

use crate::assemble::ModuleState;

/// What the packages gave.
#[derive(Default)]
pub(crate) struct Packages {
    pub(crate) resolved: HashMap<BuildId, Resolved>,
    /// Names of the repositories, for the result.
    pub(crate) repositories: HashMap<RepositoryKey, String>,
}

impl Packages {
    pub(crate) fn of(&self, module: &Module) -> Option<&Resolved> {
        module.build_id.as_ref().ok().and_then(|id| self.resolved.get(id))
    }

    /// Whether what the module's package holds was verified. Of a module without a package only what was counts.
    pub(crate) fn trust(&self, module: &Module, role: Role) -> Trust {
        let found = self.of(module).and_then(|resolved| match role {
            Role::Executable => resolved.executable.as_ref(),
            Role::Debuginfo => resolved.debuginfo.as_ref(),
        });
        found.map_or(Trust::Verified, |found| Trust::of(found.verified.signature()))
    }

    fn report(&self, found: &Found) -> PackageReport {
        PackageReport {
            id: found.package.id.clone(),
            kind: found.package.kind.clone(),
            sha256: found.verified.sha256(),
            signature: found.verified.signature().clone(),
            repository: self.repositories.get(&found.package.repository).cloned().unwrap_or_default(),
        }
    }
}

pub(crate) fn module_state<'f>(module: &'f Module, packages: &Packages) -> ModuleState<'f> {
    let resolved = packages.of(module);
    let package = resolved.and_then(|resolved| resolved.executable.as_ref()).map(|found| packages.report(found));
    let debug_package = resolved.and_then(|resolved| resolved.debuginfo.as_ref()).map(|found| packages.report(found));
    let mut gaps: Vec<(Role, Gap)> = resolved.map(gaps_by_role).unwrap_or_default();
    if let Err(reason) = &module.build_id {
        gaps.push((Role::Executable, no_build_id(module, reason)));
    }
    ModuleState { module, package, debug_package, left_out: false, has_file: false, has_debuginfo: false, gaps }
}

/// The mirror tells first why the file is missing, then why its debug information is.
fn gaps_by_role(resolved: &Resolved) -> Vec<(Role, Gap)> {
    let missing = [(Role::Executable, resolved.executable.is_none()), (Role::Debuginfo, resolved.debuginfo.is_none())];
    let roles = missing.into_iter().filter(|(_, is_missing)| *is_missing).map(|(role, _)| role);
    roles.zip(resolved.gaps.iter().cloned()).collect()
}

fn no_build_id(module: &Module, reason: &NoBuildId) -> Gap {
    Gap {
        reason: GapReason::NoBuildId,
        subject: module.path.clone(),
        message: format!("the build-id of {} is unknown: {reason}", module.path),
        action: "let the kernel dump the first page of mapped files (coredump_filter, bit 4), and link with --build-id"
            .to_owned(),
    }
}

pub(crate) fn fill_request(resolved: &Resolved, role: Role, found: &Found) -> FillRequest {
    FillRequest {
        package: found.verified.clone(),
        build_id: resolved.build_id.clone(),
        role,
        member: match &found.member {
            Member::Path(path) => Some(path.clone()),
            Member::BuildId => None,
        },
    }
}

pub(crate) fn not_mirrored(scope: &Scope) -> Gap {
    let Scope { release, architecture } = scope;
    Gap {
        reason: GapReason::NotMirrored,
        subject: release.to_string(),
        message: format!("{release} for {architecture} is not mirrored here: no package can be matched"),
        action: format!("run: retrace mirror sync {} {} {architecture}", release.distro, release.version),
    }
}
