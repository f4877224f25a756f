//! Random answers of plugins, and what every accepted one must look like: for property tests and the fuzz target `answers`.
//!
//! The grammar is checked here a second time, in other words than where answers are converted.

use retrace_types::{Architecture, DistroId, PackageFormat, Release, RepositoryLayout, RepositorySpec};
use url::Url;

use super::{Context, Owner, wit};
use crate::{
    FailureKind, NamedPackage,
    bindings::{kernel::exports::retrace::distro::kernel, retrace::distro::types},
};

/// What a plugin may write where a rule wants something else.
const HOSTILE: [&str; 22] = [
    "",
    ".",
    "..",
    "../x",
    "/",
    "a//b",
    "a/../b",
    " ",
    "a b",
    "a\tb",
    "a\0b",
    "\u{1b}[1m",
    "\u{202e}x",
    "\u{e4}",
    "A",
    "-a",
    "$ARCH",
    "$",
    "http://",
    "file://h/x",
    "%2e%2e/x",
    "\u{feff}",
];

/// Chooses, as the bytes say. Without bytes it always takes the first choice, so every answer ends.
struct Dice<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// Whether rules may be broken.
    hostile: bool,
    /// Whether a list far too long was made: one is enough, for another inside of it would fill the memory.
    is_wide: bool,
}

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        let mut byte = || usize::from(self.bytes.next().copied().unwrap_or_default());
        let number = byte() + if sides > 256 { byte() << 8 } else { 0 };
        number.checked_rem(sides).unwrap_or_default()
    }

    fn one<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        let index = self.roll(choices.len());
        choices.get(index).cloned()
    }

    /// One of the good texts or, where rules may be broken, seldom something else.
    fn text(&mut self, good: &[&str]) -> String {
        let kept = self.one(good).unwrap_or_default().to_owned();
        if !self.hostile {
            return kept;
        }
        match self.roll(24) {
            0 => self.one(&HOSTILE).unwrap_or_default().to_owned(),
            1 => kept + self.one(&HOSTILE).unwrap_or_default(),
            2 => self.one(&HOSTILE).unwrap_or_default().to_owned() + &kept,
            3 => {
                let bytes = self.one(&[64, 65, 128, 129, 256, 257, 512, 513, 2049, 4096, 4097]).unwrap_or(1_usize);
                kept.repeat(bytes.div_ceil(kept.len().max(1)))
            }
            4 => (0..self.roll(12)).filter_map(|_| char::from_u32(u32::try_from(self.roll(0x800)).ok()?)).collect(),
            _ => kept,
        }
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.roll(2) == 0).then(|| make(self))
    }

    /// `least` elements or some more; where rules may be broken, seldom none or far too many.
    fn list<T: Clone>(&mut self, least: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let kind = if self.hostile { self.roll(40) } else { 2 };
        match kind {
            0 => Vec::new(),
            1 => {
                let value = make(self);
                let count = if self.is_wide { 1 } else { self.roll(5_000) };
                self.is_wide = true;
                vec![value; count]
            }
            _ => (0..least + self.roll(3)).map(|_| make(self)).collect(),
        }
    }

    /// The same without repetitions, which most lists may not have.
    fn set<T: Clone + PartialEq>(&mut self, least: usize, make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut values = self.list(least, make);
        if !self.hostile {
            values.dedup();
            let mut seen: Vec<T> = Vec::new();
            values.retain(|value| {
                !seen.contains(value) && {
                    seen.push(value.clone());
                    true
                }
            });
        }
        values
    }

    fn annotations(&mut self) -> Vec<(String, String)> {
        let mut pairs =
            self.list(0, |dice| (dice.text(&["a", "mirror-list", "x.y-1"]), dice.text(&["", "required", "no"])));
        if !self.hostile {
            pairs.sort();
            pairs.dedup_by(|(a, _), (b, _)| a == b);
        }
        pairs
    }

    fn release(&mut self) -> types::Release {
        types::Release {
            distro: self.text(&["acme", "acme-server"]),
            version: self.text(&["12", "9", "15.6", "rawhide", "1.0+b~c-d"]),
            minor: self.maybe(|dice| dice.text(&["4", "0"])),
            codename: self.maybe(|dice| dice.text(&["bookworm", "Forty"])),
            rolling: self.roll(2) == 1,
        }
    }

    fn package(&mut self) -> types::PackageId {
        types::PackageId {
            name: self.text(&["bash", "libstdc++6", "python3.11", "a-b_c"]),
            epoch: self.maybe(|dice| u32::try_from(dice.roll(300)).unwrap_or_default()),
            version: self.text(&["5.2.26", "1~rc1", "*"]),
            release: self.maybe(|dice| dice.text(&["3.fc40", "9+deb12u4"])),
            arch: self.text(&["x86_64", "noarch", "all", "amd64"]),
            kind: match self.roll(5) {
                0 => types::PackageKind::Binary,
                1 => types::PackageKind::DebugInfo,
                2 => types::PackageKind::DebugSource,
                3 => types::PackageKind::Source,
                _ => types::PackageKind::Other(self.text(&["langpack"])),
            },
        }
    }

    fn format(&mut self) -> types::PackageFormat {
        match self.roll(3) {
            0 => types::PackageFormat::Rpm,
            1 => types::PackageFormat::Deb,
            _ => types::PackageFormat::Other(self.text(&["apk"])),
        }
    }

    fn repository(&mut self) -> wit::Repository {
        let signatures = match self.roll(3) {
            0 => wit::Signatures::METADATA | wit::Signatures::PACKAGES,
            1 => wit::Signatures::PACKAGES,
            _ => wit::Signatures::METADATA,
        };
        wit::Repository {
            id: self.text(&["main", "updates", "updates-debuginfo", "a.b_c"]),
            title: self.text(&["Main", "Acme Linux \u{2014} updates"]),
            layout: match self.roll(4) {
                0 => wit::RepositoryLayout::RpmMd,
                1 => wit::RepositoryLayout::Directory,
                2 => wit::RepositoryLayout::Other(self.text(&["arch"])),
                _ => wit::RepositoryLayout::DebDists(wit::DebSuite {
                    suite: self.text(&["bookworm", "bookworm/updates"]),
                    components: self.set(1, |dice| dice.text(&["main", "updates/main"])),
                }),
            },
            content: self
                .one(&[
                    wit::RepositoryContent::Packages,
                    wit::RepositoryContent::DebugInfo,
                    wit::RepositoryContent::Sources,
                ])
                .unwrap_or(wit::RepositoryContent::Packages),
            mirrors: self.list(1, |dice| {
                dice.text(&[
                    "https://mirror.example/$VER/$ARCH/",
                    "http://mirror.example:8080/a%20b",
                    "rsync://mirror.example/module/$ARCH",
                    "ftp://[::1]/x",
                    "file:///srv/$VER",
                ])
            }),
            signatures: if self.hostile && self.roll(4) == 0 { wit::Signatures::empty() } else { signatures },
            keys: self.list(1, |dice| wit::KeyFile {
                path: dice.text(&["acme/key.asc", "acme-server/a/key_1+2-3.asc"]),
                fingerprint: dice.maybe(|dice| dice.text(&["0123456789ABCDEF0123456789ABCDEF01234567"])),
            }),
            config: self.annotations(),
        }
    }
}

