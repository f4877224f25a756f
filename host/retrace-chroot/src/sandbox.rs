//! The command line of bubblewrap. What a program in it sees: the programs of the host, read-only; the files that it is
//! given, read-only; an empty, bounded `/tmp` in memory. No other process, no environment, no capability, and no network
//! unless the operator says so. Nothing of the host can be written.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use retrace_process::{Invocation, Limits, ProcessError, find_program};

use crate::ChrootError;

/// What a program in the sandbox may use up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Time by the clock on the wall; the stacks printed until then are kept.
    pub wall_time: Duration,
    /// Processor time in seconds, of each process.
    pub cpu_seconds: u64,
    /// Address space in bytes, of each process.
    pub memory_bytes: u64,
    /// Processes and threads in the sandbox. The kernel never holds it against user 0.
    pub processes: u64,
    /// Size of a file in the sandbox's `/tmp`, and of all of it.
    pub file_size_bytes: u64,
    /// Bytes of output kept: gdb's text and our records of the frames.
    pub output_bytes: usize,
    /// Frames over all threads.
    pub max_frames: usize,
    /// Frames of one thread.
    pub max_frames_per_thread: usize,
}

impl Default for SandboxLimits {
    /// For the largest programs of a distribution: 5 minutes, 8 GiB of address space, 2048 frames a thread as
    /// retrace-server allows, 20 000 in all.
    fn default() -> Self {
        Self {
            wall_time: Duration::from_secs(300),
            cpu_seconds: 600,
            memory_bytes: 8 << 30,
            processes: 256,
            file_size_bytes: 64 << 20,
            output_bytes: 64 << 20,
            max_frames: 20_000,
            max_frames_per_thread: 2048,
        }
    }
}

impl SandboxLimits {
    /// Limits that are set around the whole sandbox.
    pub(crate) fn outer(&self) -> Limits {
        Limits {
            memory_bytes: Some(self.memory_bytes),
            cpu_seconds: Some(self.cpu_seconds),
            file_size_bytes: Some(self.file_size_bytes),
            processes: None,
            open_files: Some(4096),
        }
    }

    /// Limits that are set inside: the number of processes counts by user namespace, and outside it would count
    /// everything that our user runs.
    pub(crate) fn inner(&self) -> Limits {
        Limits { processes: Some(self.processes), ..Limits::default() }
    }
}

/// What to run, and what it sees.
#[derive(Debug)]
pub struct Sandbox<'a> {
    /// Absolute path of the program.
    pub program: &'a Path,
    /// Arguments.
    pub args: Vec<OsString>,
    /// Variables of the environment, beside `PATH`, `HOME` and `LC_ALL`.
    pub variables: Vec<(&'static str, String)>,
    /// Host files and folders, each with its place in the sandbox; read-only.
    pub shown: Vec<(PathBuf, PathBuf)>,
    /// True if it may reach the host's network; names can then be looked up and certificates be checked.
    pub network: bool,
    /// What it may use up.
    pub limits: &'a SandboxLimits,
}

/// Folders of the host without which no program starts.
const SYSTEM: [&str; 9] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache", "/etc/alternatives"];

/// Files of the host without which no name is looked up and no certificate is believed.
const NETWORK: [&str; 6] =
    ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/etc/ca-certificates", "/etc/pki"];

/// Debug information of the host: that of the sysroot must not be mixed with it.
const HOST_DEBUG: &str = "/usr/lib/debug";

