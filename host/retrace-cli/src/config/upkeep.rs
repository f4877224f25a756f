//! `[gc]`, `[[hooks]]`, `[notify]`: what keeps a service tidy and tells others of its tasks.

use std::{path::PathBuf, time::Duration};

use retrace_worker::{
    EmailTarget, GcOptions, Hook, HookEvent, HookOptions, NotifyEvent, NotifyOptions, SmtpOptions, SmtpTls,
    WebhookTarget,
};
use serde::{Deserialize, Serialize};

use super::Config;

const MIB: u64 = 1024 * 1024;
const HOUR: Duration = Duration::from_secs(3600);

/// `[gc]`: what `retrace gc` removes. 0 means never, or no limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GcConfig {
    /// How often the workers do it by themselves; one at a time does it for all.
    pub(crate) interval_s: u64,
    /// Hours after which a finished task is deleted.
    pub(crate) delete_task_after: u64,
    /// Hours after which a failed task is deleted.
    pub(crate) delete_failed_task_after: u64,
    /// Hours after which a finished task is put into an archive and deleted.
    pub(crate) archive_task_after: u64,
    /// Folder of the archives. Empty: they go into the artifact store, as `archive/<name>`.
    pub(crate) archive_dir: PathBuf,
    /// Size that the cache of unpacked files is cut down to: what was not used for longest goes first.
    pub(crate) max_file_cache_mib: u64,
}

/// `[[hooks]]`: a program that is run at a point in a task's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookConfig {
    pub(crate) event: HookEvent,
    /// Absolute path.
    pub(crate) program: PathBuf,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) args: Vec<String>,
    #[serde(default = "default_hook_timeout_s")]
    pub(crate) timeout_s: u64,
    #[serde(default = "default_hook_memory_mib")]
    pub(crate) memory_limit_mib: u64,
    /// May reach the network.
    #[serde(default)]
    pub(crate) network: bool,
    /// The task fails if the hook does.
    #[serde(default)]
    pub(crate) required: bool,
}

fn default_hook_timeout_s() -> u64 {
    300
}

fn default_hook_memory_mib() -> u64 {
    1024
}

/// `[notify]`: who is told when a task has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NotifyConfig {
    /// Address of this service as others reach it, for links: `https://retrace.example.org`.
    pub(crate) public_url: String,
    /// Pause before the second try; each further one is twice as long, up to an hour.
    pub(crate) first_retry_s: u64,
    /// Tries until a message is given up.
    pub(crate) max_tries: u32,
    pub(crate) smtp: SmtpConfig,
    pub(crate) webhook: Vec<WebhookConfig>,
    pub(crate) email: Vec<EmailConfig>,
}

/// `[notify.smtp]`: the server that takes the mails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SmtpConfig {
    pub(crate) server: String,
    /// 0: 25 without TLS, 587 with STARTTLS, 465 with TLS.
    pub(crate) port: u16,
    /// `starttls`, `tls` or `none`.
    pub(crate) tls: SmtpTls,
    /// Name of the account; empty: none.
    pub(crate) user: String,
    /// File whose first line is the password.
    pub(crate) password_file: PathBuf,
    /// PEM file of further authorities that may sign the server's certificate.
    pub(crate) authorities: PathBuf,
    /// Sender: `Retrace <retrace@example.org>`.
    pub(crate) from: String,
}

/// `[[notify.webhook]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookConfig {
    /// Names the receiver in logs, and its messages in the store; the URL's host if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// https, or http on this machine.
    pub(crate) url: String,
    /// `finished`, `failed`; all without it.
    #[serde(default = "all_events")]
    pub(crate) events: Vec<NotifyEvent>,
    /// File whose first line is the secret that messages are signed with.
    pub(crate) secret_file: PathBuf,
    /// PEM file of the authorities that may sign the server's certificate, in place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authorities: Option<PathBuf>,
    /// Refuse addresses of private networks and of this machine, whatever the name leads to.
    #[serde(default)]
    pub(crate) public_only: bool,
}

/// `[[notify.email]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmailConfig {
    /// Addresses; each message goes to all of them.
    pub(crate) to: Vec<String>,
    /// `finished`, `failed`; all without it.
    #[serde(default = "all_events")]
    pub(crate) events: Vec<NotifyEvent>,
}