/// Converts one random answer of each function; gives how many were accepted, and of how many.
///
/// # Panics
/// If an accepted answer breaks a rule of the contract or, with `hostile` false, if one is refused.
pub(crate) fn check(bytes: &[u8], hostile: bool) -> (usize, usize) {
    let (mut accepted, mut all) = (0, 0);
    let mut dice = Dice { bytes: bytes.iter(), hostile, is_wide: false };
    let mut judge = |outcome: Result<(), FailureKind>| {
        all += 1;
        match outcome {
            Ok(()) => accepted += 1,
            Err(FailureKind::InvalidValue { path, rule }) => {
                assert!(hostile, "a good answer is refused: {path}: {rule}");
                assert!(!path.is_empty() && !rule.is_empty());
            }
            Err(other) => panic!("no rule is named: {other}"),
        }
    };
    let (id, aliases): (DistroId, [DistroId; 1]) = ("acme".parse().unwrap(), ["acme-server".parse().unwrap()]);
    let owner = Owner { id: &id, aliases: &aliases };
    let own = Release { id: "acme-12".parse().unwrap(), minor: None, codename: Some("x".into()), rolling: false };

    let answer = wit::Description {
        id: dice.text(&["acme", "a", "0.b_c-d"]),
        aliases: dice.set(0, |dice| dice.text(&["acme-server", "acme-desktop"])),
        name: dice.text(&["Acme Linux"]),
        format: dice.format(),
        plugin_version: dice.text(&["1.2.3", "1.2.3-rc.1+build"]),
        annotations: dice.annotations(),
    };
    judge(super::description(answer).map(|answer| {
        is_id(answer.id.as_str());
        answer.aliases.iter().for_each(|alias| is_id(alias.as_str()));
        assert!(!answer.aliases.contains(&answer.id) && answer.aliases.len() <= 64);
        is_title(&answer.name);
        is_word(&answer.version, 64);
        if let PackageFormat::Other(name) = answer.format {
            is_word(&name, 64);
        }
    }));

    let mut entries = dice.list(0, |dice| wit::ReleaseEntry {
        release: dice.release(),
        title: dice.text(&["Acme Linux 12"]),
        architectures: dice.list(1, |dice| dice.text(&["x86_64", "aarch64", "loongarch64"])),
        end_of_life: dice.maybe(|dice| dice.text(&["2031-05-31", "1999-12-01"])),
        annotations: dice.annotations(),
    });
    if !hostile {
        entries.truncate(1); // one release, once
    }
    judge(super::releases(entries, &owner).map(|entries| {
        let mut ids: Vec<_> = entries.iter().map(|entry| &entry.release.id).collect();
        ids.sort();
        ids.dedup();
        assert!(ids.len() == entries.len() && ids.len() <= 4096);
        for entry in &entries {
            is_release(&entry.release);
            is_title(&entry.title);
            assert!(entry.end_of_life.as_ref().is_none_or(|date| date.len() == 10 && date.is_ascii()));
        }
    }));

    let answer = wit::ReleaseGuess {
        release: dice.release(),
        confidence: dice
            .one(&[wit::Confidence::Weak, wit::Confidence::Likely, wit::Confidence::Certain])
            .unwrap_or(wit::Confidence::Weak),
        reason: dice.text(&["release tag .ac12"]),
    };
    judge(super::guess(answer, &owner).map(|claim| {
        is_release(&claim.release);
        is_title(&claim.reason);
    }));

    let mut answer = dice.list(1, Dice::repository);
    if !hostile {
        answer.truncate(1);
    }
    let context = Context { owner, release: &own, architecture: Architecture::Aarch64 };
    judge(super::repositories(answer, &context).map(|specs| {
        let mut ids: Vec<_> = specs.iter().map(|spec| &spec.id).collect();
        ids.sort();
        ids.dedup();
        assert!(!specs.is_empty() && ids.len() == specs.len());
        specs.iter().for_each(is_repository);
    }));

    let answer = wit::Debugger {
        packages: dice.list(1, |dice| dice.text(&["gdb", "gdb-minimal"])),
        path: dice.text(&["/usr/bin/gdb"]),
        environment: dice
            .one(&[wit::Environment::Sysroot, wit::Environment::Chroot])
            .unwrap_or(wit::Environment::Sysroot),
    };
    judge(super::debugger(answer).map(|debugger| {
        assert!(!debugger.packages.is_empty());
        debugger.packages.iter().for_each(|name| is_word(name, 256));
        is_absolute(&debugger.path);
    }));

    judge(super::packages("packages", dice.list(0, Dice::package)).map(|packages| {
        assert!(packages.len() <= 4096);
        packages.iter().for_each(is_package);
    }));
    let names = dice.list(0, |dice| dice.maybe(Dice::package));
    let asked = if hostile && dice.roll(4) == 0 { dice.roll(4) } else { names.len() };
    judge(super::file_names(names, asked).map(|names| {
        assert_eq!(names.len(), asked);
        names.iter().flatten().for_each(is_package);
    }));
    judge(super::file_name(dice.text(&["bash-5.2.26-3.fc40.x86_64.rpm"])).map(|name| is_word(&name, 512)));

    let answer = kernel::KernelFiles {
        debug_packages: dice.list(1, Dice::package),
        vmlinux: dice.text(&["/usr/lib/debug/lib/modules/6.1/vmlinux"]),
    };
    judge(super::kernel_files(answer).map(|files| {
        assert!(!files.debug_packages.is_empty());
        files.debug_packages.iter().for_each(is_package);
        is_absolute(&files.vmlinux);
    }));
    let names = dice.list(0, |dice| dice.text(&["python3-debug"]));
    judge(super::extra_packages(names).map(|names| names.iter().for_each(|name| is_word(name, 256))));

    let error = types::CallError::MalformedInput(dice.text(&["no such release"]));
    let text = super::call_error(error).to_string();
    assert!(text.len() <= 4096 && !text.chars().any(char::is_control));
    (accepted, all)
}

