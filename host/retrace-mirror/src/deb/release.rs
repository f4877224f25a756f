//! `Release`: what a suite consists of.

use std::collections::HashMap;

use jiff::Timestamp;
use retrace_types::Sha256;

use crate::{
    MetadataError,
    deb::paragraphs::{self, single, words},
    location::Location,
    unpack::Compression,
};

/// Most files that a suite lists; Debian's unstable has 2000.
const MAX_FILES: usize = 200_000;
/// Compressions in the order of preference: small first.
const SUFFIXES: [&str; 5] = [".xz", ".zst", ".bz2", ".gz", ""];

/// A suite's `Release` or the text of its `InRelease`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReleaseFile {
    pub(crate) suite: Option<String>,
    pub(crate) codename: Option<String>,
    pub(crate) made_at: i64,
    pub(crate) valid_until: Option<Timestamp>,
    architectures: Vec<String>,
    components: Vec<String>,
    by_hash: bool,
    files: HashMap<String, (u64, Sha256)>,
}

/// An index of a suite, in one of its compressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexFile {
    /// Below the base, best first; the same bytes at each.
    pub(crate) locations: Vec<Location>,
    pub(crate) compression: Compression,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: Sha256,
}

impl ReleaseFile {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, MetadataError> {
        let mut found = None;
        paragraphs::read(&mut &*text, |paragraph| {
            if found.is_some() {
                return Err(MetadataError::Invalid { what: "file of one paragraph", value: "a second one".into() });
            }
            let mut files = HashMap::new();
            for line in paragraph.get("SHA256").ok_or_else(no_sha256)? {
                let mut fields = line.split_ascii_whitespace();
                let (Some(sha256), Some(size), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
                    continue;
                };
                let invalid =
                    || MetadataError::Invalid { what: "line of SHA256", value: line.chars().take(200).collect() };
                let sha256 = sha256.parse().map_err(|_| invalid())?;
                let size = size.parse().map_err(|_| invalid())?;
                if files.len() >= MAX_FILES {
                    return Err(MetadataError::Limit { what: "files", limit: MAX_FILES as u64 });
                }
                files.insert(name.to_owned(), (size, sha256));
            }
            let owned = |field| single(paragraph, field).map(str::to_owned);
            let list = |field| words(paragraph, field).into_iter().map(str::to_owned).collect();
            let time = |field| single(paragraph, field).map(read_time).transpose();
            found = Some(Self {
                suite: owned("Suite"),
                codename: owned("Codename"),
                made_at: time("Date")?.map_or(0, Timestamp::as_second),
                valid_until: time("Valid-Until")?,
                architectures: list("Architectures"),
                components: list("Components"),
                by_hash: single(paragraph, "Acquire-By-Hash").is_some_and(|value| value.eq_ignore_ascii_case("yes")),
                files,
            });
            Ok(())
        })?;
        found.ok_or(MetadataError::Missing("the fields of a Release file"))
    }

    /// True if it is of this suite, or says of none what it is.
    pub(crate) fn is_of(&self, wanted: &str) -> bool {
        match (&self.suite, &self.codename) {
            (None, None) => true,
            (suite, codename) => [suite, codename].into_iter().flatten().any(|name| name == wanted),
        }
    }

    /// The package indexes of a component, in every compression there is.
    pub(crate) fn packages(&self, suite: &str, component: &str, arch: &str) -> Result<Vec<IndexFile>, MetadataError> {
        let name = format!("{component}/binary-{arch}/Packages");
        let found = self.variants(suite, &name);
        if found.is_empty() {
            let listed = format!("components {:?} for {:?}", self.components.join(" "), self.architectures.join(" "));
            return Err(MetadataError::NotListed { wanted: name, listed });
        }
        Ok(found)
    }

    /// The lists of files: each in every compression there is. Older suites have one for all components.
    pub(crate) fn contents(&self, suite: &str, components: &[String], arch: &str) -> Vec<Vec<IndexFile>> {
        let of_arch = |arch: &str| {
            let whole = self.variants(suite, &format!("Contents-{arch}"));
            let parts =
                components.iter().map(|component| self.variants(suite, &format!("{component}/Contents-{arch}")));
            let parts: Vec<_> = parts.filter(|variants| !variants.is_empty()).collect();
            if parts.is_empty() { vec![whole] } else { parts }
        };
        let lists = [arch, "all"].into_iter().flat_map(of_arch);
        lists.filter(|variants| !variants.is_empty()).collect()
    }

    fn variants(&self, suite: &str, name: &str) -> Vec<IndexFile> {
        let found = SUFFIXES.iter().filter_map(|suffix| {
            let file = format!("{name}{suffix}");
            let (size_bytes, sha256) = *self.files.get(&file)?;
            let folder = file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let by_hash = self.by_hash.then(|| format!("dists/{suite}/{folder}by-hash/SHA256/{sha256}"));
            let plain = format!("dists/{suite}/{file}");
            let locations = by_hash.into_iter().chain([plain]).filter_map(|text| Location::parse(&text).ok()).collect();
            Some(IndexFile { locations, compression: Compression::of_name(&file), size_bytes, sha256 })
        });
        found.collect()
    }
}

