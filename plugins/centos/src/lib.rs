//! CentOS Linux and CentOS Stream as Retrace sees them. The facts stand in `centos.toml`, their sources in README.md.
#![cfg_attr(target_family = "wasm", no_std)]

use retrace_plugin_sdk::prelude::*;

/// Vendor of all packages that CentOS built.
const VENDOR: &str = "CentOS";

/// Version, and what follows it in the name of a point release: 7.9.2009. The vault has its folders by these names.
const POINT_RELEASES: [(&str, &str); 16] = [
    ("8", "5.2111"),
    ("8", "4.2105"),
    ("8", "3.2011"),
    ("8", "2.2004"),
    ("8", "1.1911"),
    ("8", "0.1905"),
    ("7", "9.2009"),
    ("7", "8.2003"),
    ("7", "7.1908"),
    ("7", "6.1810"),
    ("7", "5.1804"),
    ("7", "4.1708"),
    ("7", "3.1611"),
    ("7", "2.1511"),
    ("7", "1.1503"),
    ("7", "0.1406"),
];

/// `9.2009` for the `9` of `.el7_9`.
fn whole_minor(version: &str, minor: String) -> String {
    let mut known = POINT_RELEASES.into_iter().filter(|(of, _)| *of == version).map(|(_, whole)| whole);
    known.find(|whole| whole.split('.').next() == Some(&minor)).map_or(minor, String::from)
}

retrace_plugin_sdk::declarative! {
    /// The plugin for CentOS Linux and CentOS Stream.
    #[derive(Debug)]
    pub struct Centos = "centos.toml";

    /// The vendor says that a package is of CentOS, but not whether `.el8` is Linux 8 or Stream 8.
    fn guess_release(subject: PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
        let Some(mut guess) = Centos::DATA.guess_release(&subject)? else { return Ok(None) };
        if guess.confidence == Confidence::Weak && subject.vendor.as_deref() == Some(VENDOR) {
            guess.confidence = Confidence::Likely;
            guess.reason.push_str(", vendor CentOS");
        }
        let release = &mut guess.release;
        release.minor = release.minor.take().map(|minor| whole_minor(&release.version, minor));
        Ok(Some(guess))
    }

    /// Up to 7 one debug package serves all packages of a source.
    fn debug_packages(subject: PackageId) -> Result<Vec<PackageId>, CallError> {
        match nevra::dist_tag(subject.release.as_deref().unwrap_or_default(), "el") {
            Some("5" | "6" | "7") => Ok(nevra::debug_packages_by_source(&subject)),
            _ => Centos::DATA.debug_packages(&subject),
        }
    }

    /// 5 puts the flavour of a kernel right behind its release: "2.6.18-398.el5xen".
    fn kernel_for(version: String, arch: String) -> Result<Option<KernelFiles>, CallError> {
        let flavours = ["xen", "PAE", "debug"];
        let found = flavours.into_iter().find_map(|flavour| Some((flavour, version.strip_suffix(flavour)?)));
        let Some((flavour, plain)) = found.filter(|(_, plain)| plain.ends_with(".el5")) else {
            return Centos::DATA.kernel_for(&version, &arch);
        };
        let mut files = Centos::DATA.kernel_for(plain, &arch)?;
        if let Some(files) = &mut files {
            if let Some(first) = files.debug_packages.first_mut() {
                first.name = format!("kernel-{flavour}-debuginfo");
            }
            files.vmlinux = format!("/usr/lib/debug/lib/modules/{version}/vmlinux");
        }
        Ok(files)
    }
}
