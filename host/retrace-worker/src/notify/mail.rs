//! A receiver by mail: one plain message, without the log, which may hold secrets.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message as Letter, Tokio1Executor,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use retrace_store::Message;

use super::{SEND_TIME, SmtpOptions, SmtpTls, read_secret};
use crate::EventDocument;

pub(super) struct Mail {
    smtp: SmtpOptions,
    to: Vec<String>,
}

impl Mail {
    pub(super) fn new(smtp: SmtpOptions, to: Vec<String>) -> Self {
        Self { smtp, to }
    }

    /// Whether it could be sent to, as far as this machine alone tells.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(!self.to.is_empty(), "`to` names no address");
        self.addresses()?;
        self.from()?;
        self.transport().map(drop)
    }

    pub(super) async fn send(&self, message: &Message) -> Result<()> {
        let letter = self.letter(message)?;
        self.transport()?.send(letter).await.context("the mail server does not take the message")?;
        Ok(())
    }

    fn letter(&self, message: &Message) -> Result<Letter> {
        let document: EventDocument = serde_json::from_str(&message.body).context("the message is damaged")?;
        let from = self.from()?;
        // The same for each try: a server or reader may tell a repetition by it.
        let id = format!("<{}@{}>", message.id, from.email.domain());
        let outcome = if document.event == "finished" { "succeeded" } else { "failed" };
        let mut letter = Letter::builder()
            .subject(format!("Retrace task {} {outcome}", document.task.id))
            .message_id(Some(id))
            .from(from)
            // No holiday reply, please. Source: RFC 3834.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        for address in self.addresses()? {
            letter = letter.to(address);
        }
        let text = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(text(&document, outcome));
        let data = SinglePart::builder().header(ContentType::parse("application/json")?).body(message.body.clone());
        Ok(letter.multipart(MultiPart::mixed().singlepart(text).singlepart(data))?)
    }

    fn addresses(&self) -> Result<Vec<Mailbox>> {
        let parse = |text: &String| text.parse().with_context(|| format!("{text} is no address"));
        self.to.iter().map(parse).collect()
    }

    fn from(&self) -> Result<Mailbox> {
        let from = &self.smtp.from;
        from.parse().with_context(|| format!("notify.smtp.from {from} is no address"))
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>> {
        let SmtpOptions { server, port, tls, user, password_file, authorities, .. } = &self.smtp;
        let parameters = || -> Result<TlsParameters> {
            let mut parameters = TlsParameters::builder(server.clone());
            if let Some(path) = authorities {
                let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                let certificate = Certificate::from_pem(&pem);
                let certificate =
                    certificate.with_context(|| format!("{} is no certificate in PEM", path.display()))?;
                parameters = parameters.add_root_certificate(certificate);
            }
            Ok(parameters.build()?)
        };
        let (tls, usual_port) = match tls {
            SmtpTls::None => (Tls::None, 25),
            SmtpTls::Starttls => (Tls::Required(parameters()?), 587),
            SmtpTls::Tls => (Tls::Wrapper(parameters()?), 465),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server)
            .port(port.unwrap_or(usual_port))
            .timeout(Some(SEND_TIME));
        if let Some(user) = user {
            ensure!(!matches!(tls, Tls::None), "a password would go in the clear: set notify.smtp.tls");
            let file = password_file.as_ref().context("notify.smtp.user needs notify.smtp.password_file")?;
            builder = builder.credentials(Credentials::new(user.clone(), read_secret(file)?));
        }
        Ok(builder.tls(tls).build())
    }
}

fn text(document: &EventDocument, outcome: &str) -> String {
    let task = &document.task;
    let mut text = format!("Retrace task {} {outcome}.\n\n", task.id);
    let rows = [
        ("Sent", task.submitted_at.as_ref()),
        ("Begun", task.started_at.as_ref()),
        ("Ended", task.finished_at.as_ref()),
        ("Reason", task.message.as_ref()),
        ("Address", document.url.as_ref()),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}: {value}");
        }
    }
    text.push_str(
        "\nThe backtrace and the log are with the service; the attachment is the same message for programs.\n",
    );
    text
}
