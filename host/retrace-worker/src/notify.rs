//! Who is told that a task has ended: webhooks and mails.
//!
//! What is to be told is found in the store, not in what this process did: so a worker that is killed loses nothing, and a task
//! that was ended by somebody else is told as well. Messages lie in the store until their receiver took them; a message that
//! is sent twice has the same id both times.

mod address;
mod mail;
mod webhook;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use metrics::counter;
use retrace_store::{Message, NewMessage, Store, Task};
use retrace_types::TaskStatus;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::EventDocument;

/// How often the store is asked.
const POLL: Duration = Duration::from_secs(2);
/// Longest wait after the store failed.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause between two tries of a message.
const MAX_RETRY: Duration = Duration::from_secs(3600);
/// Time for one try.
const SEND_TIME: Duration = Duration::from_secs(30);
/// How long a message stays with a sender that gives no sign of life.
const HOLD: Duration = Duration::from_secs(120);
/// Messages that are sent at once: one receiver that is slow must not hold up the others.
const PARALLEL: usize = 4;
/// Tasks that are told in one go.
const BATCH: u32 = 100;

/// What others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyEvent {
    /// A task was finished with a backtrace.
    Finished,
    /// A task was finished without one.
    Failed,
}

impl NotifyEvent {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Finished, Self::Failed];

    /// Its name in the configuration and in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }

    fn of(task: &Task) -> Self {
        if task.status == TaskStatus::Success { Self::Finished } else { Self::Failed }
    }
}

/// Who is told, and how.
#[derive(Clone, Debug)]
pub struct NotifyOptions {
    /// Address of the service as others reach it, without a slash at the end.
    pub public_url: Option<String>,
    /// Pause before the second try; each further one is twice as long, up to an hour.
    pub first_retry: Duration,
    /// Tries until a message is given up.
    pub max_tries: u32,
    /// The server that takes the mails.
    pub smtp: SmtpOptions,
    /// Receivers by http.
    pub webhooks: Vec<WebhookTarget>,
    /// Receivers by mail.
    pub emails: Vec<EmailTarget>,
}

/// A server for mails.
#[derive(Clone, Debug)]
pub struct SmtpOptions {
    /// Its name.
    pub server: String,
    /// Its port; the usual one for the kind of TLS without it.
    pub port: Option<u16>,
    /// How it is protected.
    pub tls: SmtpTls,
    /// Name of the account.
    pub user: Option<String>,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// PEM file of further authorities that may sign the server's certificate.
    pub authorities: Option<PathBuf>,
    /// Sender.
    pub from: String,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// It begins in the clear and is then turned to TLS, or the mail is not sent.
    Starttls,
    /// TLS from the start.
    Tls,
    /// Not at all; no password is sent then.
    None,
}

/// A receiver by http.
#[derive(Clone, Debug)]
pub struct WebhookTarget {
    /// Names it in the store and in logs; the URL's host without it.
    pub name: Option<String>,
    /// https, or http on this machine.
    pub url: String,
    /// What it is told.
    pub events: Vec<NotifyEvent>,
    /// File whose first line is the secret that messages are signed with.
    pub secret_file: PathBuf,
    /// PEM file of the authorities that may sign its certificate, in place of the system's.
    pub authorities: Option<PathBuf>,
    /// Refuse addresses of private networks and of this machine.
    pub public_only: bool,
}

/// A receiver by mail.
#[derive(Clone, Debug)]
pub struct EmailTarget {
    /// Addresses.
    pub to: Vec<String>,
    /// What they are told.
    pub events: Vec<NotifyEvent>,
}

/// Tells of tasks until it is stopped.
pub struct Notifier {
    store: Store,
    options: NotifyOptions,
    receivers: Vec<Receiver>,
}

struct Receiver {
    name: String,
    events: Vec<NotifyEvent>,
    channel: Channel,
}

enum Channel {
    Webhook(webhook::Webhook),
    Mail(mail::Mail),
}

