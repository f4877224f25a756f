//! What became of each option of the predecessor: the one table that the converter and the documentation are made of.

/// An option of the predecessor's section `[retrace]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct OldOption {
    pub(super) name: &'static str,
    pub(super) becomes: Becomes,
    /// What to know about it; why it is gone, where it is.
    pub(super) note: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Becomes {
    /// The key with dots, and how its value reads.
    Key(&'static str, Value),
    /// There is nothing like it.
    Nothing,
}

/// How a value is read and written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// A number that counts the same thing; below 0 is 0.
    Number,
    /// `yes`, `on`, `true`, `1`.
    Switch,
    /// A text, a path.
    Text,
    /// An address of mail that gets the name of the program.
    Sender,
}

const VMCORES: &str = "kernel dumps are not supported yet";
const MANAGER: &str =
    "there is no task manager: `/api/v1` lists, restarts and deletes tasks for those whose token allows it";
const BUGZILLA: &str =
    "Bugzilla is not asked: a hook or a webhook can tell it, and `delete_task_after` alone decides the age";
const ENVIRONMENTS: &str =
    "no chroot is built: the files that a core needs are unpacked, and the debugger runs in a sandbox";
const FAF: &str = "packages come from mirrors alone";
const FTP: &str = "cores are uploaded, not fetched";

const fn key(name: &'static str, key: &'static str, value: Value, note: &'static str) -> OldOption {
    OldOption { name, becomes: Becomes::Key(key, value), note }
}

const fn gone(name: &'static str, why: &'static str) -> OldOption {
    OldOption { name, becomes: Becomes::Nothing, note: why }
}

