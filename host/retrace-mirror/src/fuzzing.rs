//! Entrances of the fuzz targets in `fuzz/`, which see no more of the crate than anybody else. Only built for them.
//!
//! Each takes any bytes as what a server sent, and panics if what comes out breaks a rule that the rest of the crate relies on.

use retrace_types::{Architecture, Release};

use crate::{
    Limits,
    budget::Budget,
    deb::{ReleaseFile, read_contents, read_packages, strip_signature},
    expand_mirror,
    location::{Base, Location},
    mirror_list,
    rpm_md::{Index, Repomd, read_filelists, read_primary},
    transfer,
};

/// Small ones, so that they are reached.
fn limits() -> Limits {
    Limits { packages: 100, index_bytes: 1 << 20, ..Limits::default() }
}

fn stays_below_the_base(location: &str) {
    assert!(Location::parse(location).is_ok(), "{location:?}");
}

/// `repomd.xml`; `primary.xml` and behind a zero byte `filelists.xml`.
pub fn rpm_md(bytes: &[u8]) {
    if let Ok(repomd) = Repomd::parse(bytes) {
        // Checked where it is used.
        let _ = Location::parse(&repomd.primary.location);
    }
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (primary, filelists) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let limits = limits();
    let mut index = Index::new(&limits);
    if read_primary(primary, &mut index).is_ok() {
        let _ = read_filelists(filelists, &mut index);
    }
    assert!(index.packages.len() as u64 <= limits.packages);
    index.packages.iter().for_each(|package| stays_below_the_base(&package.location));
}

/// `Release` or `InRelease`, `Packages`, `Contents`.
pub fn deb(bytes: &[u8]) {
    if let Ok(release) = ReleaseFile::parse(&strip_signature(bytes)) {
        let listed = release.packages("stable", "main", "amd64").unwrap_or_default();
        let contents = release.contents("stable", &["main".to_owned()], "amd64");
        for file in listed.iter().chain(contents.iter().flatten()) {
            file.locations.iter().for_each(|location| stays_below_the_base(location.as_str()));
        }
    }
    let limits = limits();
    let (mut packages, mut paths) = (Vec::new(), Vec::new());
    let _ = read_packages(&mut &*bytes, &mut Budget::new(&limits), &mut packages);
    assert!(packages.len() as u64 <= limits.packages);
    packages.iter().for_each(|package| stays_below_the_base(&package.location));
    let _ = read_contents(&mut &*bytes, &mut Budget::new(&limits), &mut paths);
}

/// Index pages of http servers, listings of ftp and rsync servers.
pub fn listings(bytes: &[u8]) {
    let Ok(base) = Base::parse("https://mirror.example/") else { return };
    let listed = transfer::fuzz_listings(&base, &String::from_utf8_lossy(bytes));
    assert!(listed.len() <= 100);
    listed.iter().for_each(|file| stays_below_the_base(file.location.as_str()));
}

/// Lists of mirrors, mirrors themselves, locations, and files of credentials.
pub fn texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    transfer::fuzz_credentials(&text);
    let remote = Base::parse("https://mirror.example/").ok();
    for mirror in remote.iter().flat_map(|remote| mirror_list::named(remote, bytes)) {
        let base = Base::parse(&mirror);
        assert!(base.is_ok_and(|base| !base.is_local()), "{mirror:?}: a server's list led to this machine");
    }
    for line in text.lines().take(64) {
        let _ = Base::parse(line);
        if let Ok(location) = Location::parse(line) {
            assert!(location.as_str().split('/').all(|part| !part.is_empty() && part != ".." && part != "."));
            stays_below_the_base(location.as_str());
        }
        if let Ok(id) = "fixture-1".parse() {
            let release = Release { id, minor: None, codename: None, rolling: false };
            let _ = expand_mirror(line, &release, Architecture::X86_64);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Texts that reach the parsers' insides; the fuzz targets find their own.
    const SEEDS: [&str; 8] = [
        "<repomd><data type=\"primary\"><checksum type=\"sha256\">00</checksum><location href=\"repodata/p\"/></data></repomd>",
        "<metadata><package type=\"rpm\"><name>a</name><arch>x</arch><version epoch=\"0\" ver=\"1\" rel=\"1\"/>\
         <checksum type=\"sha256\" pkgid=\"YES\">00</checksum><location href=\"../a.rpm\"/></package></metadata>\0\
         <filelists><package pkgid=\"00\"><file>/usr/bin/a</file></package></filelists>",
        "Suite: stable\nComponents: main\nArchitectures: amd64\nSHA256:\n 00 1 main/binary-amd64/Packages\n",
        "Package: a\nVersion: 1:2-3\nArchitecture: amd64\nFilename: ../../a.deb\nSize: 1\nSHA256: 00\n",
        "usr/bin/a  utils/a,b\n",
        "<a href=\"a.rpm\">a</a> 2026\n<a href='b/'>b</a>\n",
        "-rw-r--r--          1234 2026/11/01 10:00:00 a.rpm\ntype=file;size=1; a.rpm\n",
        "machine h login l password p\nfile:///etc\nhttps://h/x/$ARCH\n../x\n",
    ];

    fn all(bytes: &[u8]) {
        rpm_md(bytes);
        deb(bytes);
        listings(bytes);
        texts(bytes);
    }

    proptest! {
        #[test]
        fn whatever_a_server_sends_keeps_the_rules(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            all(&bytes);
        }

        #[test]
        fn damaged_texts_keep_the_rules(
            seed in proptest::sample::select(&SEEDS[..]),
            at in any::<proptest::sample::Index>(),
            with in "[a-z<>/=. \\n\\x00$*\"é]{0,8}",
        ) {
            let mut text = seed.as_bytes().to_vec();
            let at = at.index(text.len());
            text.splice(at..at, with.bytes());
            all(&text);
        }
    }

    /// Time and not memory was what a page without line ends cost: each link was followed to the page's end.
    #[test]
    fn a_page_of_links_without_ends_is_read_in_a_moment() {
        let page = "<a href=x>".repeat(400_000);
        let start = std::time::Instant::now();
        listings(page.as_bytes());
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
    }
}