fn is_id(text: &str) {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    assert!(starts && text.len() <= 64 && text.chars().all(is_good), "{text:?}");
}

fn is_version(text: &str) {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    assert!(starts && text.len() <= 64 && text.chars().all(is_good), "{text:?}");
}

fn is_release(release: &Release) {
    assert!(["acme", "acme-server"].contains(&release.id.distro.as_str()), "{release:?}");
    is_version(release.id.version.as_str());
    release.minor.iter().chain(&release.codename).for_each(|text| is_version(text));
}

fn is_title(text: &str) {
    assert!(!text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control), "{text:?}");
}

fn is_word(text: &str, most: usize) {
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    assert!(!text.is_empty() && text.len() <= most && !text.contains(is_bad) && text != "..", "{text:?}");
}

fn is_inside(text: &str) {
    assert!(!text.is_empty() && text.len() <= 256 && text.is_ascii(), "{text:?}");
    assert!(!text.split('/').any(|part| matches!(part, "" | "." | "..")), "{text:?}");
}

fn is_absolute(text: &str) {
    is_inside(text.strip_prefix('/').unwrap_or_default());
}

fn is_package(package: &NamedPackage) {
    is_word(&package.id.name, 256);
    is_word(&package.id.version, 256);
    package.id.release.iter().for_each(|release| is_word(release, 256));
    is_word(&package.id.arch, 32);
}

