//! Files of an http(s) server.

use futures_util::TryFutureExt as _;
use reqwest::{
    Proxy, RequestBuilder, Response, StatusCode,
    header::{
        CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RANGE,
        RETRY_AFTER,
    },
    redirect::{Attempt, Policy},
};
use url::Url;

use super::{
    Download, Expected, Listed, Source, Wanted, index_page,
    listing::Walk,
    partial::Partial,
    tops::{Signs, Top},
};
use crate::{
    MirrorError, Progress, ProxyChoice,
    checksum::Digester,
    error::said,
    location::{Place, Remote},
};

/// Redirects that are followed for one request.
const MAX_REDIRECTS: usize = 5;
/// Largest index page, in bytes.
const MAX_PAGE_BYTES: u64 = 64 << 20;

impl Source {
    pub(super) async fn http_small(&self, remote: &Remote, limit_bytes: u64) -> Result<Vec<u8>, MirrorError> {
        let response = self.ask(remote, |request| request).await?;
        self.body(remote, response, limit_bytes).await
    }

    pub(super) async fn http_top(
        &self,
        remote: &Remote,
        known: Option<&Top>,
        limit_bytes: u64,
    ) -> Result<Option<Top>, MirrorError> {
        let response = self.ask(remote, |mut request| {
            let signs = known.map(|known| &known.signs);
            if let Some(etag) = signs.and_then(|signs| signs.etag.as_ref()) {
                request = request.header(IF_NONE_MATCH, etag);
            }
            if let Some(modified) = signs.and_then(|signs| signs.modified.as_ref()) {
                request = request.header(IF_MODIFIED_SINCE, modified);
            }
            request
        });
        let response = response.await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let signs = Signs::new(header(&response, ETAG), header(&response, LAST_MODIFIED));
        let data = self.body(remote, response, limit_bytes).await?;
        Ok(Some(Top { data, signs }))
    }

    pub(super) async fn http_head(&self, remote: &Remote, bytes: u64) -> Result<(Vec<u8>, Option<u64>), MirrorError> {
        let range = format!("bytes=0-{}", bytes.saturating_sub(1));
        let mut response = self.ask(remote, |request| request.header(RANGE, range)).await?;
        let total = match response.status() {
            StatusCode::PARTIAL_CONTENT => header(&response, CONTENT_RANGE).and_then(total_of_range),
            _ => response.content_length(),
        };
        if response.status() == StatusCode::PARTIAL_CONTENT && first_of_range(&response) != Some(0) {
            return Err(wrong_range(remote));
        }
        // A server that knows no ranges sends everything: the rest is not read.
        let mut data = Vec::new();
        let most = usize::try_from(bytes).unwrap_or(usize::MAX);
        while data.len() < most
            && let Some(piece) = response.chunk().map_err(|error| http_error(remote, error)).await?
        {
            self.throttle.spend(piece.len()).await;
            data.extend_from_slice(piece.get(..most - data.len()).unwrap_or(&piece));
        }
        Ok((data, total))
    }

    pub(super) async fn http_list(&self, remote: &Remote, wanted: &Wanted<'_>) -> Result<Vec<Listed>, MirrorError> {
        let mut walk = Walk::new(wanted);
        while let Some(folder) = walk.next()? {
            let mut page = match folder.as_ref().map(|folder| Place::Remote(remote.clone()).join(folder)) {
                Some(Place::Remote(page)) => page,
                _ => remote.clone(),
            };
            // Without the slash a server redirects, or takes the links for its neighbours'.
            if let Ok(mut parts) = page.url.path_segments_mut() {
                parts.pop_if_empty().push("");
            }
            let response = self.ask(&page, |request| request).await?;
            if !header(&response, CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")) {
                return Err(MirrorError::NoListing { url: page.to_string() });
            }
            let text = self.body(&page, response, MAX_PAGE_BYTES).await?;
            for link in index_page::links(&String::from_utf8_lossy(&text)) {
                if link.is_folder {
                    walk.folder(folder.as_ref(), &link.name);
                } else {
                    walk.file(folder.as_ref(), &link.name, None, &link.stamp)?;
                }
            }
        }
        Ok(walk.finish())
    }

