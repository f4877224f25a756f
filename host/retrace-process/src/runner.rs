use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    pin::Pin,
    process::ExitStatus,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{Ending, Invocation, Output, ProcessError};

/// Runs programs, or pretends to: the seam at which the tests of callers step in.
pub trait Runner: fmt::Debug + Send + Sync {
    /// Runs a program to its successful end, as [`run`](crate::run) does.
    fn run<'a>(
        &'a self,
        call: &'a Invocation,
    ) -> Pin<Box<dyn Future<Output = Result<Output, ProcessError>> + Send + 'a>>;
}

/// Runs programs for real.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRunner;

impl Runner for SystemRunner {
    fn run<'a>(
        &'a self,
        call: &'a Invocation,
    ) -> Pin<Box<dyn Future<Output = Result<Output, ProcessError>> + Send + 'a>> {
        Box::pin(crate::run(call))
    }
}

/// What a [`ScriptedRunner`] says to one call.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The program succeeds and prints this.
    Prints(String),
    /// The program exits with this status and error output.
    Fails(u8, String),
    /// The program does not end in time.
    TimesOut,
    /// There is no such program.
    NotFound,
}

/// Answers calls from a script, in order, and keeps them for inspection. Runs nothing.
#[derive(Debug, Default)]
pub struct ScriptedRunner {
    state: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<(PathBuf, Answer)>,
    calls: Vec<Invocation>,
}

impl ScriptedRunner {
    /// Expects these programs to be called in this order, each answered as said; any other call finds no program.
    pub fn new<P: Into<PathBuf>>(answers: impl IntoIterator<Item = (P, Answer)>) -> Self {
        let answers = answers.into_iter().map(|(program, answer)| (program.into(), answer)).collect();
        Self { state: Mutex::new(Script { answers, calls: Vec::new() }) }
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Invocation> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }

    fn answer(&self, call: &Invocation) -> Answer {
        let mut script = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        script.calls.push(call.clone());
        match script.answers.pop_front() {
            Some((program, answer)) if program == call.program() => answer,
            _ => Answer::NotFound,
        }
    }
}

impl Runner for ScriptedRunner {
    fn run<'a>(
        &'a self,
        call: &'a Invocation,
    ) -> Pin<Box<dyn Future<Output = Result<Output, ProcessError>> + Send + 'a>> {
        let exited = |code: u8| Ending::Exited(ExitStatus::from_raw(i32::from(code) << 8));
        let (ending, stdout, stderr) = match self.answer(call) {
            Answer::Prints(text) => (exited(0), text, String::new()),
            Answer::Fails(code, text) => (exited(code), String::new(), text),
            Answer::TimesOut => (Ending::TimedOut, String::new(), String::new()),
            Answer::NotFound => {
                let program = call.program().to_owned();
                return Box::pin(std::future::ready(Err(ProcessError::NotFound { program })));
            }
        };
        let (stdout, stderr) = (stdout.into_bytes(), stderr.into_bytes());
        let output = Output { ending, stdout, stderr, truncated: false, duration: Duration::ZERO };
        Box::pin(std::future::ready(output.check(call)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_are_answered_in_order_and_kept() {
        let script = ScriptedRunner::new([
            ("rsync", Answer::Prints("ok".to_owned())),
            ("rsync", Answer::Fails(23, "partial".to_owned())),
            ("gpg", Answer::TimesOut),
        ]);
        let runner: &dyn Runner = &script;
        let rsync = Invocation::new("rsync").arg("-a");
        assert_eq!(runner.run(&rsync).await.unwrap().stdout, b"ok");
        let failed = runner.run(&rsync).await.unwrap_err();
        assert!(matches!(&failed, ProcessError::Failed { status, .. } if status.code() == Some(23)), "{failed}");
        assert!(matches!(runner.run(&Invocation::new("gpg")).await, Err(ProcessError::TimedOut { .. })));
        assert!(matches!(runner.run(&rsync).await, Err(ProcessError::NotFound { .. })));
        assert_eq!(script.calls().len(), 4);
        assert_eq!(script.calls()[0].arguments().collect::<Vec<_>>(), ["-a"]);
    }
}