fn is_repository(spec: &RepositorySpec) {
    is_id(&spec.id);
    is_title(&spec.title);
    match &spec.layout {
        RepositoryLayout::RpmMd | RepositoryLayout::Directory => {}
        RepositoryLayout::Other(name) => is_word(name, 64),
        RepositoryLayout::DebDists { suite, components } => {
            assert!((1..=32).contains(&components.len()));
            components.iter().chain([suite]).for_each(|text| is_inside(text));
        }
    }
    assert!(!spec.mirrors.is_empty());
    for mirror in &spec.mirrors {
        let url = Url::parse(mirror).unwrap();
        assert!(["https", "http", "rsync", "ftp", "file"].contains(&url.scheme()), "{mirror}");
        assert!(mirror.len() <= 2048 && !mirror.contains('$') && mirror.is_ascii(), "{mirror}");
        assert!(url.username().is_empty() && url.password().is_none() && url.query().is_none(), "{mirror}");
        assert!(!mirror.split('/').any(|part| part == ".."), "{mirror}");
        assert_eq!(url.scheme() == "file", url.host_str().is_none(), "{mirror}");
    }
    let must_be_signed = spec.signatures.metadata || spec.signatures.packages;
    assert!(!must_be_signed || !spec.keys.is_empty());
    for key in &spec.keys {
        is_inside(&key.path);
        assert!(key.path.starts_with("acme/") || key.path.starts_with("acme-server/"), "{}", key.path);
        assert!(key.fingerprint.as_ref().is_none_or(|digits| [40, 64].contains(&digits.len())));
    }
    let mut names: Vec<_> = spec.config.iter().map(|(key, _)| key).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), spec.config.len());
    assert!(spec.config.iter().all(|(key, value)| !key.is_empty() && key.len() <= 64 && value.len() <= 4096));
}
