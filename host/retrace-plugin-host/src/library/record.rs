use retrace_types::{DistroId, Sha256};
use serde::{Deserialize, Serialize};

use super::LibraryError;

/// `install.toml`: what was found out when a plugin was installed. A folder without one is not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallRecord {
    /// Version of this file's format: 1.
    pub schema: u32,
    /// Id of the plugin, as `describe` gave it.
    pub id: DistroId,
    /// Version of the plugin, as `describe` gave it: semver.
    pub version: String,
    /// Further os-release ids that it answers for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<DistroId>,
    /// Name of the distribution, for people.
    pub name: String,
    /// Version of the contract that it was built for, such as `1.0.0`.
    pub contract: String,
    /// Digest of `plugin.wasm`.
    pub sha256: Sha256,
    /// Size of `plugin.wasm`.
    pub size_bytes: u64,
    /// When it was installed: RFC 3339, UTC, whole seconds.
    pub installed_at: String,
    /// Installed without a signature that was checked (`--allow-unsigned`): every result made with it says so.
    pub unsigned: bool,
    /// Installed by `retrace plugin dev`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub development: bool,
    /// Who signed it; none if `unsigned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// What the conformance suite said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportSummary>,
}

/// The certificate whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// Fingerprint of the certificate, upper-case hex.
    pub fingerprint: String,
    /// Name of the file in the trust folder that holds it.
    pub key_file: String,
}

/// Counts of a conformance report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportSummary {
    /// Version of the suite.
    pub suite: String,
    /// Which part of it ran: `quick`.
    pub profile: String,
    /// `must` checks that passed.
    pub must_pass: u32,
    /// `must` checks that failed; 0 unless the operator insisted.
    pub must_fail: u32,
    /// `should` checks that passed.
    pub should_pass: u32,
    /// `should` checks that failed.
    pub should_fail: u32,
    /// Checks that did not run.
    pub skipped: u32,
}

impl InstallRecord {
    /// The version of the format that is written.
    pub const SCHEMA: u32 = 1;

    /// Reads `install.toml`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let record: Self = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        if record.schema != Self::SCHEMA {
            return Err(format!("its format {} is not known to this version of Retrace", record.schema));
        }
        Ok(record)
    }

    /// Writes `install.toml`.
    pub(crate) fn to_toml(&self) -> Result<String, LibraryError> {
        toml::to_string(self).map_err(|error| LibraryError::Toml(error.to_string()))
    }

    /// Id and aliases.
    pub fn names(&self) -> impl Iterator<Item = &DistroId> {
        [&self.id].into_iter().chain(&self.aliases)
    }
}
