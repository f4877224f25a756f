use alloc::{string::String, vec::Vec};
use core::marker::PhantomData;

use crate::bindings::exports::retrace::distro::distribution::Guest;
use crate::bindings::{environment_advice, kernel};
use crate::{
    CallError, Confidence, Debugger, Description, KernelFiles, PackageId, PackageRef, Release, ReleaseEntry,
    ReleaseGuess, ReleaseSource, Repository, names,
};

/// A distribution: the questions that the host asks a plugin.
///
/// Meaning, grammar and limits of every value stand in `wit/distro.wit`. There is no `self`: the host may ask each
/// question in a fresh instance, so a plugin remembers nothing.
pub trait Distribution {
    /// The `id` of [`describe`](Self::describe): the component carries it where it can be read without running anything.
    const ID: &'static str;

    /// What the plugin is. Constant.
    fn describe() -> Description;

    /// Every release that the plugin serves, newest first.
    fn releases() -> Vec<ReleaseEntry>;

    /// The release of the machine that crashed; `None`: not this distribution.
    ///
    /// # Errors
    /// This distribution, but the text cannot be read or names a release that the plugin does not serve.
    fn parse_release(source: ReleaseSource) -> Result<Option<Release>, CallError>;

    /// The distribution's tags in the release part of RPM packages, without the number, and how sure each makes: `fc` of
    /// `bash-5.2.26-3.fc40`, [`Likely`](Confidence::Likely); `el`, [`Weak`](Confidence::Weak), for others use it too.
    ///
    /// Default: none.
    const DIST_TAGS: &'static [(&'static str, Confidence)] = &[];

    /// The release that a package was built for, from its name; `None`: nothing points at this distribution.
    ///
    /// Default: by [`DIST_TAGS`](Self::DIST_TAGS); the number behind the tag is the version.
    ///
    /// # Errors
    /// The name points at a release of this distribution that the plugin does not serve.
    fn guess_release(subject: PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
        names::guess_release(Self::DIST_TAGS, Self::releases, &subject)
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
    /// Default: [`nevra::parse`](crate::nevra::parse) or [`deb::parse`](crate::deb::parse), by the format of [`describe`](Self::describe).
    ///
    /// # Errors
    /// None by default: a name that cannot be read is `None`.
    fn parse_file_names(names: Vec<String>) -> Result<Vec<Option<PackageId>>, CallError> {
        names::parse_file_names(&Self::describe().format, &names)
    }

    /// The usual file name of a package.
    ///
    /// Default: [`nevra::format`](crate::nevra::format) or [`deb::format`](crate::deb::format), by the format of [`describe`](Self::describe).
    ///
    /// # Errors
    /// `MalformedInput` if the format has no file name for such a package.
    fn format_file_name(subject: PackageId) -> Result<String, CallError> {
        names::format_file_name(&Self::describe().format, &subject)
    }

    /// Debug packages of a binary package, best first: candidates, which need not exist.
    ///
    /// Default: `-debuginfo` and `-debugsource` for RPM, `-dbgsym` and `-dbg` for Debian packages, same version.
    ///
    /// # Errors
    /// None by default, unless the format is one that the SDK does not know.
    fn debug_packages(subject: PackageId) -> Result<Vec<PackageId>, CallError> {
        names::debug_packages(&Self::describe().format, &subject)
    }
}

/// Kernel dumps: optional. A plugin that implements it says so in [`export_plugin!`](crate::export_plugin).
pub trait Kernel {
    /// What the debugger of a kernel's dumps needs; `version` is what `uname -r` said. `None`: not a kernel of this
    /// distribution.
    ///
    /// # Errors
    /// A kernel of this distribution that the plugin cannot help with.
    fn kernel_for(version: String, arch: String) -> Result<Option<KernelFiles>, CallError>;
}

/// Packages that an environment needs beside the wanted ones: optional. A plugin that implements it says so in
/// [`export_plugin!`](crate::export_plugin).
pub trait EnvironmentAdvice {
    /// Names of further packages to install.
    ///
    /// # Errors
    /// The release, or the architecture of this release, is not served.
    fn extra_packages(release: Release, arch: String, wanted: Vec<String>) -> Result<Vec<String>, CallError>;
}

