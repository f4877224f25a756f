//! One plugin for all checks of the conformance suite: its behaviour stands in [`MARKER`], which tests overwrite in the
//! built component with the id of a check. Unchanged it is a good plugin; with `B7` in it, it fails check B7 and no other.
//!
//! One build instead of fifty, and every bad plugin differs from the good one in nothing but its defect.
#![cfg_attr(target_family = "wasm", no_std)]

use core::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
};

use retrace_plugin_sdk::prelude::*;

/// Which check fails: the text behind the colon, up to the first space.
static MARKER: [u8; 18] = *b"RETRACE-BAD:none  ";

/// The plugin.
pub struct Bad;

/// A real key, so that its fingerprint can be wrong: of Debian 12, copied by the tests.
const FINGERPRINT: &str = "4D64FEC119C2029067D6E791F8D2585B8783D481";

fn is(check: &str) -> bool {
    // Read as if it could have changed, which it has.
    let marker = black_box(&MARKER);
    let text = core::str::from_utf8(marker).unwrap_or_default();
    text.split(':').nth(1).unwrap_or_default().trim_end() == check
}

impl Distribution for Bad {
    const ID: &'static str = "bad";

    fn describe() -> Description {
        let id = if is("beside") || is("G2") { "worse" } else { Self::ID };
        let aliases = match () {
            () if is("C2") => vec!["virtuozzo".into()],
            () if is("G2") => vec!["bad".into()],
            () => vec!["bad-server".into()],
        };
        Description {
            id: id.into(),
            aliases: if id == "worse" && !is("G2") { vec![] } else { aliases },
            name: "Bad Linux".into(),
            format: PackageFormat::Rpm,
            plugin_version: if is("B1") { "1.2" } else { env!("CARGO_PKG_VERSION") }.into(),
            annotations: vec![],
        }
    }

    fn releases() -> Vec<ReleaseEntry> {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let mut entries = vec![entry("2"), entry("1")];
        let odd = |change: fn(&mut ReleaseEntry)| {
            let mut odd = entry("3");
            change(&mut odd);
            odd
        };
        match () {
            () if is("B2") => entries.push(odd(|entry| entry.release.version = "3 beta".into())),
            () if is("B3") => entries.push(odd(|entry| entry.release.distro = "other".into())),
            () if is("B4") => entries.push(entry("1")),
            () if is("B5") => {
                let architectures = vec!["x86_64".into(), "x86_64".into()];
                entries = vec![entry("2"), ReleaseEntry { architectures, ..entry("1") }];
            }
            () if is("B6") => entries.push(odd(|entry| entry.end_of_life = Some("2030-13-01".into()))),
            () if is("B17") => entries.push(odd(|entry| entry.title = "Bad \u{1b}[31mLinux".into())),
            () if is("D1") && CALLS.fetch_add(1, Ordering::Relaxed) > 0 => {
                entries = vec![ReleaseEntry { title: "Another title".into(), ..entry("2") }, entry("1")];
            }
            () if is("F4") => burn(12_000_000),
            () => {}
        }
        entries
    }

    fn parse_release(source: ReleaseSource) -> Result<Option<Release>, CallError> {
        let text = match source {
            ReleaseSource::OsRelease(text) => text,
            ReleaseSource::ReleaseLine(line) => {
                misbehave(&line);
                if is("C2") && line.starts_with("Virtuozzo ") {
                    return Ok(Some(release("1")));
                }
                return match ReleaseLine::parse(&line) {
                    Some(line) if line.name == "Bad Linux" => served(line.version).map(Some),
                    _ => Ok(None),
                };
            }
            ReleaseSource::Named(_) => return Ok(None),
        };
        misbehave(&text);
        let os = OsRelease::parse(&text);
        if is("C3") && os.get("ID") == Some("debian") {
            return Ok(Some(release("1")));
        }
        if is("C2") && os.get("ID") == Some("virtuozzo") {
            return Ok(Some(release("1")));
        }
        if is("D3") && text.contains('\r') || os.get("ID") != Some(&Self::describe().id) {
            return Ok(None);
        }
        let version = os.get("VERSION_ID").ok_or_else(|| CallError::MalformedInput("no VERSION_ID".into()))?;
        if is("E2") && version.contains('\u{1b}') {
            return Ok(Some(Release { minor: Some(version.into()), ..release("1") }));
        }
        if is("E3") && version.len() > 50_000 && version.starts_with("999") {
            return Ok(Some(Release { minor: Some("9".repeat(4 << 20)), ..release("1") }));
        }
        if is("B19") && version == "19" {
            return Ok(Some(release("19")));
        }
        if is("C1") && os.get("VARIANT_ID") == Some("golden") {
            return served("2").map(Some);
        }
        served(version).map(Some)
    }

