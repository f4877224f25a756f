//! Metadata of a made-up distribution release, in the sizes and proportions of a real one. The same arguments give the
//! same bytes.
//!
//! The proportions are those of rpm distributions with rpmbuild's `%debug_package`: one `-debuginfo` package for each
//! package with programs, one `-debugsource` for each source, packages without machine code beside them, a long tail of
//! packages with hundreds of programs. Every package has descriptions, dependencies and other files, which a reader of the
//! metadata has to skip.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

/// Writes the repositories `os` and `debug` until both together name `build_ids` build-ids, each file once for its package
/// and once for its debug package. In another `revision` every hundredth source package has a newer version.
pub(crate) fn generate(dir: &Path, build_ids: u64, revision: u32) -> io::Result<()> {
    let (mut os, mut debug) = (Repository::create(&dir.join("os"))?, Repository::create(&dir.join("debug"))?);
    let (mut named, mut number) = (0, 0_u64);
    while named < build_ids {
        named += source(number, revision, build_ids - named, &mut os, &mut debug)?;
        number += 1;
    }
    os.finish(revision)?;
    debug.finish(revision)
}

/// xorshift64*: enough to be irregular, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From `low` to `high`.
    fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    fn choose<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        let at = usize::try_from(self.next()).map_or(0, |number| number % texts.len());
        texts.get(at).copied().unwrap_or_default()
    }

    fn word(&mut self, syllables: u64) -> String {
        const SYLLABLES: [&str; 24] = [
            "ab", "ker", "lib", "net", "gra", "ph", "ix", "tor", "mo", "dul", "xo", "py", "qt", "ser", "vi", "pro",
            "to", "col", "ed", "it", "an", "gen", "sys", "ui",
        ];
        (0..syllables).map(|_| self.choose(&SYLLABLES)).collect()
    }

    /// Programs and libraries of one package: mostly few, sometimes hundreds.
    fn files(&mut self) -> u64 {
        match self.range(0, 99) {
            0..45 => self.range(1, 2),
            45..75 => self.range(3, 6),
            75..93 => self.range(7, 20),
            93..99 => self.range(21, 80),
            _ => self.range(81, 500),
        }
    }
}

/// The build-id of a program.
pub(crate) fn build_id(source: u64, version: u64, package: u64, file: u64) -> String {
    let digest = Sha256::digest(format!("{source} {version} {package} {file}"));
    hex::encode(digest.get(..20).unwrap_or_default())
}

/// Writes the packages of one source package; the build-ids that they name.
fn source(number: u64, revision: u32, left: u64, os: &mut Repository, debug: &mut Repository) -> io::Result<u64> {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    random.next();
    let syllables = random.range(2, 4);
    let base = format!("{}{number}", random.word(syllables));
    let newer = u64::from(number.is_multiple_of(100)) * u64::from(revision);
    let version = format!("{}.{}.{}", random.range(0, 30), random.range(0, 40), random.range(0, 20));
    let release = format!("{}.fc40", random.range(1, 9) + newer);
    let source_rpm = format!("{base}-{version}-{release}.src.rpm");
    let package = |name: String, arch: &'static str| Package {
        name,
        version: version.clone(),
        release: release.clone(),
        arch,
        source: source_rpm.clone(),
        ..Package::default()
    };
    let mut named = 0;
    for n in 0..random.range(1, 4) {
        let name = match n {
            0 => base.clone(),
            1 => format!("{base}-libs"),
            _ => format!("{base}-{}", random.word(2)),
        };
        let count = random.files().min((left - named).div_ceil(2));
        if count == 0 {
            break;
        }
        let (mut binary, mut debuginfo) =
            (package(name.clone(), "x86_64"), package(format!("{name}-debuginfo"), "x86_64"));
        if n == 1 {
            binary.requires.push((base.clone(), format!("{version}-{release}")));
        }
        for file in 0..count {
            let id = build_id(number, newer, n, file);
            let (first, rest) = id.split_at(2);
            let path = match random.range(0, 2) {
                0 => format!("/usr/bin/{base}-{file}"),
                1 => format!("/usr/lib64/lib{base}{n}-{file}.so.{}", random.range(0, 9)),
                _ => format!("/usr/lib64/{base}/modules/{}{file}.so", random.word(2)),
            };
            binary.files.push(format!("/usr/lib/.build-id/{first}"));
            binary.files.push(format!("/usr/lib/.build-id/{first}/{rest}"));
            debuginfo.files.push(format!("/usr/lib/debug/.build-id/{first}"));
            debuginfo.files.push(format!("/usr/lib/debug/.build-id/{first}/{rest}"));
            debuginfo.files.push(format!("/usr/lib/debug/.build-id/{first}/{rest}.debug"));
            debuginfo.files.push(format!("/usr/lib/debug{path}-{version}-{release}.x86_64.debug"));
            binary.files.push(path);
            debuginfo.build_ids.push(id);
        }
        named += 2 * count;
        other_files(&mut binary, &mut random, &base);
        os.add(&binary, &mut random)?;
        debug.add(&debuginfo, &mut random)?;
    }
    for suffix in ["doc", "devel", "data"] {
        if random.range(0, 1) == 0 {
            let mut data = package(format!("{base}-{suffix}"), if suffix == "devel" { "x86_64" } else { "noarch" });
            other_files(&mut data, &mut random, &base);
            os.add(&data, &mut random)?;
        }
    }
    let mut sources = package(format!("{base}-debugsource"), "x86_64");
    sources.files = (0..random.range(3, 60))
        .map(|n| format!("/usr/src/debug/{base}-{version}-{release}.x86_64/src/{}/{n}.c", random.word(2)))
        .collect();
    debug.add(&sources, &mut random)?;
    Ok(named)
}

