//! A receiver by http: one POST for each message, signed as <https://www.standardwebhooks.com> has it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use reqwest::{Client, header::CONTENT_TYPE, redirect::Policy};
use retrace_mirror::Access;
use retrace_store::Message;
use sha2::Sha256;
use tokio::sync::OnceCell;
use url::{Host, Url};

use super::{WebhookTarget, address, read_secret};

/// Longest wait for a connection.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// What a secret of the specification begins with; base64 follows.
const SECRET_PREFIX: &str = "whsec_";
/// Shortest secret, in bytes.
const MIN_SECRET_BYTES: usize = 16;

pub(super) struct Webhook {
    target: WebhookTarget,
    /// Made when first needed: reading the system's certificates takes its time.
    client: OnceCell<Client>,
}

impl Webhook {
    pub(super) fn new(target: WebhookTarget) -> Self {
        Self { target, client: OnceCell::new() }
    }

    pub(super) fn name(&self) -> String {
        let host = || {
            let url = Url::parse(&self.target.url).ok();
            url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "?".to_owned())
        };
        format!("webhook:{}", self.target.name.clone().unwrap_or_else(host))
    }

    /// Whether it could be sent to, as far as this machine alone tells.
    pub(super) fn check(&self) -> Result<()> {
        self.url()?;
        self.secret().map(drop)
    }

    pub(super) async fn send(&self, message: &Message) -> Result<()> {
        let url = self.url()?;
        let client = self.client.get_or_try_init(|| async { self.client() }).await?;
        let at = Timestamp::now().as_second();
        let answer = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signature(&self.secret()?, &message.id, at, &message.body)?)
            .body(message.body.clone())
            .send()
            .await
            .map_err(reqwest::Error::without_url)
            .context("it cannot be reached")?;
        let status = answer.status();
        ensure!(status.is_success(), "it answered {status}, where 2xx was expected; redirects are not followed");
        Ok(())
    }

    fn url(&self) -> Result<Url> {
        let url = Url::parse(&self.target.url).with_context(|| format!("{} is no URL", self.target.url))?;
        ensure!(
            url.username().is_empty() && url.password().is_none(),
            "the URL holds a user or password, which logs would show; the signature says who sends"
        );
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => bail!("want https://host/path"),
        };
        let is_here = address.is_some_and(|address| address.is_loopback()) || url.host_str() == Some("localhost");
        ensure!(
            url.scheme() == "https" || (url.scheme() == "http" && is_here),
            "want an https URL; http is for receivers on this machine only"
        );
        ensure!(
            !self.target.public_only || (address.is_none_or(address::is_public) && !is_here),
            "the address is private, and `public_only` is set"
        );
        Ok(url)
    }

    fn client(&self) -> Result<Client> {
        let access = Access { authorities: self.target.authorities.clone(), ..Access::default() };
        let tls = retrace_mirror::tls_config(&access).context("cannot set up TLS")?;
        let mut builder = Client::builder()
            .user_agent(concat!("retrace/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIME)
            .redirect(Policy::none())
            .no_proxy()
            .tls_backend_preconfigured(tls);
        if self.target.public_only {
            builder = builder.dns_resolver(Arc::new(address::PublicOnly));
        }
        Ok(builder.build()?)
    }

    /// Read for each message: a new secret is in force at once.
    fn secret(&self) -> Result<Vec<u8>> {
        let text = read_secret(&self.target.secret_file)?;
        let secret = match text.strip_prefix(SECRET_PREFIX) {
            Some(encoded) => BASE64.decode(encoded).context("the secret after whsec_ is no base64")?,
            None => text.into_bytes(),
        };
        ensure!(
            secret.len() >= MIN_SECRET_BYTES,
            "the secret has less than {MIN_SECRET_BYTES} bytes: openssl rand -hex 32"
        );
        Ok(secret)
    }
}

/// The value of the header `webhook-signature`.
fn signature(secret: &[u8], id: &str, at: i64, body: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)?;
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    Ok(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: the example of the specification, <https://github.com/standard-webhooks/standard-webhooks>.
    #[test]
    fn messages_are_signed_as_the_specification_has_it() {
        let secret = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_may_be_words_or_base64_and_not_short() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Webhook::new(WebhookTarget {
                name: None,
                url: "https://example.org".into(),
                events: Vec::new(),
                secret_file: file.clone(),
                authorities: None,
                public_only: false,
            })
            .secret()
        };
        assert_eq!(read("0123456789abcdef\n").unwrap(), b"0123456789abcdef");
        assert_eq!(read("whsec_MDEyMzQ1Njc4OWFiY2RlZg==").unwrap(), b"0123456789abcdef");
        for bad in ["", "short", "whsec_***", "\n0123456789abcdef"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
