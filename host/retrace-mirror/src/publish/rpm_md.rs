//! rpm-md metadata from the facts of packages: `primary`, `filelists`, `other`, and `repomd.xml` that lists them.
//!
//! The format has no standard; createrepo_c and libsolv are what it is. The names of elements and their order are theirs.

use std::fmt::Write as _;

use retrace_package::{Change, Comparison, Dependency, FileKind, PackagedFile, RpmFacts};
use retrace_types::Sha256;

use super::xml;

/// The kinds of metadata, in the order of [`Fragments`].
pub(super) const KINDS: [&str; 3] = ["primary", "filelists", "other"];

/// What a package's file is in the repository.
pub(super) struct FileFacts<'a> {
    /// Path below the repository.
    pub(super) location: &'a str,
    pub(super) sha256: Sha256,
    pub(super) size_bytes: u64,
    /// Seconds since 1970.
    pub(super) modified: u64,
}

/// A metadata file as `repomd.xml` lists it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) kind: &'static str,
    pub(super) location: String,
    pub(super) sha256: Sha256,
    pub(super) size_bytes: u64,
    pub(super) open_sha256: Sha256,
    pub(super) open_size_bytes: u64,
}

/// First and last line of a metadata file; `count` packages stand between them.
pub(super) fn frame(kind: &str, count: usize) -> (String, &'static str) {
    let (root, name, more) = match kind {
        "primary" => ("metadata", "common", " xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\""),
        "filelists" => ("filelists", "filelists", ""),
        _ => ("otherdata", "other", ""),
    };
    let head = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"http://linux.duke.edu/metadata/{name}\"{more} packages=\"{count}\">\n"
    );
    let end = match kind {
        "primary" => "</metadata>\n",
        "filelists" => "</filelists>\n",
        _ => "</otherdata>\n",
    };
    (head, end)
}

/// What a package adds to each kind of metadata.
pub(super) fn fragments(facts: &RpmFacts, file: &FileFacts<'_>) -> [String; 3] {
    [primary(facts, file), filelists(facts, file), other(facts, file)]
}

fn primary(facts: &RpmFacts, file: &FileFacts<'_>) -> String {
    let mut out = String::from("<package type=\"rpm\">\n");
    xml::element(&mut out, 1, "name", &facts.name);
    xml::element(&mut out, 1, "arch", &facts.arch);
    version(&mut out, facts);
    let sha256 = file.sha256;
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  <checksum type=\"sha256\" pkgid=\"YES\">{sha256}</checksum>");
    xml::element(&mut out, 1, "summary", &facts.summary);
    xml::element(&mut out, 1, "description", &facts.description);
    xml::element(&mut out, 1, "packager", &facts.packager);
    xml::element(&mut out, 1, "url", &facts.url);
    let _ = writeln!(out, "  <time file=\"{}\" build=\"{}\"/>", file.modified, facts.build_time);
    let (package, installed, archive) = (file.size_bytes, facts.installed_bytes, facts.archive_bytes);
    let _ = writeln!(out, "  <size package=\"{package}\" installed=\"{installed}\" archive=\"{archive}\"/>");
    out.push_str("  <location");
    xml::attribute(&mut out, "href", file.location);
    out.push_str("/>\n  <format>\n");
    for (name, value) in [
        ("rpm:license", &facts.license),
        ("rpm:vendor", &facts.vendor),
        ("rpm:group", &facts.group),
        ("rpm:buildhost", &facts.build_host),
        ("rpm:sourcerpm", &facts.source_rpm),
    ] {
        xml::element(&mut out, 2, name, value);
    }
    let (start, end) = facts.header_range;
    let _ = writeln!(out, "    <rpm:header-range start=\"{start}\" end=\"{end}\"/>");
    for (name, list) in [
        ("provides", &facts.provides),
        ("requires", &facts.requires),
        ("conflicts", &facts.conflicts),
        ("obsoletes", &facts.obsoletes),
        ("suggests", &facts.suggests),
        ("enhances", &facts.enhances),
        ("recommends", &facts.recommends),
        ("supplements", &facts.supplements),
    ] {
        dependencies(&mut out, name, list);
    }
    for packaged in facts.files.iter().filter(|packaged| is_primary(&packaged.path)) {
        out.push_str("    ");
        packaged_file(&mut out, packaged);
    }
    out.push_str("  </format>\n</package>\n");
    out
}

fn filelists(facts: &RpmFacts, file: &FileFacts<'_>) -> String {
    let mut out = package_start(facts, file);
    for packaged in &facts.files {
        out.push_str("  ");
        packaged_file(&mut out, packaged);
    }
    out.push_str("</package>\n");
    out
}

/// Oldest change first, as readers expect.
fn other(facts: &RpmFacts, file: &FileFacts<'_>) -> String {
    let mut out = package_start(facts, file);
    for Change { author, time, text } in facts.changes.iter().rev() {
        out.push_str("  <changelog");
        xml::attribute(&mut out, "author", author);
        let _ = write!(out, " date=\"{time}\">");
        xml::text(&mut out, text);
        out.push_str("</changelog>\n");
    }
    out.push_str("</package>\n");
    out
}

fn package_start(facts: &RpmFacts, file: &FileFacts<'_>) -> String {
    let mut out = format!("<package pkgid=\"{}\"", file.sha256);
    xml::attribute(&mut out, "name", &facts.name);
    xml::attribute(&mut out, "arch", &facts.arch);
    out.push_str(">\n");
    version(&mut out, facts);
    out
}