/// All of them, in the order of the predecessor's manual.
pub(super) const OPTIONS: [OldOption; 60] = [
    gone("TaskIdLength", "an id always has nine digits, the default that old clients were written against"),
    gone("TaskPassLength", "a password always has 32 characters"),
    key(
        "MaxParallelTasks",
        "server.max_parallel_tasks",
        Value::Number,
        "tasks over it wait, up to `server.max_queued_tasks`",
    ),
    key("MaxPackedSize", "server.max_packed_size_mib", Value::Number, "MiB"),
    key(
        "MaxUnpackedSize",
        "server.max_unpacked_size_mib",
        Value::Number,
        "MiB; it holds while unpacking, whatever the archive says of itself",
    ),
    key("MinStorageLeft", "server.min_storage_left_mib", Value::Number, "MiB"),
    key("DeleteTaskAfter", "gc.delete_task_after", Value::Number, "hours since the task ended; 0 never"),
    key("DeleteFailedTaskAfter", "gc.delete_failed_task_after", Value::Number, "hours since the task ended; 0 never"),
    key(
        "ArchiveTaskAfter",
        "gc.archive_task_after",
        Value::Number,
        "hours since the task ended; 0 never; `.tar.zst` instead of `.tar.gz`",
    ),
    gone(
        "KeepRawhideLatest",
        "packages are fetched when a core needs them; to keep the newest ahead write a `[[repository]]` rule with `mode = \"filtered\"` and `newest`",
    ),
    gone("KojiRoot", VMCORES),
    key("DropDir", "gc.archive_dir", Value::Text, "empty: the artifact store"),
    gone("LogDir", "logs go to standard error, which systemd keeps in the journal"),
    gone(
        "RepoDir",
        "packages and index lie in `state_dir`; a folder of packages can be given as a mirror: `retrace mirror sync --mirror`",
    ),
    gone("SaveDir", "tasks lie in `state_dir`; those of the predecessor are not read"),
    gone("DBFile", "statistics are in the store's database"),
    key(
        "RequireHTTPS",
        "server.require_https",
        Value::Switch,
        "behind a proxy the server must trust it, see service.md",
    ),
    key("AllowAPIDelete", "server.allow_delete", Value::Switch, ""),
    gone("AllowExternalDir", "a client never names a folder of the server"),
    gone(
        "AllowInteractive",
        "interactive tasks are refused; `retrace analyze --keep-sysroot` prepares a debugger's work on one's own machine",
    ),
    key("AllowMetrics", "server.allow_metrics", Value::Switch, ""),
    gone("AllowTaskManager", MANAGER),
    gone("AllowVMCoreTask", MANAGER),
    gone("AllowUsrCoreTask", MANAGER),
    gone("TaskManagerAuthDelete", MANAGER),
    gone("TaskManagerDeleteUsers", MANAGER),
    gone("UseFTPTasks", FTP),
    gone("FTPSSL", FTP),
    gone("FTPHost", FTP),
    gone("FTPUser", FTP),
    gone("FTPPass", FTP),
    gone("FTPDir", FTP),
    gone("FTPBufferSize", FTP),
    gone("WgetKernelDebuginfos", VMCORES),
    gone("KernelDebuginfoURL", VMCORES),
    gone("VmcoreDumpLevel", VMCORES),
    gone("VmcoreDumpSavePercent", VMCORES),
    gone(
        "RequireGPGCheck",
        "signatures are always verified; `signatures = \"none\"` of a `[[repository]]` rule turns that off for one repository, and every result that used it says so",
    ),
    gone("UseCreaterepoUpdate", "the index is filled from the mirrors' own metadata"),
    gone("KernelChrootRepo", VMCORES),
    gone("UseFafPackages", FAF),
    gone("FafLinkDir", FAF),
    gone("RetraceEnvironment", ENVIRONMENTS),
    gone("AuthGroup", "files of tasks belong to the service's user alone"),
    gone("EmailNotify", "mails go to the addresses of `[[notify.email]]`, not to what a client names"),
    key(
        "EmailNotifyFrom",
        "notify.smtp.from",
        Value::Sender,
        "the server was localhost, port 25, without TLS: see `[notify.smtp]`",
    ),
    gone("CalculateMd5", "packages and artifacts are known by their SHA-256"),
    gone("CaseNumberURL", BUGZILLA),
    gone("BugzillaURL", BUGZILLA),
    gone("BugzillaStatus", BUGZILLA),
    gone("BugzillaCredentials", BUGZILLA),
    gone("BugzillaProduct", BUGZILLA),
    gone("BugzillaComponent", BUGZILLA),
    gone("BugzillaTriggerWords", BUGZILLA),
    gone("BugzillaRegExes", BUGZILLA),
    gone("BugzillaQueryLastChangeDelta", BUGZILLA),
    gone(
        "ProcessCommunicateTimeout",
        "it bounded crash and makedumpfile; `gdb.time_limit_seconds` bounds the debugger, `worker.task_timeout_s` a task",
    ),
    gone("KernelDebuggerPath", VMCORES),
    gone("[archhosts]", "a worker reads cores of every architecture; any worker on the same database takes any task"),
    gone("[main] Timeout", "`timeout_s` of each `[[hooks]]` entry; 300 s as before"),
];

/// The table of the documentation.
#[cfg(test)]
fn documentation() -> String {
    use std::fmt::Write as _;

    let mut text = String::from("| retrace-server | Retrace | |\n| --- | --- | --- |\n");
    for OldOption { name, becomes, note } in OPTIONS {
        let new = match becomes {
            Becomes::Key(key, _) => format!("`{key}`"),
            Becomes::Nothing => "–".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{name}` | {new} | {note} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_this_table() {
        let page = include_str!("../../../../../retrace-server/docs/upkeep.md");
        assert!(
            page.contains(&documentation()),
            "docs/upkeep.md has another table; the one of the program:\n{}",
            documentation()
        );
    }

    #[test]
    fn no_option_stands_twice() {
        let mut names: Vec<_> = OPTIONS.iter().map(|option| option.name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OPTIONS.len());
    }
}
