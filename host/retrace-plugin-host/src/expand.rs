use retrace_types::{Architecture, Release};

/// Replaces `$ARCH`, `$VER`, `$MINOR` and `$CODENAME`. The values come from checked types, so they hold nothing that
/// means something in a URL.
///
/// # Errors
/// The rule that is broken: an unknown variable, or one that has no value for this release.
pub(crate) fn expand(text: &str, release: &Release, architecture: Architecture) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(after.len());
        let (name, behind) = after.split_at_checked(end).unwrap_or((after, ""));
        let value = match name {
            "ARCH" => Some(architecture.as_str()),
            "VER" => Some(release.id.version.as_str()),
            "MINOR" => release.minor.as_deref(),
            "CODENAME" => release.codename.as_deref(),
            _ => return Err(format!("unknown variable ${}", name.chars().take(16).collect::<String>())),
        };
        expanded.push_str(value.ok_or_else(|| format!("${name} has no value for {}", release.id))?);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let release = Release {
            id: "fedora-40".parse().unwrap(),
            minor: None,
            codename: Some("forty".to_owned()),
            rolling: false,
        };
        let cases = [
            ("http://h/$VER/Everything/$ARCH/os", Ok("http://h/40/Everything/s390x/os")),
            ("$VER$CODENAME-$ARCH.", Ok("40forty-s390x.")),
            ("nothing", Ok("nothing")),
            ("", Ok("")),
            ("$", Err("unknown variable $")),
            ("a/$ver", Err("unknown variable $")),
            ("a/$VERSION", Err("unknown variable $VERSION")),
            ("a/$MINOR/b", Err("$MINOR has no value for fedora-40")),
            ("a/${VER}", Err("unknown variable $")),
        ];
        for (text, want) in cases {
            let got = expand(text, &release, Architecture::S390x);
            assert_eq!(got.as_deref().map_err(String::as_str), want, "text: {text:?}");
        }
    }
}
