use alloc::{format, string::String, vec, vec::Vec};
use core::marker::PhantomData;

use crate::bindings::exports::retrace::distro::distribution::Guest;
use crate::{
    CallError, Debugger, Description, PackageFormat, PackageId, PackageKind, PackageRef, Release, ReleaseEntry,
    ReleaseGuess, ReleaseSource, Repository, deb, nevra,
};

/// A distribution: the questions that the host asks a plugin.
///
/// Meaning, grammar and limits of every value stand in `wit/distro.wit`. There is no `self`: the host may ask each
/// question in a fresh instance, so a plugin remembers nothing.
pub trait Distribution {
    /// What the plugin is. Constant.
    fn describe() -> Description;

    /// Every release that the plugin serves, newest first.
    fn releases() -> Vec<ReleaseEntry>;

    /// The release of the machine that crashed; `None`: not this distribution.
    ///
    /// # Errors
    /// This distribution, but the text cannot be read or names a release that the plugin does not serve.
    fn parse_release(source: ReleaseSource) -> Result<Option<Release>, CallError>;

    /// The release that a package was built for, from its name; `None`: nothing points at this distribution.
    ///
    /// Default: never knows. [`nevra::dist_tag`] helps RPM distributions.
    ///
    /// # Errors
    /// The name points at a release of this distribution that the plugin does not serve.
    fn guess_release(subject: PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
        let _ = subject;
        Ok(None)
    }

    /// The repositories of a release, those with programs and libraries first; never empty.
    ///
    /// # Errors
    /// The release, or the architecture of this release, is not served.
    fn repositories(release: Release, arch: String) -> Result<Vec<Repository>, CallError>;

    /// The debugger that cores of this release need; `None`: the host's will do. That is the default.
    ///
    /// # Errors
    /// The release, or the architecture of this release, is not served.
    fn debugger_for(release: Release, arch: String) -> Result<Option<Debugger>, CallError> {
        let _ = (release, arch);
        Ok(None)
    }

    /// Reads names of package files; one answer for each name, in order.
    ///
    /// Default: [`nevra::parse`] or [`deb::parse`], by the format of [`describe`](Self::describe).
    ///
    /// # Errors
    /// None by default: a name that cannot be read is `None`.
    fn parse_file_names(names: Vec<String>) -> Result<Vec<Option<PackageId>>, CallError> {
        let parse = match Self::describe().format {
            PackageFormat::Rpm => nevra::parse,
            PackageFormat::Deb => deb::parse,
            PackageFormat::Other(name) => return Err(no_default(&name)),
        };
        Ok(names.iter().map(|name| parse(name)).collect())
    }

    /// The usual file name of a package.
    ///
    /// Default: [`nevra::format`] or [`deb::format`], by the format of [`describe`](Self::describe).
    ///
    /// # Errors
    /// `MalformedInput` if the format has no file name for such a package.
    fn format_file_name(subject: PackageId) -> Result<String, CallError> {
        match Self::describe().format {
            PackageFormat::Rpm => nevra::format(&subject),
            PackageFormat::Deb => deb::format(&subject),
            PackageFormat::Other(name) => return Err(no_default(&name)),
        }
        .ok_or_else(|| CallError::MalformedInput(format!("package {} has no file name in this format", subject.name)))
    }

    /// Debug packages of a binary package, best first: candidates, which need not exist.
    ///
    /// Default: `-debuginfo` and `-debugsource` for RPM, `-dbgsym` and `-dbg` for Debian packages, same version.
    ///
    /// # Errors
    /// None by default, unless the format is one that the SDK does not know.
    fn debug_packages(subject: PackageId) -> Result<Vec<PackageId>, CallError> {
        if subject.kind != PackageKind::Binary {
            return Ok(vec![]);
        }
        let suffixes = match Self::describe().format {
            PackageFormat::Rpm => [("-debuginfo", PackageKind::DebugInfo), ("-debugsource", PackageKind::DebugSource)],
            PackageFormat::Deb => [("-dbgsym", PackageKind::DebugInfo), ("-dbg", PackageKind::DebugInfo)],
            PackageFormat::Other(name) => return Err(no_default(&name)),
        };
        let with = |(suffix, kind)| PackageId { name: format!("{}{suffix}", subject.name), kind, ..subject.clone() };
        Ok(suffixes.into_iter().map(with).collect())
    }
}

fn no_default(format: &str) -> CallError {
    CallError::Internal(format!("the SDK knows no names of format {format}: the plugin has to implement this function"))
}

/// Makes a type the plugin of its crate. Expands to nothing unless the crate is built for WebAssembly, so that native
/// tests link.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        type RetracePlugin = $crate::Adapter<$plugin>;
        #[cfg(target_family = "wasm")]
        $crate::bindings::export!(RetracePlugin with_types_in $crate::bindings);
    };
}

/// Carries the trait of this crate over to the one that wit-bindgen generates, so that authors never see the latter.
#[doc(hidden)]
#[derive(Debug)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: Distribution> Guest for Adapter<T> {
    fn describe() -> Description {
        T::describe()
    }

    fn releases() -> Vec<ReleaseEntry> {
        T::releases()
    }

    fn parse_release(source: ReleaseSource) -> Result<Option<Release>, CallError> {
        T::parse_release(source)
    }

    fn guess_release(subject: PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
        T::guess_release(subject)
    }

    fn repositories(release: Release, arch: String) -> Result<Vec<Repository>, CallError> {
        T::repositories(release, arch)
    }

    fn debugger_for(release: Release, arch: String) -> Result<Option<Debugger>, CallError> {
        T::debugger_for(release, arch)
    }

    fn parse_file_names(names: Vec<String>) -> Result<Vec<Option<PackageId>>, CallError> {
        T::parse_file_names(names)
    }

    fn format_file_name(subject: PackageId) -> Result<String, CallError> {
        T::format_file_name(subject)
    }

    fn debug_packages(subject: PackageId) -> Result<Vec<PackageId>, CallError> {
        T::debug_packages(subject)
    }
}