impl Sandbox<'_> {
    /// How to run the program in a sandbox: within the limits, in namespaces of its own, so that all its processes end with it.
    ///
    /// # Errors
    /// [`ChrootError::NoSandbox`] without bubblewrap, [`ChrootError::Process`] without prlimit.
    pub async fn invocation(&self) -> Result<Invocation, ChrootError> {
        let bwrap = find_program("bwrap").await.ok_or(ChrootError::NoSandbox)?;
        let missing = || ProcessError::NotFound { program: "prlimit".into() };
        let prlimit = find_program("prlimit").await.ok_or_else(missing)?;
        Ok(Invocation::new(bwrap)
            .args(self.bwrap_args(&prlimit))
            .limits(self.limits.outer())
            .time_limit(self.limits.wall_time)
            .output_limit_bytes(self.limits.output_bytes))
    }

    /// The arguments of bwrap(1).
    fn bwrap_args(&self, prlimit: &Path) -> Vec<OsString> {
        let mut args = Args::default();
        args.add(["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]);
        if self.network {
            args.add(["--share-net"]);
        }
        // Text in UTF-8 is printed as it is; each thread of gdb would reserve 64 MiB of address space otherwise.
        for (name, value) in
            [("LC_ALL", "C.UTF-8"), ("PATH", "/usr/bin:/bin"), ("HOME", "/tmp"), ("MALLOC_ARENA_MAX", "4")]
        {
            args.add(["--setenv", name, value]);
        }
        for (name, value) in &self.variables {
            args.add(["--setenv", name, value]);
        }
        for folder in SYSTEM {
            args.add(["--ro-bind-try", folder, folder]);
        }
        for path in NETWORK.into_iter().filter(|_| self.network) {
            args.add(["--ro-bind-try", path, path]);
        }
        if Path::new(HOST_DEBUG).is_dir() {
            args.add(["--size", "65536", "--tmpfs", HOST_DEBUG]);
        }
        let size = self.limits.file_size_bytes.to_string();
        args.add(["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--size", &size, "--tmpfs", "/tmp"]);
        if let Some(prefix) = prefix_outside_system(self.program) {
            args.bind(prefix, prefix);
        }
        for (host, inside) in &self.shown {
            args.bind(host, inside);
        }
        // Last, for the places of the files shown had to be made.
        if Path::new(HOST_DEBUG).is_dir() {
            args.add(["--remount-ro", HOST_DEBUG]);
        }
        args.add(["--remount-ro", "/", "--chdir", "/tmp", "--"]);
        args.0.push(prlimit.into());
        args.0.extend(self.limits.inner().prlimit_options().into_iter().map(OsString::from));
        args.add(["--"]);
        args.0.push(self.program.into());
        args.0.extend(self.args.iter().cloned());
        args.0
    }
}

/// A program installed elsewhere brings its own tree: `/opt/gdb` for `/opt/gdb/bin/gdb`.
fn prefix_outside_system(program: &Path) -> Option<&Path> {
    if SYSTEM.iter().any(|folder| program.starts_with(folder)) {
        return None;
    }
    let folder = program.parent()?;
    let prefix = if folder.ends_with("bin") { folder.parent()? } else { folder };
    (prefix != Path::new("/")).then_some(prefix)
}

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn add<'a>(&mut self, args: impl IntoIterator<Item = &'a str>) {
        self.0.extend(args.into_iter().map(OsString::from));
    }

    fn bind(&mut self, host: &Path, inside: &Path) {
        self.0.extend([OsString::from("--ro-bind"), host.into(), inside.into()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_host_is_writable() {
        let limits = SandboxLimits::default();
        let mut sandbox = Sandbox {
            program: Path::new("/opt/gdb/bin/gdb"),
            args: vec!["-batch".into()],
            variables: vec![("EVENT", "start".to_owned())],
            shown: vec![("/var/core".into(), "/x/core".into())],
            network: true,
            limits: &limits,
        };
        let prlimit = Path::new("/usr/bin/prlimit");
        let args = sandbox.bwrap_args(prlimit);
        assert!(args.iter().any(|arg| arg == "--share-net"));
        assert!(!args.iter().any(|arg| arg == "--bind" || arg == "--dev-bind"));
        sandbox.network = false;
        let args = sandbox.bwrap_args(prlimit);
        assert!(!args.iter().any(|arg| arg == "--share-net" || arg == "/etc/hosts"));
        assert!(!args.iter().any(|arg| arg == "--bind" || arg == "--dev-bind"));
        let shown = |path: &str| args.windows(2).any(|pair| pair[0] == "--ro-bind" && pair[1] == path);
        assert!(shown("/opt/gdb") && shown("/var/core"));
    }

    #[test]
    fn a_debugger_outside_the_system_folders_is_shown_with_its_tree() {
        let cases = [
            ("/usr/bin/gdb", None),
            ("/opt/gdb/bin/gdb", Some("/opt/gdb")),
            ("/opt/gdb", Some("/opt")),
            ("/gdb", None),
        ];
        for (program, want) in cases {
            assert_eq!(prefix_outside_system(Path::new(program)), want.map(Path::new), "input: {program}");
        }
    }
}