    /// Gets what is missing behind the bytes that are there, and finishes the file.
    pub(super) async fn http_file(
        &self,
        remote: &Remote,
        expected: &Expected,
        partial: &Partial,
        progress: &dyn Progress,
    ) -> Result<Download, MirrorError> {
        let (mut digester, mut have) = partial.resume(expected).await?;
        if have > 0 && expected.size_bytes == Some(have) {
            return partial.complete(remote, expected, digester, have);
        }
        let range = (have > 0).then(|| format!("bytes={have}-"));
        let asked = self.ask(remote, |request| match &range {
            Some(range) => request.header(RANGE, range),
            None => request,
        });
        let mut response = match asked.await {
            Err(error @ MirrorError::Status { status: 416, .. }) => {
                partial.clear()?;
                return Err(error);
            }
            other => other?,
        };
        if response.status() == StatusCode::PARTIAL_CONTENT {
            if have == 0 || first_of_range(&response) != Some(have) {
                partial.clear()?;
                return Err(wrong_range(remote));
            }
        } else if have > 0 {
            // It sends everything from the beginning.
            partial.clear()?;
            (digester, have) = (Digester::for_checksum(expected.checksum.as_ref()), 0);
        }
        if let Some(length) = response.content_length() {
            // A shorter body is read all the same: it can be continued.
            expected.check_growth(remote, have.saturating_add(length))?;
        }
        let total = response.content_length().map(|length| have.saturating_add(length));
        let mut arrival = partial.receive(remote, expected, digester, have, total)?;
        let ending = async {
            while let Some(piece) = response.chunk().map_err(|error| http_error(remote, error)).await? {
                self.throttle.spend(piece.len()).await;
                arrival.take(piece, progress).await?;
            }
            Ok(())
        }
        .await;
        arrival.end(ending).await
    }

    async fn body(&self, remote: &Remote, mut response: Response, limit_bytes: u64) -> Result<Vec<u8>, MirrorError> {
        let expected = Expected::anything(limit_bytes);
        let mut data = Vec::new();
        while let Some(piece) = response.chunk().map_err(|error| http_error(remote, error)).await? {
            expected.check_growth(remote, (data.len() as u64).saturating_add(piece.len() as u64))?;
            self.throttle.spend(piece.len()).await;
            data.extend_from_slice(&piece);
        }
        Ok(data)
    }

    /// Sends the request; an answer that is not the file, a part of it or "not modified" is an error.
    async fn ask(
        &self,
        remote: &Remote,
        change: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, MirrorError> {
        let mut request = change(self.client()?.get(remote.url.clone()));
        if let Some(login) = self.credentials.of(remote.host(), remote.url.port_or_known_default()) {
            request = request.basic_auth(&login.user, Some(&login.password));
        }
        let request = request.build().map_err(|error| http_error(remote, error))?;
        let is_conditional = [IF_NONE_MATCH, IF_MODIFIED_SINCE].iter().any(|name| request.headers().contains_key(name));
        let response = self.client()?.execute(request).await.map_err(|error| http_error(remote, error))?;
        let status = response.status();
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            StatusCode::NOT_MODIFIED if is_conditional => Ok(response),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(MirrorError::NotFound { url: remote.to_string() }),
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(MirrorError::Denied { url: remote.to_string(), reason: said(&status.to_string()) })
            }
            _ => {
                let retry_after_seconds = header(&response, RETRY_AFTER).and_then(retry_after);
                Err(MirrorError::Status { url: remote.to_string(), status: status.as_u16(), retry_after_seconds })
            }
        }
    }

    fn client(&self) -> Result<&reqwest::Client, MirrorError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let mut tls = self.tls()?.as_ref().clone();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("retrace/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.options().connect_timeout)
            .read_timeout(self.options().idle_timeout)
            .redirect(Policy::custom(redirect))
            .tls_backend_preconfigured(tls);
        builder = match &self.access.proxy {
            ProxyChoice::Direct => builder.no_proxy(),
            ProxyChoice::Environment => builder,
            ProxyChoice::Url(proxy) => builder.proxy(self.proxy(proxy)?),
        };
        let client = builder.build().map_err(|source| MirrorError::HttpClient { source })?;
        Ok(self.client.get_or_init(|| client))
    }

    fn proxy(&self, proxy: &str) -> Result<Proxy, MirrorError> {
        let url = proxy_url(proxy)?;
        let refused = |error: reqwest::Error| invalid_proxy(&error.without_url().to_string());
        let proxy = Proxy::all(url.as_str()).map_err(refused)?;
        Ok(match self.credentials.of(url.host_str().unwrap_or_default(), url.port_or_known_default()) {
            Some(login) => proxy.basic_auth(&login.user, &login.password),
            None => proxy,
        })
    }
}

