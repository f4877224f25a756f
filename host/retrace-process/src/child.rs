use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tokio::time::timeout;

use crate::{Invocation, ProcessError, group::Group};

/// A program that runs beside us, with our outputs. Dropping this kills it and all its children.
#[derive(Debug)]
pub struct Child {
    program: PathBuf,
    process: tokio::process::Child,
    group: Group,
}

/// Starts a program that runs beside us until it ends or is ended; its time limit does not count.
///
/// # Errors
/// [`ProcessError`] if it cannot be found or started.
pub fn spawn(call: &Invocation) -> Result<Child, ProcessError> {
    let process = call.start(Stdio::inherit)?;
    let group = Group::of(&process);
    Ok(Child { program: call.program().to_owned(), process, group })
}

impl Child {
    /// Process id; none once it was seen to end.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for the program's end. May be cancelled and called again.
    ///
    /// # Errors
    /// [`ProcessError::Follow`] if the system refuses.
    pub async fn wait(&mut self) -> Result<ExitStatus, ProcessError> {
        let status = self.process.wait().await;
        self.group.kill();
        status.map_err(|source| ProcessError::Follow { program: self.program.clone(), source })
    }

    /// Asks the program and its children to end (`SIGTERM`); kills what is left after `grace`.
    ///
    /// # Errors
    /// [`ProcessError::Follow`] if the system refuses.
    pub async fn terminate(&mut self, grace: Duration) -> Result<ExitStatus, ProcessError> {
        self.group.signal(Signal::TERM);
        if let Ok(status) = timeout(grace, self.wait()).await {
            return status;
        }
        tracing::warn!(program = %self.program.display(), ?grace, "the program did not end when asked and is killed");
        self.group.kill();
        self.wait().await
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, time::Instant};

    use super::*;

    fn shell(script: &str) -> Invocation {
        Invocation::new("/bin/sh").arg("-c").arg(script)
    }

    #[tokio::test]
    async fn a_child_that_heeds_the_request_ends_by_itself() {
        let mut child = spawn(&shell("trap 'exit 7' TERM; while :; do sleep 0.05; done")).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(child.id().is_some());
        assert_eq!(child.terminate(Duration::from_secs(20)).await.unwrap().code(), Some(7));
        assert_eq!(child.id(), None);
    }

    #[tokio::test]
    async fn a_child_that_ignores_the_request_is_killed_after_the_grace() {
        let mut child = spawn(&shell("trap '' TERM; while :; do sleep 0.05; done")).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let start = Instant::now();
        let status = child.terminate(Duration::from_millis(300)).await.unwrap();
        assert_eq!(status.signal(), Some(9));
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn the_end_of_a_child_is_seen() {
        let mut child = spawn(&shell("exit 4")).unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(4));
        assert_eq!(child.terminate(Duration::from_secs(1)).await.unwrap().code(), Some(4));
    }
}