impl Notifier {
    /// A notifier on this store. What is wrong with a receiver shows when a message is sent to it; see
    /// [`problems`](Self::problems).
    #[must_use]
    pub fn new(store: Store, options: NotifyOptions) -> Self {
        let receivers = receivers(&options);
        Self { store, options, receivers }
    }

    /// What an operator should mend, one sentence for each thing.
    #[must_use]
    pub fn problems(options: &NotifyOptions) -> Vec<String> {
        let receivers = receivers(options);
        let mut problems = Vec::new();
        let mut names = std::collections::HashSet::new();
        for Receiver { name, channel, .. } in &receivers {
            if !names.insert(name) {
                problems.push(format!("notify: two receivers are called {name}: give them a `name`"));
            }
            let checked = match channel {
                Channel::Webhook(webhook) => webhook.check(),
                Channel::Mail(mail) => mail.check(),
            };
            if let Err(error) = checked {
                problems.push(format!("notify: {name}: {error:#}"));
            }
        }
        problems
    }

    /// Tells of tasks that end, and sends what waits, until `stop` is cancelled. Without receivers the tasks are noted as told, so
    /// that a receiver that is added later does not hear of old ones.
    pub async fn run(&self, stop: &CancellationToken) {
        let telling = self.repeat(stop, "the ends of tasks cannot be told", || self.tell());
        let sending = (0..PARALLEL).map(|_| self.repeat(stop, "messages cannot be sent", || self.send_due()));
        tokio::join!(telling, join_all(sending));
    }

