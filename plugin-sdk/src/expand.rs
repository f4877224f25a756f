use alloc::{format, string::String};

use crate::{
    Release,
    build::Invalid,
    grammar::{self, problem},
};

/// What the host makes of a mirror: `$ARCH`, `$VER`, `$MINOR` and `$CODENAME` replaced, and the URL checked. For tests;
/// plugins return the template.
///
/// # Errors
/// A variable is unknown or has no value for this release, or the URL breaks the contract: what the host would refuse.
pub fn expand_preview(mirror: &str, release: &Release, arch: &str) -> Result<String, Invalid> {
    let mut parts = mirror.split('$');
    let mut expanded = String::from(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(part.len());
        let (name, rest) = part.split_at_checked(end).unwrap_or((part, ""));
        let value = match name {
            "ARCH" => Some(arch),
            "VER" => Some(release.version.as_str()),
            "MINOR" => release.minor.as_deref(),
            "CODENAME" => release.codename.as_deref(),
            _ => problem("mirror", format!("unknown variable ${name}"))?,
        };
        match value {
            Some(value) => expanded.push_str(value),
            None => problem("mirror", format!("${name} has no value for {} {}", release.distro, release.version))?,
        }
        expanded.push_str(rest);
    }
    grammar::url("mirror", &expanded)?;
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn mirrors_are_expanded_as_the_host_does() {
        let release = Release::new("acme", "3").unwrap().with_codename("anvil").unwrap();
        let cases = [
            ("https://h.example/$VER/$ARCH/", Ok("https://h.example/3/s390x/")),
            ("file:///srv/$CODENAME", Ok("file:///srv/anvil")),
            ("https://h.example/$MINOR", Err("mirror: $MINOR has no value for acme 3")),
            ("https://h.example/$HOME", Err("mirror: unknown variable $HOME")),
            ("https://h.example/$ver", Err("mirror: unknown variable $")),
            ("https://h.example/${VER}", Err("mirror: unknown variable $")),
            ("gopher://h.example/", Err("mirror: scheme `gopher`: want https, http, rsync, ftp or file")),
        ];
        for (mirror, want) in cases {
            let got = expand_preview(mirror, &release, "s390x").map_err(|error| error.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want, "mirror: {mirror:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_mirror_is_read(mirror in ".*", minor in proptest::option::of("[0-9]{1,3}")) {
            let release = Release { minor, ..Release::new("acme", "3").unwrap() };
            let _ = expand_preview(&mirror, &release, "x86_64");
        }
    }
}
