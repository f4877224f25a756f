use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use crate::{Limits, ProcessError, program::locate};

/// A program, its arguments and everything that bounds it.
#[derive(Clone)]
pub struct Invocation {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    working_dir: Option<PathBuf>,
    stdin: Option<PathBuf>,
    time_limit: Duration,
    output_limit_bytes: usize,
    limits: Limits,
}

impl Invocation {
    /// Wall time that a program gets unless [`Invocation::time_limit`] says otherwise.
    pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(60);
    /// Bytes kept of each of the two outputs unless [`Invocation::output_limit_bytes`] says otherwise.
    pub const DEFAULT_OUTPUT_LIMIT_BYTES: usize = 1024 * 1024;

    /// Runs `program`, a path or a name that [`find_program`](crate::find_program) finds, without arguments.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            working_dir: None,
            stdin: None,
            time_limit: Self::DEFAULT_TIME_LIMIT,
            output_limit_bytes: Self::DEFAULT_OUTPUT_LIMIT_BYTES,
            limits: Limits::default(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the otherwise empty environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs in this folder; in ours otherwise.
    #[must_use]
    pub fn working_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.working_dir = Some(dir.into());
        self
    }

    /// Gives the program this file as its standard input; it is empty otherwise.
    #[must_use]
    pub fn stdin_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdin = Some(path.into());
        self
    }

    /// Wall time until the program and its children are killed. Does not hold for [`spawn`](crate::spawn).
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Bytes kept of each of the two outputs; what follows is read and dropped.
    #[must_use]
    pub fn output_limit_bytes(mut self, limit: usize) -> Self {
        self.output_limit_bytes = limit;
        self
    }

    /// Resource limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its arguments.
    pub fn arguments(&self) -> impl Iterator<Item = &OsStr> {
        self.args.iter().map(OsString::as_os_str)
    }

    pub(crate) fn time(&self) -> Duration {
        self.time_limit
    }

    pub(crate) fn output_limit(&self) -> usize {
        self.output_limit_bytes
    }

    /// Starts the program in its own process group, with these outputs.
    pub(crate) fn start(&self, output: impl Fn() -> Stdio) -> Result<tokio::process::Child, ProcessError> {
        let find = |name: &OsStr| locate(name).ok_or_else(|| ProcessError::NotFound { program: name.into() });
        let program = find(self.program.as_os_str())?;
        let mut command = if self.limits.is_empty() {
            new_command(&program)
        } else {
            let mut command = new_command(&find(OsStr::new("prlimit"))?);
            command.args(self.limits.prlimit_options()).arg("--").arg(&program);
            command
        };
        let start_failed = |source: io::Error| ProcessError::Start { program: self.program.clone(), source };
        let stdin = match &self.stdin {
            Some(path) => std::fs::File::open(path).map_err(start_failed)?.into(),
            None => Stdio::null(),
        };
        command
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(output())
            .stderr(output())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(dir) = &self.working_dir {
            command.current_dir(dir);
        }
        command.spawn().map_err(start_failed)
    }
}

#[expect(clippy::disallowed_methods, reason = "this crate is the one place that spawns programs")]
fn new_command(program: &Path) -> Command {
    Command::new(program)
}

impl fmt::Debug for Invocation {
    /// Without the values of the environment: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Invocation")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &names)
            .field("working_dir", &self.working_dir)
            .field("stdin", &self.stdin)
            .field("time_limit", &self.time_limit)
            .field("output_limit_bytes", &self.output_limit_bytes)
            .field("limits", &self.limits)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_environment_are_not_shown() {
        let call = Invocation::new("true").env("TOKEN", "secret");
        let shown = format!("{call:?}");
        assert!(shown.contains("TOKEN") && !shown.contains("secret"), "{shown}");
    }
}
