use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use retrace_types::Backtrace;
use tempfile::TempDir;

use crate::{Crash, checkout, skip, target_dir};

/// No command of a test takes longer, unless something hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// The built `retrace` command with state, cache and home folders of its own, which go when it is dropped.
#[derive(Debug)]
pub struct Cli {
    program: PathBuf,
    dir: TempDir,
    env: Vec<(OsString, OsString)>,
}

/// What a command did.
#[derive(Debug)]
pub struct Run {
    /// How it was called, for messages.
    pub command: String,
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error: progress, log and errors.
    pub stderr: String,
    /// Wall-clock time.
    pub duration: Duration,
    /// Most memory that the command itself had at one time, the debugger aside (`VmHWM` of proc(5), in KiB). Looked at
    /// every few milliseconds: a peak of the last moments is missed.
    pub peak_memory_kib: u64,
}

impl Cli {
    /// A fresh one; [`skip`]s and gives nothing where the command or the plugins are not built.
    ///
    /// # Panics
    /// No temporary folder can be made.
    pub fn new() -> Option<Self> {
        let profile_dir = std::env::current_exe().ok()?.parent()?.parent()?.to_owned();
        let program = profile_dir.join("retrace");
        let plugins = std::env::var_os("RETRACE_PLUGIN_DIR").map(PathBuf::from);
        let plugins = plugins.unwrap_or_else(|| target_dir().join("wasm32-wasip2/plugin"));
        if !program.is_file() {
            skip(&format!("there is no {}; build it with `make build`", program.display()));
            return None;
        }
        if !plugins.is_dir() {
            skip(&format!("there is no {}; build the plugins with `make plugins`", plugins.display()));
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        for name in ["state", "cache", "home"] {
            fs::create_dir(dir.path().join(name)).expect("a folder in the temporary folder");
        }
        let mut cli = Self { program, dir, env: Vec::new() };
        let (state, cache, home) = (cli.path("state"), cli.path("cache"), cli.path("home"));
        cli.set("RETRACE_STATE_DIR", state).set("RETRACE_CACHE_DIR", cache).set("HOME", home);
        cli.set("RETRACE_PLUGIN_DIR", &plugins).set("RETRACE_KEYS_DIR", checkout().join("gpg"));
        cli.set("PATH", std::env::var_os("PATH").unwrap_or_default());
        let compiled = compiled_plugins(&cli.program, &cli.env, &plugins).join("plugins");
        if compiled.is_dir() {
            copy_folder(&compiled, &cli.path("cache/plugins"));
        }
        Some(cli)
    }

    /// Sets an environment variable of the commands from now on. They inherit none of the test's.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Whether a program is in the `PATH` that the commands see.
    #[must_use]
    pub fn has_program(&self, name: &str) -> bool {
        let path = self.env.iter().find(|(known, _)| known == "PATH").map(|(_, value)| value);
        path.is_some_and(|path| std::env::split_paths(path).any(|dir| dir.join(name).is_file()))
    }

    /// The built command, for tests that run it from a script.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A path in the temporary folder, for files of the test: `state` and `cache` are the command's.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `retrace ARGUMENTS` to its end.
    ///
    /// # Panics
    /// It takes longer than two minutes.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        self.run_within(TIME_LIMIT, arguments)
    }

    /// As [`run`](Self::run), for a command that builds something.
    ///
    /// # Panics
    /// It takes longer than `limit`.
    pub fn run_within<A: AsRef<OsStr>>(&self, limit: Duration, arguments: impl IntoIterator<Item = A>) -> Run {
        let (out, err) = (self.path("stdout"), self.path("stderr"));
        let mut running = self.start_into(arguments, &out, &err);
        let status = running.wait(limit);
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let (command, duration) = (running.command.clone(), running.started.elapsed());
        let run = Run {
            command,
            code: status.and_then(|status| status.code()),
            stdout: read(&out),
            stderr: read(&err),
            duration,
            peak_memory_kib: running.peak_memory_kib,
        };
        assert!(status.is_some(), "still running after {limit:?}: {run}");
        run
    }

    /// Starts `retrace ARGUMENTS`, such as `serve`, and leaves it running; its log goes to [`Running::log`].
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Running {
        let log = tempfile::NamedTempFile::new_in(self.dir.path()).expect("a log file");
        let (_, log) = log.keep().expect("a log file that stays");
        self.start_into(arguments, &log, &log)
    }

