//! The custom section `retrace:plugin`, which says what a component is before anything of it runs. Its form:
//! `docs/custom-section.md`.

/// Version of the package `retrace:distro` that this SDK speaks.
pub const CONTRACT_VERSION: &str = "1.0.0";

/// Name of the section.
pub const SECTION_NAME: &str = "retrace:plugin";

/// Bytes of the section's content.
#[doc(hidden)]
#[must_use]
pub const fn length(id: &str, version: &str) -> usize {
    let mut total = 0;
    let parts = parts(id, version);
    let mut rest: &[&str] = &parts;
    while let [part, behind @ ..] = rest {
        total += part.len();
        rest = behind;
    }
    total
}

/// The section's content. Evaluated while the plugin is compiled, so a panic here is an error of the build.
#[doc(hidden)]
#[must_use]
pub const fn content<const N: usize>(id: &str, version: &str) -> [u8; N] {
    assert!(
        is_word(id) && is_word(version),
        "ID and version: 1 to 64 bytes of visible ASCII without quote and backslash"
    );
    let mut bytes = [0; N];
    let mut free: &mut [u8] = &mut bytes;
    let parts = parts(id, version);
    let mut rest: &[&str] = &parts;
    while let [part, behind @ ..] = rest {
        let (target, others) = free.split_at_mut(part.len());
        target.copy_from_slice(part.as_bytes());
        free = others;
        rest = behind;
    }
    bytes
}

const fn parts<'a>(id: &'a str, version: &'a str) -> [&'a str; 9] {
    [
        "{\"format\":1,\"sdk\":\"",
        env!("CARGO_PKG_VERSION"),
        "\",\"contract\":\"",
        CONTRACT_VERSION,
        "\",\"id\":\"",
        id,
        "\",\"version\":\"",
        version,
        "\"}",
    ]
}

const fn is_word(text: &str) -> bool {
    let mut rest = text.as_bytes();
    if rest.is_empty() || rest.len() > 64 {
        return false;
    }
    while let [byte, behind @ ..] = rest {
        if !byte.is_ascii_graphic() || *byte == b'"' || *byte == b'\\' {
            return false;
        }
        rest = behind;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn the_section_is_one_json_object() {
        const CONTENT: [u8; length("acme", "2.0.1")] = content("acme", "2.0.1");
        let sdk = env!("CARGO_PKG_VERSION");
        let want = format!(r#"{{"format":1,"sdk":"{sdk}","contract":"1.0.0","id":"acme","version":"2.0.1"}}"#);
        assert_eq!(core::str::from_utf8(&CONTENT), Ok(want.as_str()));
    }

    #[test]
    fn the_contract_is_the_one_that_the_bindings_speak() {
        let wit = include_str!("../wit/distro.wit");
        assert!(wit.contains(&format!("package retrace:distro@{CONTRACT_VERSION};")));
    }

    #[test]
    fn words_need_no_escape() {
        assert!(is_word("1.0.0+a") && !is_word("") && !is_word("a\"b") && !is_word("a\\b") && !is_word("a\n"));
    }
}
