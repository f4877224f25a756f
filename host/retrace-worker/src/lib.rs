//! The retrace job: from a core to a backtrace, step by step, and the loop that takes tasks from the queue.
//!
//! [`Analyzer::analyze`] is the whole pipeline: intake, facts, release, packages, files, backtrace. The decisions are
//! pure (`release`, `assemble`); the other crates do the work. [`run_tasks`] puts a lease, a heartbeat
//! and the store around it, and runs [`Hooks`]. Beside it [`Gc`] removes what is old, and [`Notifier`] tells others what ended.
//! [`fulfil_wishes`] fetches the packages that the server wants for its debuginfod endpoint.
//!
//! Promises: a module is used only when its file has the build-id that the core names; every failure and every
//! imperfect frame carries a typed reason and what would mend it; killing the process at any instant leaves nothing but
//! a work folder that the next job removes, and a task that is taken again.
//!
//! Not here: HTTP (`retrace-server`), what is printed on a terminal (`retrace-cli`).

mod analyze;
mod answer;
mod assemble;
mod engine;
mod error;
mod event;
mod fingerprint;
mod gc;
mod hooks;
mod intake;
mod inventory;
mod knowledge;
mod left_out;
mod notify;
mod packages;
mod release;
mod steps;
mod story;
mod task;
mod task_hooks;
mod wishes;
mod work_folder;

pub use analyze::{Analysis, AnalyzeRequest, Analyzer, AnalyzerOptions, Observer};
pub use engine::Engine;
pub use error::AnalyzeError;
pub use event::{EVENT_SCHEMA, EventDocument, FilesDocument, TaskDocument};
pub use gc::{Gc, GcAction, GcError, GcFailure, GcItem, GcOptions, GcReport, GcTotal, TaskFate, fate};
pub use hooks::{Hook, HookEvent, HookOptions, Hooks};
pub use notify::{EmailTarget, Notifier, NotifyEvent, NotifyOptions, SmtpOptions, SmtpTls, WebhookTarget};
pub use task::{TaskLoopOptions, run_tasks};
pub use wishes::fulfil_wishes;
