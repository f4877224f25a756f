//! Why a file is missing, in words.

use retrace_store::{IndexedPackage, Scope};
use retrace_types::{Gap, GapReason, Role};

use crate::{
    error::chain,
    resolve::{Failure, WantedModule},
};

/// The index knows the package, but it cannot be had.
pub(super) fn unavailable(module: &WantedModule, role: Role, failure: &Failure) -> Gap {
    let what = match role {
        Role::Executable => "the file",
        Role::Debuginfo => "the debug information of the file",
    };
    let package = &failure.package.id;
    Gap {
        reason: GapReason::PackageUnavailable,
        subject: package.to_string(),
        message: format!(
            "package {package} has {what} with build-id {}{}, but cannot be had: {}",
            module.build_id,
            at(module),
            chain(&failure.error)
        ),
        action: put_back(package),
    }
}

/// A package that may ship the file cannot be had, so nobody knows.
pub(super) fn suspect_unavailable(module: &WantedModule, failure: &Failure) -> Gap {
    let package = &failure.package.id;
    Gap {
        reason: GapReason::PackageUnavailable,
        subject: package.to_string(),
        message: format!(
            "package {package} should have the file with build-id {}{}, but cannot be had: {}",
            module.build_id,
            at(module),
            chain(&failure.error)
        ),
        action: put_back(package),
    }
}

/// No mirrored package ships the file; `expected` is the package that should.
pub(super) fn package_unknown(module: &WantedModule, expected: Option<&str>, scope: &Scope) -> Gap {
    let Scope { release, architecture } = scope;
    let sync = format!("retrace mirror sync {} {} {architecture}", release.distro, release.version);
    let (expectation, action) = match expected {
        Some(package) => (
            format!("; its debug package says that {package} has it, which is not in the index"),
            format!("add {package} to a mirrored repository and run: {sync}"),
        ),
        None => (
            String::new(),
            format!(
                "mirror the repository that ships the file, if it is not of the distribution itself, or run: {sync}"
            ),
        ),
    };
    Gap {
        reason: GapReason::PackageUnknown,
        subject: module.build_id.to_string(),
        message: format!(
            "no mirrored package of {release} for {architecture} has a file with build-id {}{}{expectation}",
            module.build_id,
            at(module)
        ),
        action,
    }
}

/// No mirrored package has the debug information.
pub(super) fn debuginfo_unknown(module: &WantedModule, package: Option<&IndexedPackage>, scope: &Scope) -> Gap {
    let Scope { release, architecture } = scope;
    let of_package = package.map(|package| format!(" of package {}", package.id)).unwrap_or_default();
    Gap {
        reason: GapReason::DebuginfoUnknown,
        subject: module.build_id.to_string(),
        message: format!(
            "no mirrored package of {release} for {architecture} has debug information for build-id {}{}{of_package}",
            module.build_id,
            at(module)
        ),
        action: format!(
            "mirror the repository with the debug packages{of_package}: retrace mirror sync {} {} {architecture}",
            release.distro, release.version
        ),
    }
}

fn at(module: &WantedModule) -> String {
    module.path.as_ref().map(|path| format!(" ({path})")).unwrap_or_default()
}

fn put_back(package: &retrace_types::PackageId) -> String {
    format!("put {package} back into its repository or add a mirror that still has it, then run the same again")
}