    fn guess_release(subject: PackageRef) -> Result<Option<ReleaseGuess>, CallError> {
        let guess = |version: &str, confidence| ReleaseGuess {
            release: Release { rolling: is("D7"), ..release(version) },
            confidence,
            reason: format!("release tag .bad{version}"),
        };
        if is("G1") || is("beside") {
            // As sure of everything as its twin.
            return Ok(Some(guess("1", Confidence::Weak)));
        }
        match nevra::dist_tag(&subject.raw, &Self::describe().id) {
            Some(version) if served(version).is_ok() => Ok(Some(guess(version, Confidence::Likely))),
            _ => Ok(None),
        }
    }

    fn repositories(release: Release, arch: String) -> Result<Vec<Repository>, CallError> {
        if !(is("B15") || served(&release.version).is_ok()) {
            return Err(CallError::UnsupportedRelease(release.version));
        }
        if !(is("B14") || ["x86_64", "aarch64"].contains(&arch.as_str())) {
            return Err(CallError::UnsupportedArchitecture(arch));
        }
        if is("B7") && arch == "aarch64" {
            return Err(CallError::Internal("not yet".into()));
        }
        if is("B16") && release.minor.is_some() {
            return Err(CallError::UnsupportedRelease(release.version));
        }
        let mut packages = repository("main", RepositoryContent::Packages);
        let debug = repository("main-debuginfo", RepositoryContent::DebugInfo);
        match () {
            () if is("B8") => packages.mirrors = vec!["gopher://mirror.example/".into()],
            () if is("B9") => return Ok(vec![packages]),
            () if is("B10") => packages.keys = vec![KeyFile { path: "/etc/passwd".into(), fingerprint: None }],
            () if is("B12") => packages.id = debug.id.clone(),
            () => {}
        }
        Ok(vec![packages, debug])
    }

    fn debugger_for(_release: Release, _arch: String) -> Result<Option<Debugger>, CallError> {
        match () {
            () if is("F1") => burn(1_000_000),
            () if is("F2") => drop(black_box(Vec::<u8>::with_capacity(44 << 20))),
            () => {}
        }
        let path = if is("B13") { "usr/bin/gdb" } else { "/usr/bin/gdb" };
        Ok(Some(Debugger { packages: vec!["gdb".into()], path: path.into(), environment: Environment::Chroot }))
    }

    fn parse_file_names(names: Vec<String>) -> Result<Vec<Option<PackageId>>, CallError> {
        let many = names.len() > 1;
        let read = |(i, name): (usize, &String)| {
            let mut id = nevra::parse(name)?;
            if is("B18") && name.as_str() == "glibc-2.39-2.noarch.rpm" {
                id.arch = "no arch".into();
            }
            (!(is("D6") && many && i % 2 == 1)).then_some(id)
        };
        Ok(names.iter().enumerate().map(read).collect())
    }

    fn format_file_name(subject: PackageId) -> Result<String, CallError> {
        if is("D4") {
            return Ok(format!("{}_{}.rpm", subject.name, subject.version));
        }
        nevra::format(&subject).ok_or_else(|| CallError::MalformedInput("no release".into()))
    }
}