/// The address of a proxy; a password has no business in it.
pub(super) fn proxy_url(proxy: &str) -> Result<Url, MirrorError> {
    let url = Url::parse(proxy).map_err(|_| invalid_proxy("it is no URL: want http://host:port"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid_proxy("it holds a user name or a password: put them into the credentials file"));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid_proxy("want http:// or https://"));
    }
    Ok(url)
}

fn invalid_proxy(reason: &str) -> MirrorError {
    MirrorError::InvalidAccess { setting: "proxy", reason: reason.to_owned() }
}

fn header(response: &Response, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// `Content-Range: bytes FIRST-LAST/TOTAL`. Source: RFC 9110, 14.4.
fn first_of_range(response: &Response) -> Option<u64> {
    header(response, CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn total_of_range(range: &str) -> Option<u64> {
    range.rsplit_once('/')?.1.parse().ok()
}

/// Seconds, or a date. Source: RFC 9110, 10.2.3.
fn retry_after(text: &str) -> Option<u64> {
    let seconds = text.trim().parse().ok();
    seconds.or_else(|| {
        let rest = text.trim().strip_suffix("GMT")?;
        let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
        let at = parser.parse_timestamp(format!("{rest}+0000")).ok()?;
        u64::try_from(at.as_second().saturating_sub(jiff::Timestamp::now().as_second())).ok()
    })
}

fn wrong_range(remote: &Remote) -> MirrorError {
    let status = StatusCode::RANGE_NOT_SATISFIABLE.as_u16();
    MirrorError::Status { url: remote.to_string(), status, retry_after_seconds: None }
}

/// Follows a few redirects, never from https to http.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_secure = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("it is redirected more than 5 times");
    }
    match attempt.url().scheme() {
        "https" => attempt.follow(),
        "http" if !was_secure => attempt.follow(),
        _ => attempt.error("it is redirected from https to something else"),
    }
}

/// The URL stands in the message already, and may hold a password.
fn http_error(remote: &Remote, error: reqwest::Error) -> MirrorError {
    MirrorError::Http { url: remote.to_string(), source: error.without_url() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        assert_eq!(retry_after("120"), Some(120));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), None, "it is over");
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(600);
        let text = soon.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        assert!(retry_after(&text).is_some_and(|seconds| (590..=600).contains(&seconds)), "{text}");
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn a_proxy_holds_no_secret() {
        for (proxy, valid) in [
            ("http://proxy.example:3128", true),
            ("http://me:secret@proxy.example:3128", false),
            ("ftp://proxy.example", false),
            ("proxy.example", false),
        ] {
            let read = proxy_url(proxy);
            assert_eq!(read.is_ok(), valid, "{proxy}");
            assert!(!format!("{read:?}").contains("secret"));
        }
    }
}