    async fn repeat<F: Future<Output = Result<()>>>(&self, stop: &CancellationToken, what: &str, step: impl Fn() -> F) {
        let mut pause = POLL;
        while !stop.is_cancelled() {
            let done = tokio::select! {
                done = step() => done,
                () = stop.cancelled() => return,
            };
            match done {
                Ok(()) => pause = POLL,
                Err(error) => {
                    tracing::error!(error = %format_args!("{error:#}"), "{what}");
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Makes the messages for all tasks that ended and were not told yet.
    async fn tell(&self) -> Result<()> {
        loop {
            let tasks = self.store.untold_tasks(BATCH).await?;
            for task in &tasks {
                self.store.tell(task, &self.messages(task)?).await?;
            }
            if tasks.len() < BATCH as usize {
                return Ok(());
            }
        }
    }

    fn messages(&self, task: &Task) -> Result<Vec<NewMessage>> {
        let event = NotifyEvent::of(task);
        let mut document = EventDocument::new(event.as_str(), task);
        document.url = self.options.public_url.as_ref().map(|url| format!("{url}/{}", task.id));
        let body = serde_json::to_string(&document)?;
        let wants = self.receivers.iter().filter(|receiver| receiver.events.contains(&event));
        Ok(wants
            .map(|receiver| NewMessage {
                target: receiver.name.clone(),
                event: event.as_str().to_owned(),
                body: body.clone(),
            })
            .collect())
    }

    async fn send_due(&self) -> Result<()> {
        while let Some(message) = self.store.next_message(HOLD).await? {
            let sent = tokio::time::timeout(SEND_TIME, self.send(&message)).await;
            let sent = sent.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", SEND_TIME.as_secs())));
            let Message { id, target, attempt, .. } = &message;
            let result = if sent.is_ok() { "success" } else { "fail" };
            counter!("retrace_notifications_total", "result" => result).increment(1);
            match sent {
                Ok(()) => {
                    self.store.delivered(&message).await?;
                    tracing::info!(message = id, "Told {target} of {}", subject(&message));
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    let pause =
                        (*attempt < self.options.max_tries).then(|| retry_pause(self.options.first_retry, *attempt));
                    self.store.put_off(&message, &error, pause).await?;
                    let next =
                        pause.map_or("it is given up".to_owned(), |pause| format!("next try in {} s", pause.as_secs()));
                    tracing::warn!(
                        message = id,
                        attempt,
                        error,
                        "cannot tell {target} of {}; {next}",
                        subject(&message)
                    );
                }
            }
        }
        Ok(())
    }

    async fn send(&self, message: &Message) -> Result<()> {
        let receiver = self.receivers.iter().find(|receiver| receiver.name == message.target);
        let receiver = receiver.context("the configuration has no such receiver any more")?;
        match &receiver.channel {
            Channel::Webhook(webhook) => webhook.send(message).await,
            Channel::Mail(mail) => mail.send(message).await,
        }
    }
}

fn subject(message: &Message) -> String {
    message.task.map_or_else(|| message.event.clone(), |task| format!("task {task}"))
}

fn receivers(options: &NotifyOptions) -> Vec<Receiver> {
    let webhooks = options.webhooks.iter().map(|target| {
        let webhook = webhook::Webhook::new(target.clone());
        Receiver { name: webhook.name(), events: target.events.clone(), channel: Channel::Webhook(webhook) }
    });
    let mails = options.emails.iter().map(|target| Receiver {
        name: format!("email:{}", target.to.join(",")),
        events: target.events.clone(),
        channel: Channel::Mail(mail::Mail::new(options.smtp.clone(), target.to.clone())),
    });
    webhooks.chain(mails).collect()
}

/// The pause after a try, from 1.
fn retry_pause(first: Duration, attempt: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX)).min(MAX_RETRY)
}

/// The first line of a file that holds a secret.
fn read_secret(path: &std::path::Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    anyhow::ensure!(!line.is_empty(), "the first line of {} is empty: write the secret there", path.display());
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pause = |attempt| retry_pause(Duration::from_secs(10), attempt).as_secs();
        assert_eq!([1, 2, 3, 9, 10, 40, u32::MAX].map(pause), [10, 20, 40, 2560, 3600, 3600, 3600]);
    }

    #[test]
    fn receivers_that_cannot_work_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "long enough a secret, is it not\n").unwrap();
        let webhook = |url: &str| WebhookTarget {
            name: None,
            url: url.to_owned(),
            events: NotifyEvent::ALL.to_vec(),
            secret_file: secret.clone(),
            authorities: None,
            public_only: false,
        };
        let mail = |to: &str| EmailTarget { to: vec![to.to_owned()], events: NotifyEvent::ALL.to_vec() };
        let smtp = SmtpOptions {
            server: "mail.example.org".to_owned(),
            port: None,
            tls: SmtpTls::None,
            user: None,
            password_file: None,
            authorities: None,
            from: "Retrace <retrace@example.org>".to_owned(),
        };
        let options = |webhooks: Vec<WebhookTarget>, emails: Vec<EmailTarget>| NotifyOptions {
            public_url: None,
            first_retry: Duration::from_secs(1),
            max_tries: 2,
            smtp: smtp.clone(),
            webhooks,
            emails,
        };
        let good = options(vec![webhook("https://example.org/hook")], vec![mail("a@example.org")]);
        assert_eq!(Notifier::problems(&good), Vec::<String>::new());
        for (url, want) in [
            ("http://example.org/hook", "https"),
            ("ftp://example.org", "https"),
            ("no url", "no URL"),
            ("https://user:word@example.org/", "password"),
        ] {
            let problems = Notifier::problems(&options(vec![webhook(url)], Vec::new()));
            assert!(problems.len() == 1 && problems[0].contains(want), "{url}: {problems:?}");
        }
        let private = WebhookTarget { public_only: true, ..webhook("https://10.1.2.3/") };
        assert!(Notifier::problems(&options(vec![private], Vec::new()))[0].contains("private"));
        let twice = options(vec![webhook("https://example.org/1"), webhook("https://example.org/2")], Vec::new());
        assert!(Notifier::problems(&twice)[0].contains("two receivers"));
        assert!(Notifier::problems(&options(Vec::new(), vec![mail("nobody")]))[0].contains("nobody"));
        let clear = SmtpOptions { user: Some("u".into()), password_file: Some(secret.clone()), ..smtp.clone() };
        let clear = NotifyOptions { smtp: clear, ..options(Vec::new(), vec![mail("a@example.org")]) };
        assert!(Notifier::problems(&clear)[0].contains("in the clear"));
    }
}
