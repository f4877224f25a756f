//! Metadata of a Debian repository: paragraphs of `Packages`, and `Release`. Source: the Debian wiki's "RepositoryFormat",
//! deb822(5).

use std::fmt::Write as _;

use jiff::Timestamp;
use retrace_types::Sha256;

/// Fields that the repository gives; what a package says of itself under these names is dropped.
const OURS: [&str; 8] = ["Filename", "Size", "MD5sum", "SHA1", "SHA256", "SHA512", "Description-md5", "Status"];

/// A paragraph of `Packages`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paragraph {
    /// Architecture of the package: tells the index that it belongs to.
    pub(super) architecture: String,
    /// Its text, an empty line at the end.
    pub(super) text: String,
}

/// The paragraph of a package, from its control file; the reason if that makes none. The control file's first paragraph
/// counts, and of two fields with one name the first; nothing in it can end the paragraph or begin another one.
pub(super) fn paragraph(
    control: &str,
    filename: &str,
    size_bytes: u64,
    sha256: Sha256,
) -> Result<Paragraph, &'static str> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    let mut is_kept = false;
    let lines = control.lines().skip_while(|line| line.trim().is_empty());
    for line in lines.take_while(|line| !line.trim().is_empty()) {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut().filter(|_| is_kept) {
                value.push_str("\n ");
                value.push_str(&clean(line.get(1..).unwrap_or_default()));
            }
            continue;
        }
        let (name, value) = line.split_once(':').ok_or("a line of its control file is no field")?;
        let is_name = !name.is_empty() && !name.starts_with(['#', '-']) && name.bytes().all(|b| b.is_ascii_graphic());
        if !is_name {
            return Err("a field of its control file has no valid name");
        }
        let known = OURS.into_iter().chain(fields.iter().map(|(known, _)| *known));
        is_kept = !known.into_iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_kept {
            fields.push((name, clean(value.trim())));
        }
    }
    let value = |name: &str| {
        let field = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let is_word = |text: &&str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._~:".contains(&b));
    for name in ["Package", "Version"] {
        value(name).filter(is_word).ok_or("its control file has no valid name or version")?;
    }
    let is_architecture = |text: &&str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let architecture = value("Architecture").filter(is_architecture).filter(|text| text.len() <= 40);
    let architecture = architecture.ok_or("its control file has no valid architecture")?.to_owned();
    let mut text = String::new();
    for (name, value) in &fields {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}:{}{value}", if value.is_empty() || value.starts_with('\n') { "" } else { " " });
    }
    let _ = write!(text, "Filename: {filename}\nSize: {size_bytes}\nSHA256: {sha256}\n\n");
    Ok(Paragraph { architecture, text })
}

/// One line of a value: without control characters, and not empty where it continues another one.
fn clean(line: &str) -> String {
    let clean = |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    line.trim_end().chars().map(clean).collect()
}

/// What `Release` says.
pub(super) struct Release<'a> {
    pub(super) label: &'a str,
    pub(super) suite: &'a str,
    pub(super) architectures: &'a [String],
    pub(super) components: &'a [String],
    pub(super) made_at: Timestamp,
    /// Path below the suite, digest, size.
    pub(super) files: &'a [(String, Sha256, u64)],
}

/// The text of `Release`.
pub(super) fn release(release: &Release<'_>) -> String {
    let Release { label, suite, architectures, components, made_at, files } = release;
    let (label, suite) = (clean(label), clean(suite));
    let date = made_at.strftime("%a, %d %b %Y %H:%M:%S UTC");
    let mut text = format!(
        "Origin: Retrace\nLabel: {label}\nSuite: {suite}\nCodename: {suite}\nDate: {date}\nAcquire-By-Hash: yes\n\
         Architectures: {}\nComponents: {}\nDescription: every version that Retrace keeps\nSHA256:\n",
        architectures.join(" "),
        components.join(" ")
    );
    for (path, sha256, size_bytes) in *files {
        let _ = writeln!(text, " {sha256} {size_bytes:>16} {path}");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: [u8; 32] = [0xab; 32];

    fn paragraph_of(control: &str) -> Result<Paragraph, &'static str> {
        paragraph(control, "pool/a.deb", 7, Sha256::from_bytes(DIGEST))
    }

    #[test]
    fn a_paragraph_is_the_control_file_and_where_the_package_is() {
        let control = "Package: a\nVersion: 1:2-3\nArchitecture: amd64\nDepends: b (>= 1),\n c\nDescription: short\n long\n .\n  verbatim\n";
        let want = "Package: a\nVersion: 1:2-3\nArchitecture: amd64\nDepends: b (>= 1),\n c\nDescription: short\n long\n .\n  verbatim\n";
        let sha256 = "ab".repeat(32);
        let paragraph = paragraph_of(control).unwrap();
        assert_eq!(paragraph.text, format!("{want}Filename: pool/a.deb\nSize: 7\nSHA256: {sha256}\n\n"));
        assert_eq!(paragraph.architecture, "amd64");
    }

    #[test]
    fn a_package_speaks_for_itself_only() {
        let base = "Package: a\nVersion: 1\nArchitecture: all\n";
        for more in [
            "Filename: /etc/passwd\n continued\n",
            "sha256: 00\nSIZE: 1\n",
            "\nPackage: libc6\nVersion: 99\n",
            " \nPackage: libc6\n",
            "Package: libc6\n",
        ] {
            assert_eq!(paragraph_of(&format!("{base}{more}")).unwrap(), paragraph_of(base).unwrap(), "{more:?}");
        }
        let text = paragraph_of(&format!("{base}Maintainer: a\rPackage: b\u{0}\u{85}\u{1b}[31m\n")).unwrap().text;
        assert!(text.contains("Maintainer: a\u{fffd}Package: b\u{fffd}\u{fffd}\u{fffd}[31m\n"), "{text}");
    }

    #[test]
    fn what_is_no_control_file_is_refused() {
        let base = "Package: a\nVersion: 1\nArchitecture: all\n";
        for control in [
            "",
            "Package: a\nVersion: 1\n",
            "Package: a b\nVersion: 1\nArchitecture: all\n",
            "Package: a\nVersion: 1\nArchitecture: ../x\n",
            &format!("{base}no field\n"),
            &format!("{base}a b: c\n"),
            &format!("{base}: c\n"),
        ] {
            assert!(paragraph_of(control).is_err(), "{control:?}");
        }
    }

    proptest! {
        #[test]
        fn no_control_file_makes_two_paragraphs(more in "(\\PC|[\\x00-\\x20:]){0,80}") {
            let control = format!("Package: a\nVersion: 1\nArchitecture: all\nX: {more}\n");
            if let Ok(Paragraph { text, .. }) = paragraph_of(&control) {
                prop_assert_eq!(text.matches("\n\n").count(), 1, "{}", text);
                prop_assert!(text.ends_with("\n\n"));
                prop_assert_eq!(text.matches("\nFilename:").count(), 1);
                prop_assert!(text.lines().filter(|line| !line.is_empty()).all(|line| !line.trim().is_empty()));
            }
        }
    }
}
