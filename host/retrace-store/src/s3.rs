//! A bucket of an S3-compatible service, by URL.

use std::{io::Read as _, path::PathBuf, sync::Arc, time::Duration};

use object_store::{
    ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    path::Path as ObjectPath,
    prefix::PrefixStore,
};

use crate::StoreError;

/// Where artifacts lie instead of in the store's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Options {
    /// `s3://bucket` or `s3://bucket/prefix`.
    pub url: String,
    /// Address of the service: `https://host:port`. None: that of Amazon for the region, or the variable `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
    /// Region; none: the variable `AWS_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// File with `aws_access_key_id` and `aws_secret_access_key` in its section `[default]`, as Amazon's own tools have it.
    /// None: the variables `AWS_ACCESS_KEY_ID` and so on, else what the machine's role gives.
    pub credentials_file: Option<PathBuf>,
    /// Speak plain HTTP with another machine. On the loopback interface it is always allowed.
    pub allow_http: bool,
    /// Folder for copies of packages that are being read. It may be deleted while nothing runs.
    pub cache_dir: PathBuf,
    /// How large that folder may grow, in bytes.
    pub cache_bytes: u64,
}

impl S3Options {
    /// Whether a store can be opened with these options; nothing is contacted.
    ///
    /// # Errors
    /// [`StoreError::InvalidArtifacts`], [`StoreError::File`].
    pub fn check(&self) -> Result<(), StoreError> {
        open(self).map(drop)
    }
}

/// Largest file of credentials that is read, in bytes.
const MAX_CREDENTIALS_BYTES: u64 = 64 * 1024;

/// Longest silence of the service. The whole request has no limit: it may carry a large package.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request is tried again while the service is away or overloaded.
const RETRY_TIME: Duration = Duration::from_secs(60);

/// The bucket; nothing is asked of it yet.
pub(crate) fn open(options: &S3Options) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let invalid =
        |problem: &str| StoreError::InvalidArtifacts { url: options.url.clone(), problem: problem.to_owned() };
    let (bucket, prefix) = bucket_of(&options.url).ok_or_else(|| invalid("want s3://bucket or s3://bucket/prefix"))?;
    // As everything here that speaks TLS; without one, requests would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(path) = &options.credentials_file {
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_CREDENTIALS_BYTES).read_to_string(&mut text))
            .map_err(|source| StoreError::File { path: path.clone(), source })?;
        let credentials = Credentials::parse(&text)
            .ok_or_else(|| invalid("its credentials file names no aws_access_key_id and aws_secret_access_key"))?;
        builder = builder.with_access_key_id(credentials.key_id).with_secret_access_key(credentials.secret);
        if let Some(token) = credentials.token {
            builder = builder.with_token(token);
        }
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint).unwrap_or_default();
    let is_plain = endpoint.starts_with("http://");
    if is_plain && !options.allow_http && !is_loopback(&endpoint) {
        return Err(invalid("its endpoint speaks plain HTTP: use https, or allow it with artifacts.allow_http"));
    }
    let client = ClientOptions::new().with_timeout_disabled().with_read_timeout(READ_TIMEOUT).with_allow_http(is_plain);
    let retry = RetryConfig { retry_timeout: RETRY_TIME, ..RetryConfig::default() };
    let store = builder.with_client_options(client).with_retry(retry).build();
    let store =
        store.map_err(|source| StoreError::Artifact { action: "open the bucket of", name: String::new(), source })?;
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    if prefix.as_ref().is_empty() { Ok(store) } else { Ok(Arc::new(PrefixStore::new(store, prefix))) }
}

/// Bucket and prefix of `s3://bucket/prefix`.
fn bucket_of(url: &str) -> Option<(&str, ObjectPath)> {
    let rest = url.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bucket.is_empty() || !bucket.chars().all(is_name) {
        return None;
    }
    Some((bucket, ObjectPath::parse(prefix.trim_end_matches('/')).ok()?))
}

fn is_loopback(endpoint: &str) -> bool {
    let authority = endpoint.strip_prefix("http://").unwrap_or_default();
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    // A name before an @ is no host.
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => authority.rsplit_once(':').map_or(Some(authority), |(host, _)| Some(host)),
    };
    host.is_some_and(|host| {
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

struct Credentials {
    key_id: String,
    secret: String,
    token: Option<String>,
}

impl Credentials {
    /// The section `[default]` of a file as described in
    /// <https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html>; lines before any section count, too.
    fn parse(text: &str) -> Option<Self> {
        let (mut key_id, mut secret, mut token) = (None, None, None);
        let mut is_default = true;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                is_default = section.trim() == "default";
            } else if let Some((name, value)) = line.split_once('=').filter(|_| is_default) {
                let value = Some(value.trim().to_owned());
                match name.trim() {
                    "aws_access_key_id" => key_id = value,
                    "aws_secret_access_key" => secret = value,
                    "aws_session_token" => token = value,
                    _ => {}
                }
            }
        }
        Some(Self { key_id: key_id?, secret: secret?, token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_bucket_and_prefix() {
        for (url, want) in [
            ("s3://crashes", Some(("crashes", ""))),
            ("s3://crashes/", Some(("crashes", ""))),
            ("s3://my.crashes/retrace/v1/", Some(("my.crashes", "retrace/v1"))),
            ("s3:///prefix", None),
            ("s3://user@host/x", None),
            ("https://crashes", None),
            ("s3://crashes/a//b", None),
        ] {
            let got = bucket_of(url);
            assert_eq!(got.as_ref().map(|(bucket, prefix)| (*bucket, prefix.as_ref())), want, "{url}");
        }
    }

    #[test]
    fn plain_http_is_for_the_loopback_interface() {
        for (endpoint, want) in [
            ("http://127.0.0.1:9000", true),
            ("http://localhost", true),
            ("http://[::1]:80/x", true),
            ("http://localhost.example:80", false),
            ("http://127.0.0.1@example.org", false),
            ("http://10.0.0.1:9000", false),
        ] {
            assert_eq!(is_loopback(endpoint), want, "{endpoint}");
            let options = S3Options {
                url: "s3://crashes/x".into(),
                endpoint: Some(endpoint.into()),
                region: None,
                credentials_file: None,
                allow_http: false,
                cache_dir: PathBuf::new(),
                cache_bytes: 0,
            };
            assert_eq!(open(&options).is_ok(), want, "{endpoint}");
            assert!(open(&S3Options { allow_http: true, ..options }).is_ok());
        }
    }

    #[test]
    fn credentials_are_those_of_the_default_section() {
        let text =
            "[other]\naws_access_key_id = no\n# x\n[default]\naws_access_key_id = id\naws_secret_access_key=a=b\n";
        let found = Credentials::parse(text).unwrap();
        assert_eq!((found.key_id.as_str(), found.secret.as_str(), found.token), ("id", "a=b", None));
        assert!(Credentials::parse("[default]\naws_access_key_id = id").is_none());
    }
}
