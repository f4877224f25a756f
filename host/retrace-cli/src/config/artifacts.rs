//! `[artifacts]`: packages, uploaded crashes and results in a bucket of an S3-compatible service.

use std::path::{Path, PathBuf};

use retrace_store::S3Options;
use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

/// Keys are never here, since `retrace config show` prints everything that is: they come from `credentials_file`, or from the
/// variables of Amazon's own tools (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), or from the role of
/// the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ArtifactsConfig {
    /// `s3://bucket/prefix`. Empty: the folder `artifacts` of `state_dir`.
    pub(crate) url: String,
    /// `https://host:port` of the service. Empty: `AWS_ENDPOINT_URL`, else Amazon's for the region.
    pub(crate) endpoint: String,
    /// Empty: `AWS_REGION`, else us-east-1.
    pub(crate) region: String,
    /// File with `aws_access_key_id` and `aws_secret_access_key` in its section `[default]`.
    pub(crate) credentials_file: PathBuf,
    /// Speak plain HTTP with another machine; with this one it is always allowed.
    pub(crate) allow_http: bool,
    /// Copies of packages that are being read, below `cache_dir`: the least recently used go.
    pub(crate) cache_size_mib: u64,
}

impl Default for ArtifactsConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: String::new(),
            region: String::new(),
            credentials_file: PathBuf::new(),
            allow_http: false,
            cache_size_mib: 20 * 1024,
        }
    }
}

impl ArtifactsConfig {
    /// None: the folder.
    pub(crate) fn options(&self, cache_dir: &Path) -> Option<S3Options> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(S3Options {
            url: given(&self.url)?,
            endpoint: given(&self.endpoint),
            region: given(&self.region),
            credentials_file: Some(self.credentials_file.clone()).filter(|path| !path.as_os_str().is_empty()),
            allow_http: self.allow_http,
            cache_dir: cache_dir.join("packages"),
            cache_bytes: self.cache_size_mib.saturating_mul(MIB),
        })
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let file = &self.credentials_file;
        if !file.as_os_str().is_empty() && !file.is_file() {
            problems.push(format!("artifacts.credentials_file: {} is no file", file.display()));
        } else if let Some(options) = self.options(Path::new(""))
            && let Err(error) = options.check()
        {
            problems.push(format!("artifacts.url: {error}"));
        }
        if self.url.is_empty() && *self != Self::default() {
            problems.push("[artifacts] has no effect without artifacts.url".to_owned());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_none_is_told_by_name() {
        let config = |url: &str| ArtifactsConfig { url: url.to_owned(), ..ArtifactsConfig::default() };
        assert!(config("").problems().is_empty() && config("").options(Path::new("/c")).is_none());
        assert!(config("s3://crashes/retrace").problems().is_empty());
        let problems = config("/srv/artifacts").problems();
        assert!(problems.iter().any(|problem| problem.contains("want s3://bucket")), "{problems:?}");
        let unused = ArtifactsConfig { region: "eu-central-1".into(), ..ArtifactsConfig::default() };
        assert!(unused.problems().iter().any(|problem| problem.contains("no effect")));
    }
}