fn version(out: &mut String, facts: &RpmFacts) {
    let _ = write!(out, "  <version epoch=\"{}\"", facts.epoch.unwrap_or_default());
    xml::attribute(out, "ver", &facts.version);
    xml::attribute(out, "rel", &facts.release);
    out.push_str("/>\n");
}

fn dependencies(out: &mut String, name: &str, list: &[Dependency]) {
    if list.is_empty() {
        return;
    }
    let _ = writeln!(out, "    <rpm:{name}>");
    for dependency in list {
        out.push_str("      <rpm:entry");
        xml::attribute(out, "name", &dependency.name);
        if let Some(comparison) = dependency.comparison {
            let flags = match comparison {
                Comparison::Less => "LT",
                Comparison::LessOrEqual => "LE",
                Comparison::Equal => "EQ",
                Comparison::GreaterOrEqual => "GE",
                Comparison::Greater => "GT",
            };
            xml::attribute(out, "flags", flags);
            let (epoch, version, release) = epoch_version_release(&dependency.version);
            xml::attribute(out, "epoch", epoch);
            xml::attribute(out, "ver", version);
            if let Some(release) = release {
                xml::attribute(out, "rel", release);
            }
        }
        if dependency.pre && name == "requires" {
            xml::attribute(out, "pre", "1");
        }
        out.push_str("/>\n");
    }
    let _ = writeln!(out, "    </rpm:{name}>");
}

/// `[epoch:]version[-release]`; what stands in front of a colon and is no number belongs to the version.
fn epoch_version_release(text: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => {
            (if epoch.is_empty() { "0" } else { epoch }, rest)
        }
        _ => ("0", text),
    };
    match rest.rsplit_once('-') {
        Some((version, release)) if !release.is_empty() => (epoch, version, Some(release)),
        _ => (epoch, rest, None),
    }
}

fn packaged_file(out: &mut String, file: &PackagedFile) {
    out.push_str(match file.kind {
        FileKind::File => "<file>",
        FileKind::Folder => "<file type=\"dir\">",
        FileKind::Ghost => "<file type=\"ghost\">",
    });
    xml::text(out, &file.path);
    out.push_str("</file>\n");
}

/// Files that packages require by path, so that a resolver needs no `filelists` for them.
fn is_primary(path: &str) -> bool {
    path.starts_with("/etc/") || path.contains("bin/") || path == "/usr/lib/sendmail"
}

/// `repomd.xml`; `made_at` in seconds since 1970.
pub(super) fn repomd(files: &[Listed], made_at: i64) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\" \
         xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\">\n  <revision>{made_at}</revision>\n"
    );
    for Listed { kind, location, sha256, size_bytes, open_sha256, open_size_bytes } in files {
        let _ = write!(
            out,
            "  <data type=\"{kind}\">\n    <checksum type=\"sha256\">{sha256}</checksum>\n    <open-checksum \
             type=\"sha256\">{open_sha256}</open-checksum>\n    <location href=\"{location}\"/>\n    \
             <timestamp>{made_at}</timestamp>\n    <size>{size_bytes}</size>\n    \
             <open-size>{open_size_bytes}</open-size>\n  </data>\n"
        );
    }
    out.push_str("</repomd>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_dependencies_are_split() {
        for (text, want) in [
            ("1:2.3-4", ("1", "2.3", Some("4"))),
            ("2.3", ("0", "2.3", None)),
            ("2.3-4.fc40", ("0", "2.3", Some("4.fc40"))),
            (":2", ("0", "2", None)),
            ("a:b-c-d", ("0", "a:b-c", Some("d"))),
            ("2-", ("0", "2-", None)),
        ] {
            assert_eq!(epoch_version_release(text), want, "{text:?}");
        }
    }

    #[test]
    fn a_hostile_package_makes_one_harmless_element() {
        let evil = "x\"/><package type=\"rpm\"><name>evil</name>]]>\u{1}\r".to_owned();
        let dependency =
            Dependency { name: evil.clone(), comparison: Some(Comparison::Equal), version: evil.clone(), pre: true };
        let facts = RpmFacts {
            name: evil.clone(),
            version: evil.clone(),
            summary: evil.clone(),
            provides: vec![dependency.clone()],
            requires: vec![dependency],
            files: vec![PackagedFile { path: format!("/etc/{evil}"), kind: FileKind::File }],
            changes: vec![Change { author: evil.clone(), time: u64::MAX, text: evil.clone() }],
            ..RpmFacts::default()
        };
        let file = FileFacts { location: "a", sha256: Sha256::from_bytes([1; 32]), size_bytes: 1, modified: 1 };
        for (kind, fragment) in KINDS.into_iter().zip(fragments(&facts, &file)) {
            let (head, end) = frame(kind, 1);
            let document = format!("{head}{fragment}{end}");
            let mut reader = quick_xml::Reader::from_str(&document);
            let mut packages = 0;
            loop {
                match reader.read_event().unwrap() {
                    quick_xml::events::Event::Start(start) => {
                        packages += usize::from(start.local_name().as_ref() == "package");
                    }
                    quick_xml::events::Event::Eof => break,
                    _ => {}
                }
            }
            assert_eq!(packages, 1, "{kind}");
        }
    }
}
