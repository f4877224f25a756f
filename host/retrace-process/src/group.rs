use rustix::process::{Pid, Signal, kill_process_group};

/// A process group of ours, killed when this is dropped.
///
/// The group has the number of its leader, which stays reserved while any member lives. The guard is let go right after
/// the leader was reaped, so the number cannot have come round to a stranger.
#[derive(Debug)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// The group that `child` leads.
    pub(crate) fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Sends `signal` to every member.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(id) = self.0 {
            // It fails only if no member is left, which is what a kill wants.
            let _ = kill_process_group(id, signal);
        }
    }

    /// Kills every member, now and for good.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