/// The text of a cleartext-signed file whose signature nobody wants checked. Source: RFC 9580, section 7.
pub(crate) fn strip_signature(data: &[u8]) -> Vec<u8> {
    const BEGIN: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
    if !data.starts_with(BEGIN) {
        return data.to_vec();
    }
    let mut text = Vec::with_capacity(data.len());
    let lines = data.split_inclusive(|byte| *byte == b'\n');
    let body = lines.skip_while(|line| !line.iter().all(u8::is_ascii_whitespace)).skip(1);
    for line in body.take_while(|line| !line.starts_with(b"-----BEGIN PGP SIGNATURE-----")) {
        text.extend_from_slice(line.strip_prefix(b"- ").unwrap_or(line));
    }
    text
}

fn no_sha256() -> MetadataError {
    MetadataError::WeakChecksum("MD5Sum or SHA1".to_owned())
}

/// `Sat, 22 Nov 2026 12:00:00 UTC`.
fn read_time(text: &str) -> Result<Timestamp, MetadataError> {
    let numeric = match text.strip_suffix("UTC").or_else(|| text.strip_suffix("GMT")) {
        Some(rest) => format!("{}+0000", rest),
        None => text.to_owned(),
    };
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let invalid = |_| MetadataError::Invalid { what: "date", value: text.chars().take(80).collect() };
    parser.parse_timestamp(&numeric).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn release() -> String {
        let sha = "ab".repeat(32);
        format!(
            "Origin: Debian\nSuite: oldstable\nCodename: bookworm\nDate: Sat, 22 Nov 2025 12:00:00 UTC\n\
             Valid-Until: Sat, 29 Nov 2025 12:00:00 UTC\nAcquire-By-Hash: yes\nArchitectures: all amd64\nComponents: main\n\
             SHA256:\n {sha} 100 main/binary-amd64/Packages\n {sha} 50 main/binary-amd64/Packages.xz\n \
             {sha} 60 main/binary-amd64/Packages.gz\n {sha} 9 main/Contents-amd64.gz\n {sha} 9 main/Contents-all.gz\n"
        )
    }

    #[test]
    fn indexes_are_found_with_their_digests() {
        let release = ReleaseFile::parse(release().as_bytes()).unwrap();
        assert_eq!(release.made_at, 1_763_812_800);
        assert_eq!(release.valid_until.unwrap().as_second(), 1_764_417_600);
        for (suite, want) in [("bookworm", true), ("oldstable", true), ("trixie", false), ("", false)] {
            assert_eq!(release.is_of(suite), want, "suite: {suite}");
        }
        let packages = release.packages("bookworm", "main", "amd64").unwrap();
        let sizes: Vec<_> = packages.iter().map(|file| file.size_bytes).collect();
        assert_eq!(sizes, [50, 60, 100]);
        let first = packages[0].locations.iter().map(Location::as_str).collect::<Vec<_>>();
        let by_hash = format!("dists/bookworm/main/binary-amd64/by-hash/SHA256/{}", "ab".repeat(32));
        assert_eq!(first, [by_hash.as_str(), "dists/bookworm/main/binary-amd64/Packages.xz"]);
        assert_eq!(release.contents("bookworm", &["main".into()], "amd64").len(), 2);
        let error = release.packages("bookworm", "contrib", "amd64").unwrap_err().to_string();
        assert!(error.contains("contrib/binary-amd64") && error.contains("main"), "{error}");
    }

    #[test]
    fn files_without_strong_digests_are_refused() {
        let weak = "Suite: x\nMD5Sum:\n 00 1 main/x\n";
        assert!(matches!(ReleaseFile::parse(weak.as_bytes()), Err(MetadataError::WeakChecksum(_))));
        for junk in ["", "junk", "SHA256:\n zz 1 x\n", "<html>\n</html>\n"] {
            assert!(ReleaseFile::parse(junk.as_bytes()).is_err(), "file: {junk:?}");
        }
        let bad_date = release().replace("29 Nov", "99 Nov");
        assert!(matches!(ReleaseFile::parse(bad_date.as_bytes()), Err(MetadataError::Invalid { what: "date", .. })));
    }

    #[test]
    fn a_signature_that_nobody_checks_is_cut_off() {
        let signed = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: x\n- -dash\n-----BEGIN PGP SIGNATURE-----\nx\n";
        assert_eq!(strip_signature(signed), b"Suite: x\n-dash\n");
        assert_eq!(strip_signature(b"Suite: x\n"), b"Suite: x\n");
    }

    proptest! {
        #[test]
        fn damaged_files_are_read_or_refused(at in 0_usize..1000, byte: u8, cut in 0_usize..1000) {
            let mut bytes = release().into_bytes();
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(cut % length);
            let _ = strip_signature(&bytes);
            if let Ok(release) = ReleaseFile::parse(&bytes) {
                let _ = release.contents("../x", &["main".into()], "amd64");
            }
        }
    }
}