fn other_files(package: &mut Package, random: &mut Random, base: &str) {
    for n in 0..random.range(2, 30) {
        const FOLDERS: [&str; 4] =
            ["/usr/share/doc", "/usr/share/locale/de/LC_MESSAGES", "/usr/include", "/usr/share/licenses"];
        let folder = random.choose(&FOLDERS);
        package.files.push(format!("{folder}/{base}/{}-{n}.txt", random.word(3)));
    }
}

#[derive(Default)]
struct Package {
    name: String,
    version: String,
    release: String,
    arch: &'static str,
    source: String,
    requires: Vec<(String, String)>,
    build_ids: Vec<String>,
    files: Vec<String>,
}

/// A repository on its way, and the sizes and digests of its files.
struct Repository {
    dir: std::path::PathBuf,
    primary: Data,
    filelists: Data,
}

type Data = GzEncoder<BufWriter<File>>;

impl Repository {
    fn create(dir: &Path) -> io::Result<Self> {
        let repodata = dir.join("repodata");
        fs::create_dir_all(&repodata)?;
        let open = |name: &str, root: &str| -> io::Result<Data> {
            let file = BufWriter::new(File::create(repodata.join(name))?);
            let mut data = GzEncoder::new(file, Compression::new(3));
            writeln!(data, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{root}")?;
            Ok(data)
        };
        let primary = open(
            "primary.xml.gz",
            "<metadata xmlns=\"http://linux.duke.edu/metadata/common\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\">",
        )?;
        let filelists = open("filelists.xml.gz", "<filelists xmlns=\"http://linux.duke.edu/metadata/filelists\">")?;
        Ok(Self { dir: dir.to_owned(), primary, filelists })
    }

    fn add(&mut self, package: &Package, random: &mut Random) -> io::Result<()> {
        let Package { name, version, release, arch, source, requires, build_ids, files } = package;
        let id = hex::encode(Sha256::digest(format!("{name}-{version}-{release}.{arch}")));
        let letter = name.get(..1).unwrap_or("x");
        let (time, size, words) =
            (1_712_000_000 + random.range(0, 9_999_999), random.range(6_000, 9_000_000), random.range(20, 60));
        let description: String = (0..words).map(|_| random.word(3) + " ").collect();
        let mut entries = String::new();
        for build_id in build_ids {
            let _ = writeln!(
                entries,
                "      <rpm:entry name=\"debuginfo(build-id)\" flags=\"EQ\" epoch=\"0\" ver=\"{build_id}\"/>"
            );
        }
        let mut depends = String::new();
        for (name, version) in requires {
            let (version, release) = version.split_once('-').unwrap_or((version, ""));
            let _ = writeln!(
                depends,
                "      <rpm:entry name=\"{name}(x86-64)\" flags=\"EQ\" epoch=\"0\" ver=\"{version}\" rel=\"{release}\"/>"
            );
        }
        for n in 0..if build_ids.is_empty() { random.range(3, 14) } else { 0 } {
            let _ = writeln!(depends, "      <rpm:entry name=\"lib{}.so.{n}(GLIBC_2.{n})(64bit)\"/>", random.word(2));
        }
        let mut short = String::new();
        for file in files.iter().filter(|file| file.starts_with("/usr/bin/")) {
            let _ = writeln!(short, "    <file>{file}</file>");
        }
        write!(
            self.primary,
            "<package type=\"rpm\">\n  <name>{name}</name>\n  <arch>{arch}</arch>\n  <version epoch=\"0\" ver=\"{version}\" rel=\"{release}\"/>\n  \
             <checksum type=\"sha256\" pkgid=\"YES\">{id}</checksum>\n  <summary>{name} does what it is for</summary>\n  \
             <description>{description}</description>\n  <packager>A Distribution</packager>\n  <url>https://{name}.example/</url>\n  \
             <time file=\"{time}\" build=\"{time}\"/>\n  <size package=\"{size}\" installed=\"{size}\" archive=\"{size}\"/>\n  \
             <location href=\"Packages/{letter}/{name}-{version}-{release}.{arch}.rpm\"/>\n  <format>\n    <rpm:license>GPL-2.0-or-later AND MIT</rpm:license>\n    \
             <rpm:vendor>A Distribution</rpm:vendor>\n    <rpm:group>Unspecified</rpm:group>\n    <rpm:buildhost>build.example</rpm:buildhost>\n    \
             <rpm:sourcerpm>{source}</rpm:sourcerpm>\n    <rpm:header-range start=\"4504\" end=\"{size}\"/>\n    <rpm:provides>\n      \
             <rpm:entry name=\"{name}\" flags=\"EQ\" epoch=\"0\" ver=\"{version}\" rel=\"{release}\"/>\n      \
             <rpm:entry name=\"{name}(x86-64)\" flags=\"EQ\" epoch=\"0\" ver=\"{version}\" rel=\"{release}\"/>\n{entries}    </rpm:provides>\n    \
             <rpm:requires>\n{depends}    </rpm:requires>\n{short}  </format>\n</package>\n"
        )?;
        write!(
            self.filelists,
            "<package pkgid=\"{id}\" name=\"{name}\" arch=\"{arch}\">\n  <version epoch=\"0\" ver=\"{version}\" rel=\"{release}\"/>\n"
        )?;
        for file in files {
            let is_folder = file.rsplit('/').next().is_some_and(|name| name.len() == 2);
            let kind = if is_folder { " type=\"dir\"" } else { "" };
            writeln!(self.filelists, "  <file{kind}>{file}</file>")?;
        }
        writeln!(self.filelists, "</package>")
    }

    fn finish(self, revision: u32) -> io::Result<()> {
        let repodata = self.dir.join("repodata");
        let mut repomd =
            format!("<repomd xmlns=\"http://linux.duke.edu/metadata/repo\">\n<revision>{revision}</revision>\n");
        for (mut data, root, kind) in
            [(self.primary, "metadata", "primary"), (self.filelists, "filelists", "filelists")]
        {
            writeln!(data, "</{root}>")?;
            data.finish()?.flush()?;
            let name = format!("{kind}.xml.gz");
            let bytes = fs::read(repodata.join(&name))?;
            let digest = hex::encode(Sha256::digest(&bytes));
            let _ = writeln!(
                repomd,
                "<data type=\"{kind}\"><checksum type=\"sha256\">{digest}</checksum><location href=\"repodata/{name}\"/>\
                 <timestamp>{}</timestamp><size>{}</size></data>",
                1_712_000_000 + u64::from(revision),
                bytes.len()
            );
        }
        fs::write(repodata.join("repomd.xml"), repomd + "</repomd>\n")
    }
}
