use retrace_types::{Architecture, Release};

use crate::{MirrorError, location::shown};

/// A mirror that an operator names, with its variables replaced: `$ARCH`, `$BASEARCH` (the name that dnf has for the
/// architecture), `$VER`, `$MINOR`, `$CODENAME`; `$$` stands for a dollar sign.
///
/// # Errors
/// [`MirrorError::Variable`] if a variable is unknown or has no value for the release.
pub fn expand_mirror(text: &str, release: &Release, architecture: Architecture) -> Result<String, MirrorError> {
    let refused = |variable: &str, reason| {
        let variable = variable.chars().take(16).collect();
        MirrorError::Variable { mirror: shown(text), variable, reason }
    };
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(behind) = after.strip_prefix('$') {
            expanded.push('$');
            rest = behind;
            continue;
        }
        let end = after.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(after.len());
        let (name, behind) = after.split_at_checked(end).unwrap_or((after, ""));
        let value = match name {
            "ARCH" => Some(architecture.as_str()),
            "BASEARCH" => Some(base_arch(architecture)),
            "VER" => Some(release.id.version.as_str()),
            "MINOR" => release.minor.as_deref(),
            "CODENAME" => release.codename.as_deref(),
            _ => return Err(refused(name, "is unknown; for a dollar sign write $$")),
        };
        expanded.push_str(value.ok_or_else(|| refused(name, "has no value for this release"))?);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Source: dnf's `arch.py`.
fn base_arch(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::I686 => "i386",
        Architecture::Armv7l => "armhfp",
        other => other.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_a_dollar_sign_can_be_written() {
        let release = Release {
            id: "fedora-40".parse().unwrap(),
            minor: None,
            codename: Some("forty".to_owned()),
            rolling: false,
        };
        for (text, want) in [
            ("rsync://h/$VER/$ARCH/*/*.rpm", Ok("rsync://h/40/i686/*/*.rpm")),
            ("/srv/$BASEARCH/$CODENAME", Ok("/srv/i386/forty")),
            ("/srv/a$$b$$$VER$$", Ok("/srv/a$b$40$")),
            ("/srv/$MINOR", Err("$MINOR has no value for this release")),
            ("/srv/$HOME", Err("$HOME is unknown; for a dollar sign write $$")),
            ("/srv/$ver", Err("$ is unknown")),
        ] {
            let got = expand_mirror(text, &release, Architecture::I686);
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{error}"),
                (got, want) => panic!("{text}: {got:?}, not {want:?}"),
            }
        }
    }
}