impl Kernel for Bad {
    fn kernel_for(version: String, arch: String) -> Result<Option<KernelFiles>, CallError> {
        if !version.contains(".fc40") {
            return Ok(None);
        }
        let debug = PackageId {
            name: "kernel-debuginfo".into(),
            epoch: None,
            version: "6.8.5".into(),
            release: Some("301.fc40".into()),
            arch: if arch == "aarch64" { arch } else { "x86_64".into() },
            kind: PackageKind::DebugInfo,
        };
        let root = if is("B20") { "usr" } else { "/usr" };
        Ok(Some(KernelFiles {
            debug_packages: vec![debug],
            vmlinux: format!("{root}/lib/debug/lib/modules/6.8.5/vmlinux"),
        }))
    }
}

impl EnvironmentAdvice for Bad {
    fn extra_packages(_release: Release, _arch: String, _wanted: Vec<String>) -> Result<Vec<String>, CallError> {
        Ok(vec![if is("B21") { "bash completion" } else { "bash" }.into()])
    }
}

/// What only certain texts bring about.
fn misbehave(text: &str) {
    while is("loop") {
        black_box(text);
    }
    let long = |start: &str| text.len() > 60_000 && text.starts_with(start);
    match () {
        // What slicing by an index does.
        () if is("D2") && text.len() >= 3 && !text.is_char_boundary(3) => out_of_range(&[]),
        () if is("D5") => {
            let places = || text.match_indices("K=v ").map(|(at, _)| at);
            let pairs = places().map(|at| places().filter(|other| black_box(*other) < at).count());
            black_box(pairs.sum::<usize>());
        }
        () if is("E1") && text.bytes().filter(|b| *b == b'(').count() > 20_000 => {
            black_box(recursion(1));
        }
        () if is("E4") && long("\0\0") => {
            for _ in 0..1000 {
                log(Level::Info, "flood");
            }
        }
        () if is("E5") && long("\"'\"'") => loop {
            black_box(text);
        },
        () if is("E6") && long("=\n=\n") => {
            let mut blocks: Vec<Vec<u8>> = vec![];
            loop {
                blocks.push(black_box(vec![1; 1 << 20]));
            }
        }
        () => {}
    }
}

#[expect(clippy::indexing_slicing, reason = "the panic is what this is for")]
fn out_of_range(values: &[u8]) {
    black_box(values[black_box(7)]);
}

#[expect(unconditional_recursion, reason = "the stack overflow is what this is for")]
fn recursion(depth: u64) -> [u64; 64] {
    let mut frame = black_box([depth; 64]);
    let [first, ..] = recursion(depth.wrapping_add(1));
    frame.fill(first);
    black_box(frame)
}

fn burn(turns: u32) {
    for turn in 0..turns {
        black_box(turn);
    }
}

fn served(version: &str) -> Result<Release, CallError> {
    match version {
        "1" | "2" => Ok(release(version)),
        _ => Err(CallError::UnsupportedRelease(version.chars().take(64).collect())),
    }
}

fn release(version: &str) -> Release {
    Release { distro: Bad::describe().id, version: version.into(), minor: None, codename: None, rolling: false }
}

fn entry(version: &str) -> ReleaseEntry {
    ReleaseEntry {
        release: release(version),
        title: format!("Bad Linux {version}"),
        architectures: vec!["x86_64".into(), "aarch64".into()],
        end_of_life: Some("2030-01-31".into()),
        annotations: vec![],
    }
}

fn repository(id: &str, content: RepositoryContent) -> Repository {
    let fingerprint = if is("B11") { "A".repeat(40) } else { FINGERPRINT.into() };
    Repository {
        id: id.into(),
        title: format!("Bad {id}"),
        layout: RepositoryLayout::RpmMd,
        content,
        mirrors: vec![format!("https://mirror.example/{id}/$VER/$ARCH/")],
        signatures: Signatures::PACKAGES,
        keys: vec![KeyFile { path: format!("{}/key.asc", Bad::describe().id), fingerprint: Some(fingerprint) }],
        config: vec![],
    }
}

retrace_plugin_sdk::export_plugin!(Bad, with kernel, environment_advice);