    /// `retrace analyze` for a crash, told all that its reporter knows; `more` are further arguments.
    ///
    /// # Panics
    /// It takes longer than two minutes.
    pub fn analyze(&self, crash: &Crash, more: &[&str]) -> Run {
        let mut arguments: Vec<OsString> = vec!["analyze".into(), crash.core.clone().into()];
        arguments.extend(["--os-release".into(), crash.os_release.clone().into()]);
        arguments.extend(["--package", &crash.package, "--executable", &crash.executable].map(OsString::from));
        arguments.extend(more.iter().map(OsString::from));
        self.run(arguments)
    }

    /// `retrace mirror sync RELEASE` (such as `["fedora", "40"]`) for this machine's architecture, from these mirrors
    /// (`[REPOSITORY=]URL`), trusting these keys.
    ///
    /// # Panics
    /// It takes longer than two minutes.
    pub fn sync(&self, release: [&str; 2], mirrors: &[String], keys: &[PathBuf]) -> Run {
        let mut arguments =
            ["mirror", "sync", release[0], release[1], std::env::consts::ARCH].map(OsString::from).to_vec();
        for mirror in mirrors {
            arguments.extend(["--mirror".into(), mirror.into()]);
        }
        for key in keys {
            arguments.extend(["--key".into(), key.into()]);
        }
        self.run(arguments)
    }

    fn start_into<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>, out: &Path, err: &Path) -> Running {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().envs(self.env.iter().cloned()).current_dir(self.dir.path());
        let file = |path: &Path| {
            let file = fs::File::options().create(true).append(true).open(path);
            file.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()))
        };
        for path in [out, err] {
            let _ = fs::remove_file(path);
        }
        command.stdin(Stdio::null()).stdout(file(out)).stderr(file(err));
        let shown = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
        Running { command: shown, child, started: Instant::now(), log: err.to_owned(), peak_memory_kib: 0 }
    }
}

impl Run {
    /// Fails, showing everything, unless the command ended with this code.
    ///
    /// # Panics
    /// It did not.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code of {self}");
        self
    }

    /// Standard output as the result of `analyze --format json`.
    ///
    /// # Panics
    /// It is none.
    #[track_caller]
    #[must_use]
    pub fn backtrace(&self) -> Backtrace {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no backtrace ({error}): {self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, code, stdout, stderr, duration, peak_memory_kib } = self;
        write!(
            f,
            "{command}\nexit code {code:?} after {duration:?}, {peak_memory_kib} KiB\nstdout:\n{stdout}\nstderr:\n{stderr}"
        )
    }
}

/// A command that is still running; ended when dropped.
#[derive(Debug)]
pub struct Running {
    /// How it was called, for messages.
    pub command: String,
    /// Its standard output and error.
    pub log: PathBuf,
    child: Child,
    started: Instant,
    peak_memory_kib: u64,
}

impl Running {
    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; nothing when it still runs after `limit`.
    ///
    /// # Panics
    /// The process cannot be waited for.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            self.peak_memory_kib = self.peak_memory_kib.max(peak_memory_kib(self.pid()));
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until its log has a line that holds `text`, and gives that line.
    ///
    /// # Panics
    /// It ends first, or `limit` passes.
    #[track_caller]
    pub fn wait_for_log(&mut self, text: &str, limit: Duration) -> String {
        let deadline = Instant::now() + limit;
        loop {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            let ended = self.child.try_wait().expect("a child of ours");
            let command = &self.command;
            assert!(ended.is_none(), "{command} ended ({ended:?}) without {text:?} in its log:\n{log}");
            assert!(Instant::now() < deadline, "{command} has no {text:?} in its log after {limit:?}:\n{log}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// 0 for a process that has ended.
fn peak_memory_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

/// A cache folder in which the plugins are compiled already: every test would compile them anew, for seconds.
fn compiled_plugins(program: &Path, env: &[(OsString, OsString)], plugins: &Path) -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = target_dir().join("tmp/compiled-plugins");
        let mut list = Command::new(program);
        list.args(["plugin", "list"]).env_clear().envs(env.iter().cloned());
        let output = list.env("RETRACE_PLUGIN_DIR", plugins).env("RETRACE_CACHE_DIR", &dir).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
        assert!(output.status.success(), "{list:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        dir
    })
}

/// A copy of a folder.
fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-a", "--reflink=auto", "-T"]).arg(from).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot copy {} to {}", from.display(), to.display());
}
