//! Fixtures are made by the scripts in `tests/scripts/`, once, below `fixtures/` of the target folder. The scripts know
//! what they were made from and do nothing the next time; a lock of theirs keeps concurrent tests apart.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{checkout, skip, target_dir};

/// A core, and what a crash reporter tells about it.
#[derive(Clone, Debug)]
pub struct Crash {
    /// The core as the kernel wrote it. Sparse: the 4 GiB one takes a few hundred KiB.
    pub core: PathBuf,
    /// The os-release file of the machine that crashed.
    pub os_release: PathBuf,
    /// Path of the crashed program on that machine.
    pub executable: String,
    /// Its package: name, version and release.
    pub package: String,
}

/// A crash of GraphicsMagick in several threads, and the Debian packages it ran from.
#[derive(Clone, Debug)]
pub struct DebianFixture {
    /// The crash.
    pub crash: Crash,
    /// A Debian repository (`dists/`, `pool/`) of exactly these packages, with `libc6-dbg` and `graphicsmagick-dbg`.
    pub repository: PathBuf,
    /// Public half of the throw-away key that signed [`Self::repository`].
    pub key: PathBuf,
    /// Code name of the release: its suite in [`Self::repository`].
    pub codename: String,
    /// `VERSION_ID` of the release, such as `12`.
    pub version: String,
}

/// A small RPM distribution that calls itself Fedora 40, crashes in it, and repositories that must be refused.
#[derive(Clone, Debug)]
pub struct RpmFixture {
    dir: PathBuf,
}

/// A crash in "Retro Linux 1", which no plugin of Retrace serves.
#[derive(Clone, Debug)]
pub struct RetroFixture {
    /// The crash.
    pub crash: Crash,
    /// Its repositories: folders `base` and `debuginfo`.
    pub release: PathBuf,
    /// Public half of the throw-away key that signed them.
    pub key: PathBuf,
}

/// Cores that are hard to trace, of packages for the distribution of [`RpmFixture`].
#[derive(Clone, Debug)]
pub struct OddFixture {
    dir: PathBuf,
}

/// The Debian fixture; [`skip`]s and gives nothing where it cannot be made. The first call takes half a minute.
pub fn debian() -> Option<&'static DebianFixture> {
    static FIXTURE: OnceLock<Result<DebianFixture, String>> = OnceLock::new();
    or_skip(FIXTURE.get_or_init(|| {
        let dir = make("debian-crash.sh", "debian")?;
        let crash = crash(&dir);
        let os_release = fs::read_to_string(&crash.os_release).expect("the fixture has an os-release file");
        let version = os_release.lines().find_map(|line| line.strip_prefix("VERSION_ID="));
        let version = version.expect("os-release has a VERSION_ID").trim_matches('"').to_owned();
        let (repository, key, codename) = (dir.join("repo"), dir.join("key.asc"), line(&dir.join("codename")));
        Ok(DebianFixture { crash, repository, key, codename, version })
    }))
}

/// The RPM fixture; [`skip`]s and gives nothing where it cannot be made. The first call takes half a minute.
pub fn rpm() -> Option<&'static RpmFixture> {
    static FIXTURE: OnceLock<Result<RpmFixture, String>> = OnceLock::new();
    or_skip(FIXTURE.get_or_init(|| make("rpm-distro.sh", "rpm").map(|dir| RpmFixture { dir })))
}

/// The distribution of a third party; [`skip`]s and gives nothing where it cannot be made. Makes [`rpm`] first.
pub fn retro() -> Option<&'static RetroFixture> {
    static FIXTURE: OnceLock<Result<RetroFixture, String>> = OnceLock::new();
    or_skip(FIXTURE.get_or_init(|| {
        let dir = make("retro-distro.sh", "retro")?;
        let release = existing(dir.join("1").join(std::env::consts::ARCH));
        let crash = crash(&existing(dir.join("cores/will-crash-segv")));
        Ok(RetroFixture { crash, release, key: dir.join("RPM-GPG-KEY-retro-1") })
    }))
}

/// The odd cores; [`skip`]s and gives nothing where they cannot be made. Makes [`rpm`] first.
pub fn odd() -> Option<&'static OddFixture> {
    static FIXTURE: OnceLock<Result<OddFixture, String>> = OnceLock::new();
    or_skip(FIXTURE.get_or_init(|| make("odd-cores.sh", "odd").map(|dir| OddFixture { dir })))
}

impl RpmFixture {
    /// A repository: `base` and `debuginfo`, or one that must be refused: `unsigned`, `wrong-key`, `stale`,
    /// `wrong-version`, `no-debuginfo`. `tests/scripts/rpm-distro.sh` says what is wrong with each.
    ///
    /// # Panics
    /// There is no such repository.
    #[must_use]
    pub fn repository(&self, name: &str) -> PathBuf {
        existing(self.dir.join(name))
    }

    /// The key that signed all repositories but `unsigned` and `wrong-key`.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.dir.join("key.asc")
    }

    /// The key that signed `wrong-key`.
    #[must_use]
    pub fn wrong_key(&self) -> PathBuf {
        self.dir.join("wrong-key.asc")
    }

    /// A crash: `crashd-null`, `crashd-throw`, `will-crash-segv`, `will-crash-abort`, `will-crash-overflow`.
    ///
    /// # Panics
    /// There is no such crash.
    #[must_use]
    pub fn crash(&self, name: &str) -> Crash {
        crash(&existing(self.dir.join("cores").join(name)))
    }
}

impl OddFixture {
    /// A repository: `base` or `debuginfo`.
    ///
    /// # Panics
    /// There is no such repository.
    #[must_use]
    pub fn repository(&self, name: &str) -> PathBuf {
        existing(self.dir.join(name))
    }

    /// The key that signed both.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.dir.join("key.asc")
    }

    /// A crash: `static`, `deep`, `handler`, `anonymous`, `mini`, `twin`, `big`; `tests/scripts/odd-cores.sh` says what
    /// is odd about each.
    ///
    /// # Panics
    /// There is no such crash.
    #[must_use]
    pub fn crash(&self, name: &str) -> Crash {
        crash(&existing(self.dir.join("cores").join(name)))
    }
}

/// Runs a script of `tests/scripts/` and gives the folder of its fixture, or why there is none.
fn make(script: &str, name: &str) -> Result<PathBuf, String> {
    let fixtures = target_dir().join("fixtures");
    let output = Command::new(checkout().join("tests/scripts").join(script)).arg(&fixtures).output();
    let output = output.map_err(|error| format!("cannot run {script}: {error}"))?;
    if output.status.success() {
        return Ok(fixtures.join(name));
    }
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{script} failed ({}):\n{stdout}{stderr}", output.status))
}

fn or_skip<T>(fixture: &'static Result<T, String>) -> Option<&'static T> {
    fixture.as_ref().inspect_err(|reason| skip(reason)).ok()
}

fn crash(dir: &Path) -> Crash {
    Crash {
        core: dir.join("core"),
        os_release: dir.join("os-release"),
        executable: line(&dir.join("executable")),
        package: line(&dir.join("package")),
    }
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.is_dir(), "the fixture has no {}", path.display());
    path
}

fn line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    text.trim_end().to_owned()
}