/// Makes a type the plugin of its crate: `export_plugin!(Acme);`
///
/// The type implements [`Distribution`]. If it implements [`Kernel`] or [`EnvironmentAdvice`] too, name them, and the
/// component exports them: `export_plugin!(Acme, with kernel, environment_advice);`
///
/// The component also gets the custom section `retrace:plugin`, with the type's [`ID`](Distribution::ID) and the version
/// of the crate. Expands to nothing unless the crate is built for WebAssembly, so that native tests link.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty $(, with $($optional:ident),+ $(,)?)?) => {
        #[cfg(target_family = "wasm")]
        type RetracePlugin = $crate::Adapter<$plugin>;
        #[cfg(target_family = "wasm")]
        $crate::bindings::export!(RetracePlugin with_types_in $crate::bindings);
        $($($crate::export_optional!($optional);)+)?
        $crate::embed_section!(<$plugin as $crate::Distribution>::ID);
    };
}

/// One optional export.
#[doc(hidden)]
#[macro_export]
macro_rules! export_optional {
    (kernel) => {
        #[cfg(target_family = "wasm")]
        $crate::bindings::kernel::export_kernel!(RetracePlugin with_types_in $crate::bindings::kernel);
    };
    (environment_advice) => {
        #[cfg(target_family = "wasm")]
        $crate::bindings::environment_advice::export_environment_advice!(
            RetracePlugin with_types_in $crate::bindings::environment_advice
        );
    };
    ($other:ident) => {
        ::core::compile_error!("export_plugin! knows the optional exports `kernel` and `environment_advice`");
    };
}

/// The custom section.
#[doc(hidden)]
#[macro_export]
macro_rules! embed_section {
    ($id:expr) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            const LENGTH: usize = $crate::section::length($id, ::core::env!("CARGO_PKG_VERSION"));
            #[unsafe(link_section = "retrace:plugin")]
            pub static SECTION: [u8; LENGTH] = $crate::section::content($id, ::core::env!("CARGO_PKG_VERSION"));
        };
    };
}

/// Carries the trait of this crate over to the one that wit-bindgen generates, so that authors never see the latter.
#[doc(hidden)]
#[derive(Debug)]
pub struct Adapter<T>(PhantomData<T>);

/// What has to happen before the plugin's code runs.
fn start() {
    #[cfg(all(target_family = "wasm", feature = "std"))]
    crate::hook::install();
}

impl<T: Distribution> Guest for Adapter<T> {
    fn describe() -> Description {
        start();
        T::describe()
    }

    fn releases() -> Vec<ReleaseEntry> {
        start();
        T::releases()
    }

    fn parse_release(source: ReleaseSource) -> Result<Option<Release>, CallError> {
        start();
        T::parse_release(source)
    }

    fn guess_release(subject: PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
        start();
        T::guess_release(subject)
    }

    fn repositories(release: Release, arch: String) -> Result<Vec<Repository>, CallError> {
        start();
        T::repositories(release, arch)
    }

    fn debugger_for(release: Release, arch: String) -> Result<Option<Debugger>, CallError> {
        start();
        T::debugger_for(release, arch)
    }

    fn parse_file_names(names: Vec<String>) -> Result<Vec<Option<PackageId>>, CallError> {
        start();
        T::parse_file_names(names)
    }

    fn format_file_name(subject: PackageId) -> Result<String, CallError> {
        start();
        T::format_file_name(subject)
    }

    fn debug_packages(subject: PackageId) -> Result<Vec<PackageId>, CallError> {
        start();
        T::debug_packages(subject)
    }
}

impl<T: Kernel> kernel::exports::retrace::distro::kernel::Guest for Adapter<T> {
    fn kernel_for(version: String, arch: String) -> Result<Option<KernelFiles>, CallError> {
        start();
        T::kernel_for(version, arch)
    }
}

impl<T: EnvironmentAdvice> environment_advice::exports::retrace::distro::environment_advice::Guest for Adapter<T> {
    fn extra_packages(release: Release, arch: String, wanted: Vec<String>) -> Result<Vec<String>, CallError> {
        start();
        T::extra_packages(release, arch, wanted)
    }
}
