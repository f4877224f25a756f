//! The tools that make packages and keys, and hand-made archives that the tools refuse to make.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::Command,
};

use retrace_package::{Extracted, Limits, PackageError, Sink, VerifiedPackage, Wanted, extract, verify_digest};
use retrace_types::{Sha256, SignatureState};
use tempfile::TempDir;

/// Runs a program to its end and returns what it printed; the test fails if the program does.
pub(crate) fn run(program: &str, args: &[&str], env: &[(&str, &str)]) -> String {
    #[expect(clippy::disallowed_methods, reason = "tests make their packages with the real tools")]
    let output = Command::new(program).args(args).envs(env.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text} {errors}");
    text
}

/// Whether all these programs are there. Without them a test is skipped, or fails if `RETRACE_REQUIRE_TOOLS` is 1.
pub(crate) fn have(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &&&str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    let missing: Vec<&&str> = programs.iter().filter(|program| !there(program)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var("RETRACE_REQUIRE_TOOLS").as_deref() != Ok("1"), "missing programs: {missing:?}");
    println!("skipped: missing programs {missing:?}");
    false
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A compiled program with a build-id, and its debug information in a file of its own.
pub(crate) struct Program {
    pub(crate) build_id: String,
    pub(crate) binary: Vec<u8>,
    pub(crate) debug: Vec<u8>,
}

impl Program {
    pub(crate) fn compile(dir: &Path, name: &str) -> Self {
        let (source, binary) = (dir.join(format!("{name}.c")), dir.join(name));
        let debug = dir.join(format!("{name}.debug"));
        fs::write(&source, format!("const char *const name = \"{name}\"; int main(void) {{ return name[0]; }}\n"))
            .unwrap();
        run("gcc", &["-g", "-O1", "-Wl,--build-id", "-o", text(&binary), text(&source)], &[]);
        run("objcopy", &["--only-keep-debug", text(&binary), text(&debug)], &[]);
        run("strip", &["-g", text(&binary)], &[]);
        let notes = run("readelf", &["-n", text(&binary)], &[]);
        let build_id = notes.split("Build ID: ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        Self { build_id, binary: fs::read(binary).unwrap(), debug: fs::read(debug).unwrap() }
    }

    pub(crate) fn debug_path(&self) -> String {
        let (first, rest) = self.build_id.split_at(2);
        format!("/usr/lib/debug/.build-id/{first}/{rest}.debug")
    }
}

/// A tree with a program, its debug file, links of every kind, and a file that fills some buffers.
pub(crate) fn install(root: &Path, program: &Program) {
    let write = |path: &str, bytes: &[u8]| {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    let link = |path: &str, target: &str| {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    };
    write("/usr/bin/tool", &program.binary);
    write(&program.debug_path(), &program.debug);
    write("/usr/share/data/big", &vec![b'x'; 3 << 20]);
    write("/usr/share/data/hard1", b"one content, two names");
    fs::hard_link(root.join("usr/share/data/hard1"), root.join("usr/share/data/hard2")).unwrap();
    link("/usr/share/data/link", "../../bin/tool");
    link("/usr/share/again", "data/link");
    link("/usr/share/folder", "/usr/bin");
    link("/usr/share/outside", "/etc/alternatives/x");
    let long = format!("/usr/share/{}/{}", "d".repeat(120), "f".repeat(120));
    write(&long, b"long name");
    link("/usr/share/longlink", &long);
}

/// Keeps what it is given.
#[derive(Default)]
pub(crate) struct Keep(pub(crate) Vec<(Vec<usize>, String, Vec<u8>)>);

impl Sink for Keep {
    fn member(&mut self, wanted: &[usize], path: &str, size: u64, data: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)?;
        assert_eq!(bytes.len() as u64, size, "the size is told truly");
        self.0.push((wanted.to_vec(), path.to_owned(), bytes));
        Ok(())
    }
}

/// Path and content of what was found, in the order of the wants.
pub(crate) type Taken = Vec<Option<(String, Vec<u8>)>>;

/// What a want of each kind gives: path and content, in the order of `wanted`.
pub(crate) fn take(package: &VerifiedPackage, wanted: &[Wanted]) -> Result<Taken, PackageError> {
    let mut sink = Keep::default();
    let found: Vec<Extracted> = extract(package, wanted, &mut sink, &Limits::default())?;
    let mut answers = vec![None; wanted.len()];
    for (indexes, path, bytes) in sink.0 {
        for index in indexes {
            assert!(found.iter().any(|extracted| extracted.wanted == index && extracted.path == path));
            answers[index] = Some((path.clone(), bytes.clone()));
        }
    }
    assert_eq!(answers.iter().flatten().count(), found.len());
    Ok(answers)
}

pub(crate) fn paths(paths: &[&str]) -> Vec<Wanted> {
    paths.iter().map(|path| Wanted::Path((*path).to_owned())).collect()
}

/// Takes the file as it is, as for a repository whose verification is off.
pub(crate) fn unverified(path: &Path) -> VerifiedPackage {
    let sum = run("sha256sum", &[text(path)], &[]);
    let sha256: Sha256 = sum.split_whitespace().next().unwrap().parse().unwrap();
    verify_digest(path, fs::metadata(path).unwrap().len(), sha256, SignatureState::Off).unwrap()
}

/// An .rpm with the payload of this installed tree.
pub(crate) fn build_rpm(dir: &Path, root: &Path, payload: &str) -> PathBuf {
    let spec = dir.join("tool.spec");
    fs::write(
        &spec,
        "%global debug_package %{nil}\n%global __os_install_post %{nil}\n%global _build_id_links compat\n\
         Name: tool\nEpoch: 3\nVersion: 1.0\nRelease: 2\nSummary: x\nLicense: MIT\n\
         Requires: other(x86-64) = 3:1.0-2\nRequires: loose >= 1\nAutoReqProv: no\n\
         %description\nx\n%install\ncp -a %{tree}/. %{buildroot}/\n%files\n/usr\n",
    )
    .unwrap();
    let top = dir.join(format!("top-{payload}"));
    let define = |name: &str, value: &str| format!("{name} {value}");
    let defines = [
        define("_topdir", text(&top)),
        define("_dbpath", text(&dir.join("db"))),
        define("_binary_payload", payload),
        define("tree", text(root)),
    ];
    let mut args: Vec<&str> = defines.iter().flat_map(|define| ["--define", define]).collect();
    args.extend(["-bb", text(&spec)]);
    run("rpmbuild", &args, &[("HOME", text(dir))]);
    let found = walk(&top.join("RPMS"));
    found.into_iter().find(|path| path.extension().is_some_and(|ext| ext == "rpm")).unwrap()
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// GnuPG with a home of its own.
pub(crate) struct Gpg {
    home: TempDir,
}

impl Gpg {
    pub(crate) fn new() -> Self {
        // The agent's socket lives in the home: its path must be short.
        let home = TempDir::with_prefix_in("g", "/tmp").unwrap();
        fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Self { home }
    }

    pub(crate) fn home(&self) -> &str {
        text(self.home.path())
    }

    pub(crate) fn run(&self, args: &[&str]) -> String {
        let mut all = vec!["--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""];
        all.extend(args);
        run("gpg", &all, &[("GNUPGHOME", self.home())])
    }

    /// Makes a key and returns its fingerprint.
    pub(crate) fn key(&self, name: &str, algorithm: &str, time: Option<&str>) -> String {
        let time: Vec<&str> = time.map(|time| vec!["--faked-system-time", time]).unwrap_or_default();
        self.run(&[&time[..], &["--quick-gen-key", name, algorithm, "sign", "never"]].concat());
        self.fingerprint(name)
    }

    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let listing = self.run(&["--with-colons", "--fingerprint", name]);
        let line = listing.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    pub(crate) fn export(&self, name: &str, armored: bool) -> Vec<u8> {
        let out = self.home.path().join("exported");
        let armor: &[&str] = if armored { &["--armor"] } else { &[] };
        self.run(&[armor, &["--output", text(&out), "--export", name]].concat());
        fs::read(out).unwrap()
    }

    /// Signs data in the given way (`--detach-sign`, `--clear-sign`).
    pub(crate) fn sign(&self, data: &[u8], args: &[&str]) -> Vec<u8> {
        let (input, out) = (self.home.path().join("data"), self.home.path().join("signed"));
        fs::write(&input, data).unwrap();
        let _ = fs::remove_file(&out);
        self.run(&[&["--output", text(&out)], args, &[text(&input)]].concat());
        fs::read(out).unwrap()
    }

    pub(crate) fn sign_rpm(&self, name: &str, rpm: &Path, extra: &[&str]) {
        let name = format!("_gpg_name {name}");
        let path = format!("_gpg_path {}", self.home());
        let mut args = vec!["--define", "__gpg /usr/bin/gpg", "--define", &name, "--define", &path];
        args.extend(extra);
        args.extend(["--addsign", text(rpm)]);
        run("rpmsign", &args, &[("GNUPGHOME", self.home()), ("HOME", self.home())]);
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        run("gpgconf", &["--kill", "all"], &[("GNUPGHOME", self.home())]);
    }
}

/// A .deb of these members, compressed by nothing.
pub(crate) fn ar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, data) in members {
        out.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, data.len()).bytes());
        out.extend(data);
        if data.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

/// A member for [`tar`]: name, type, link target, data. Names are written as they are.
pub(crate) type TarMember<'a> = (&'a [u8], u8, &'a [u8], &'a [u8]);

pub(crate) fn tar(members: &[TarMember<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, target, data) in members {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::new(*kind));
        header.set_cksum();
        out.extend(header.as_bytes());
        out.extend(*data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

pub(crate) fn deb(data_name: &str, data: Vec<u8>) -> Vec<u8> {
    let control = tar(&[(b"./control", b'0', b"", b"Package: x\nVersion: 1\nArchitecture: all\n")]);
    ar(&[("debian-binary", b"2.0\n".to_vec()), ("control.tar", control), (data_name, data)])
}

/// A member for [`cpio`]: name, mode, inode, number of links, data.
pub(crate) type CpioMember<'a> = (&'a [u8], u32, u32, u32, &'a [u8]);

pub(crate) fn cpio(members: &[CpioMember<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let trailer: CpioMember<'_> = (b"TRAILER!!!", 0, 0, 1, b"");
    for (name, mode, inode, links, data) in members.iter().chain([&trailer]) {
        let numbers = [*inode, *mode, 0, 0, *links, 0, data.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        out.extend(b"070701");
        numbers.iter().for_each(|number| out.extend(format!("{number:08x}").bytes()));
        out.extend(*name);
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(*data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// One value of an RPM header.
pub(crate) enum Value<'a> {
    Text(&'a str),
    Texts(&'a [&'a str]),
    U16s(&'a [u16]),
    U32s(&'a [u32]),
    Bytes(&'a [u8]),
}

pub(crate) fn rpm_header(values: &[(u32, Value<'_>)]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, value) in values {
        let start = data.len() as u32;
        let (kind, count) = match value {
            Value::Text(text) => {
                data.extend(text.bytes().chain([0]));
                (6, 1)
            }
            Value::Texts(texts) => {
                texts.iter().for_each(|text| data.extend(text.bytes().chain([0])));
                (8, texts.len())
            }
            Value::U16s(numbers) => {
                numbers.iter().for_each(|number| data.extend(number.to_be_bytes()));
                (3, numbers.len())
            }
            Value::Bytes(bytes) => {
                data.extend(*bytes);
                (7, bytes.len())
            }
            Value::U32s(numbers) => {
                numbers.iter().for_each(|number| data.extend(number.to_be_bytes()));
                (4, numbers.len())
            }
        };
        [*tag, kind, start, count as u32].iter().for_each(|field| index.extend(field.to_be_bytes()));
    }
    let mut header = vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
    header.extend((values.len() as u32).to_be_bytes());
    header.extend((data.len() as u32).to_be_bytes());
    header.extend(index);
    header.extend(data);
    header
}

/// An .rpm with this header and payload; it is not signed.
pub(crate) fn rpm(values: &[(u32, Value<'_>)], payload: &[u8]) -> Vec<u8> {
    signed_rpm(&[], &[rpm_header(values), payload.to_vec()].concat())
}

/// An .rpm with this signature header in front of header and payload.
pub(crate) fn signed_rpm(signatures: &[(u32, Value<'_>)], rest: &[u8]) -> Vec<u8> {
    let mut out = vec![0xed, 0xab, 0xee, 0xdb, 3, 0];
    out.resize(96, 0);
    out.extend(rpm_header(signatures));
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(rest);
    out
}

/// The least that a header must say.
pub(crate) fn named<'a>() -> Vec<(u32, Value<'a>)> {
    vec![
        (1000, Value::Text("x")),
        (1001, Value::Text("1")),
        (1002, Value::Text("1")),
        (1044, Value::Text("x-1-1.src.rpm")),
        (1125, Value::Text("none")),
    ]
}
