use std::{
    io,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use crate::{Invocation, ProcessError, group::Group};

/// Bytes of the error output that an error message carries.
const STDERR_TAIL_BYTES: usize = 2048;

/// How long the output is awaited after the program and its group are gone: a process that left the group may hold the
/// pipe open for ever.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, or by a signal.
    Exited(ExitStatus),
    /// It did not end in time and was killed with all its children.
    TimedOut,
}

/// What a program left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub ending: Ending,
    /// Its standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// Its error output, up to the limit.
    pub stderr: Vec<u8>,
    /// True if one of the outputs went beyond the limit.
    pub truncated: bool,
    /// Wall time from start to end.
    pub duration: Duration,
}

impl Output {
    /// True if the program ended with status 0 in time.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self.ending, Ending::Exited(status) if status.success())
    }

    /// The last lines of the error output, at most 2 KiB.
    #[must_use]
    pub fn stderr_tail(&self) -> String {
        let start = self.stderr.len().saturating_sub(STDERR_TAIL_BYTES);
        String::from_utf8_lossy(self.stderr.get(start..).unwrap_or_default()).trim().to_owned()
    }

    /// This output if the program succeeded.
    ///
    /// # Errors
    /// [`ProcessError::Failed`] or [`ProcessError::TimedOut`] otherwise.
    pub fn check(self, call: &Invocation) -> Result<Self, ProcessError> {
        let program = || call.program().to_owned();
        match self.ending {
            Ending::Exited(status) if status.success() => Ok(self),
            Ending::Exited(status) => {
                Err(ProcessError::Failed { program: program(), status, stderr_tail: self.stderr_tail() })
            }
            Ending::TimedOut => Err(ProcessError::TimedOut { program: program(), limit: call.time() }),
        }
    }
}

/// Runs a program to its successful end.
///
/// Status 0 is no proof: check that the expected result is there.
///
/// # Errors
/// [`ProcessError`]; any other status than 0 is one.
pub async fn run(call: &Invocation) -> Result<Output, ProcessError> {
    capture(call).await?.check(call)
}

/// Runs a program to whatever end, for callers that make use of half an output.
///
/// # Errors
/// [`ProcessError`] if it cannot be found, started or followed; its failure and the time limit are no errors here.
pub async fn capture(call: &Invocation) -> Result<Output, ProcessError> {
    let start = Instant::now();
    let mut child = call.start(Stdio::piped)?;
    let mut group = Group::of(&child);
    let mut stdout = Captured::new(call.output_limit());
    let mut stderr = Captured::new(call.output_limit());
    let (out_pipe, err_pipe) = (child.stdout.take(), child.stderr.take());

    let ended = {
        let reading = async {
            tokio::join!(stdout.read(out_pipe), stderr.read(err_pipe));
        };
        let following = async {
            let status = child.wait().await;
            group.kill(); // what the program left behind would hold the pipes open
            status
        };
        let both = async {
            let mut reading = std::pin::pin!(reading);
            let mut following = std::pin::pin!(following);
            tokio::select! {
                status = &mut following => {
                    let _ = timeout(DRAIN_LIMIT, reading).await;
                    status
                }
                () = &mut reading => following.await, // it closed its outputs and goes on
            }
        };
        timeout(call.time(), both).await
    };
    group.kill();
    let ending = match ended {
        Ok(status) => Ending::Exited(
            status.map_err(|source| ProcessError::Follow { program: call.program().to_owned(), source })?,
        ),
        Err(_) => Ending::TimedOut,
    };
    let duration = start.elapsed();
    tracing::debug!(program = %call.program().display(), ?ending, ?duration, "program ended");
    let truncated = stdout.overflowed || stderr.overflowed;
    Ok(Output { ending, stdout: stdout.bytes, stderr: stderr.bytes, truncated, duration })
}

/// Output of a program, up to a limit.
struct Captured {
    bytes: Vec<u8>,
    limit: usize,
    overflowed: bool,
}