fn all_events() -> Vec<NotifyEvent> {
    NotifyEvent::ALL.to_vec()
}

impl Default for GcConfig {
    /// Nothing is deleted unless the operator says so, as the predecessor's shipped file has it.
    fn default() -> Self {
        Self {
            interval_s: 3600,
            delete_task_after: 0,
            delete_failed_task_after: 0,
            archive_task_after: 0,
            archive_dir: PathBuf::new(),
            max_file_cache_mib: 20 * 1024,
        }
    }
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            public_url: String::new(),
            first_retry_s: 10,
            max_tries: 24,
            smtp: SmtpConfig::default(),
            webhook: Vec::new(),
            email: Vec::new(),
        }
    }
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            server: "localhost".to_owned(),
            port: 0,
            tls: SmtpTls::Starttls,
            user: String::new(),
            password_file: PathBuf::new(),
            authorities: PathBuf::new(),
            from: "Retrace <retrace@localhost>".to_owned(),
        }
    }
}

impl GcConfig {
    /// What is wrong with it.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let Self { delete_task_after, delete_failed_task_after, archive_task_after, archive_dir, .. } = self;
        if *delete_task_after > 0 && *delete_failed_task_after > *delete_task_after {
            problems.push(format!(
                "gc.delete_failed_task_after ({delete_failed_task_after} h) has no effect: all finished tasks go after {delete_task_after} h"
            ));
        }
        if *archive_task_after > 0 && *delete_task_after > 0 && delete_task_after < archive_task_after {
            problems.push(format!(
                "gc.archive_task_after ({archive_task_after} h) has no effect: tasks are deleted after {delete_task_after} h"
            ));
        }
        if *archive_task_after > 0 && !archive_dir.as_os_str().is_empty() && !archive_dir.is_dir() {
            problems.push(format!("gc.archive_dir {} is no folder", archive_dir.display()));
        }
        problems
    }

    pub(crate) fn options(&self, config: &Config) -> GcOptions {
        let hours = |hours: u64| (hours > 0).then(|| HOUR.saturating_mul(u32::try_from(hours).unwrap_or(u32::MAX)));
        GcOptions {
            delete_after: hours(self.delete_task_after),
            delete_failed_after: hours(self.delete_failed_task_after),
            archive_after: hours(self.archive_task_after),
            archive_dir: Some(self.archive_dir.clone()).filter(|dir| !dir.as_os_str().is_empty()),
            task_timeout: config.worker.task_timeout(),
            work_dir: config.work_dir(),
            file_cache_bytes: (self.max_file_cache_mib > 0).then(|| self.max_file_cache_mib.saturating_mul(MIB)),
        }
    }
}

impl HookConfig {
    pub(crate) fn hook(&self) -> Hook {
        Hook {
            event: self.event,
            program: self.program.clone(),
            args: self.args.clone(),
            options: HookOptions {
                time_limit: Duration::from_secs(self.timeout_s.max(1)),
                memory_bytes: self.memory_limit_mib.max(1).saturating_mul(MIB),
                network: self.network,
                required: self.required,
            },
        }
    }
}

impl NotifyConfig {
    pub(crate) fn options(&self) -> NotifyOptions {
        let smtp = &self.smtp;
        let file = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
        let webhook = |webhook: &WebhookConfig| WebhookTarget {
            name: webhook.name.clone(),
            url: webhook.url.clone(),
            events: webhook.events.clone(),
            secret_file: webhook.secret_file.clone(),
            authorities: webhook.authorities.clone(),
            public_only: webhook.public_only,
        };
        let email = |email: &EmailConfig| EmailTarget { to: email.to.clone(), events: email.events.clone() };
        NotifyOptions {
            public_url: Some(self.public_url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty()),
            first_retry: Duration::from_secs(self.first_retry_s.max(1)),
            max_tries: self.max_tries.max(1),
            smtp: SmtpOptions {
                server: smtp.server.clone(),
                port: (smtp.port > 0).then_some(smtp.port),
                tls: smtp.tls,
                user: Some(smtp.user.clone()).filter(|user| !user.is_empty()),
                password_file: file(&smtp.password_file),
                authorities: file(&smtp.authorities),
                from: smtp.from.clone(),
            },
            webhooks: self.webhook.iter().map(webhook).collect(),
            emails: self.email.iter().map(email).collect(),
        }
    }
}