impl Captured {
    fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, overflowed: false }
    }

    /// Reads to the end. A pipe that cannot be read is at its end: how the program fared, its status tells.
    async fn read(&mut self, pipe: Option<impl AsyncRead + Unpin>) {
        let Some(mut pipe) = pipe else { return };
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let read = match pipe.read(&mut chunk).await {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let kept = read.min(self.limit.saturating_sub(self.bytes.len()));
            self.bytes.extend_from_slice(chunk.get(..kept).unwrap_or_default());
            self.overflowed |= kept < read;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::Limits;

    fn shell(script: &str) -> Invocation {
        Invocation::new("/bin/sh").arg("-c").arg(script).time_limit(Duration::from_secs(30))
    }

    /// Waits until the process whose number stands in `file` is gone.
    async fn assert_dies(file: &Path) {
        let pid: u32 = fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let stat = format!("/proc/{pid}/stat");
        for _ in 0..200 {
            // A zombie that its new parent has not reaped yet is dead, too.
            match fs::read_to_string(&stat) {
                Ok(stat) if !stat.contains(") Z ") => tokio::time::sleep(Duration::from_millis(10)).await,
                _ => return,
            }
        }
        panic!("process {pid} is still alive");
    }

    async fn await_file(file: &Path) {
        for _ in 0..500 {
            if fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n')) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} never came", file.display());
    }

    #[tokio::test]
    async fn output_and_status_are_captured() {
        let output = run(&shell("echo out; echo err >&2")).await.unwrap();
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        assert!(!output.truncated);
    }

    #[tokio::test]
    async fn nothing_of_our_environment_is_inherited() {
        let output = run(&Invocation::new("env").env("ONLY", "this")).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ONLY=this\n");
    }

    #[tokio::test]
    async fn standard_input_is_empty() {
        assert!(run(&Invocation::new("cat")).await.unwrap().stdout.is_empty());
    }

    #[tokio::test]
    async fn a_file_may_be_the_standard_input() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "words").unwrap();
        let output = run(&Invocation::new("cat").stdin_file(file.path())).await.unwrap();
        assert_eq!(output.stdout, b"words");
        let error = run(&Invocation::new("cat").stdin_file("/no/such/file")).await.unwrap_err();
        assert!(matches!(error, ProcessError::Start { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_failure_carries_status_and_the_end_of_the_error_output() {
        let error = run(&shell("seq 1 5000 >&2; echo because >&2; exit 3")).await.unwrap_err();
        let ProcessError::Failed { status, stderr_tail, .. } = &error else { panic!("{error}") };
        assert_eq!(status.code(), Some(3));
        assert!(stderr_tail.ends_with("because") && stderr_tail.len() <= STDERR_TAIL_BYTES);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = run(&Invocation::new("no-such-program-anywhere")).await.unwrap_err();
        assert!(error.to_string().contains("no-such-program-anywhere"), "{error}");
    }

    #[tokio::test]
    async fn output_beyond_the_limit_is_dropped_without_stopping_the_program() {
        let call = shell("head -c 3000000 /dev/zero; echo done >&2").output_limit_bytes(1000);
        let output = run(&call).await.unwrap();
        assert_eq!((output.stdout.len(), output.truncated), (1000, true));
        assert_eq!(output.stderr, b"done\n");
    }

    #[tokio::test]
    async fn the_time_limit_kills_the_whole_group_and_keeps_the_output_so_far() {
        let dir = tempfile::tempdir().unwrap();
        let script = "echo begun; sleep 1000 & echo $! > child; wait";
        let call = shell(script).working_dir(dir.path()).time_limit(Duration::from_millis(700));
        let output = capture(&call).await.unwrap();
        assert_eq!((output.ending, &output.stdout[..]), (Ending::TimedOut, &b"begun\n"[..]));
        assert!(output.duration < Duration::from_secs(10));
        assert_dies(&dir.path().join("child")).await;
        assert!(matches!(run(&call).await, Err(ProcessError::TimedOut { .. })));
    }

    #[tokio::test]
    async fn dropping_the_future_kills_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let child = dir.path().join("child");
        let call = shell("sleep 1000 & echo $! > child; wait").working_dir(dir.path());
        let task = tokio::spawn(async move { run(&call).await });
        await_file(&child).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_dies(&child).await;
    }

    #[tokio::test]
    async fn children_left_behind_are_killed_and_do_not_delay_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let output = run(&shell("sleep 1000 & echo $! > child").working_dir(dir.path())).await.unwrap();
        assert!(output.duration < Duration::from_secs(10));
        assert_dies(&dir.path().join("child")).await;
    }

    #[tokio::test]
    async fn limits_hold_from_the_first_instruction() {
        let limits = Limits {
            memory_bytes: Some(512 << 20),
            cpu_seconds: Some(7),
            file_size_bytes: Some(1 << 20),
            open_files: Some(64),
            processes: None,
        };
        let script = "ulimit -v; ulimit -t; ulimit -n; ulimit -c; head -c 2000000 /dev/zero > big; echo $?";
        let dir = tempfile::tempdir().unwrap();
        let output = run(&shell(script).limits(limits).working_dir(dir.path())).await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.lines().take(4).collect::<Vec<_>>(), ["524288", "7", "64", "0"], "{text}");
        assert_eq!(fs::metadata(dir.path().join("big")).unwrap().len(), 1 << 20);
    }

    #[tokio::test]
    async fn a_busy_loop_ends_at_the_limit_of_processor_time() {
        let call = shell("while :; do :; done").limits(Limits { cpu_seconds: Some(1), ..Limits::default() });
        let output = capture(&call).await.unwrap();
        assert!(matches!(output.ending, Ending::Exited(status) if !status.success()), "{output:?}");
    }
}
