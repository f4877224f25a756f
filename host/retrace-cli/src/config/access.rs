//! `[[mirror.access]]`: how servers of mirrors are reached.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
};

use retrace_mirror::{Access, AccessRule, ClientCertificate, ProxyChoice, SshOptions};
use retrace_types::DistroId;
use serde::{Deserialize, Serialize};

/// One entry: for which repositories, and how. The first one that applies counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AccessConfig {
    /// Of this distribution; of all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    distribution: Option<DistroId>,
    /// With this id; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    /// File of user names and passwords by host, as netrc(5) has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<PathBuf>,
    /// `http://host:port`, or `environment` for what the variables of the environment say.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    /// PEM file of the TLS certificate that this client shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<PathBuf>,
    /// PEM file of its key; the same file without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key: Option<PathBuf>,
    /// PEM file of the authorities of the servers, in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    authorities: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<NonZeroU64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections_per_host: Option<NonZeroUsize>,
    /// Private key of `rsync+ssh://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh_identity: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh_known_hosts: Option<PathBuf>,
    /// Further options, as ssh_config(5) has them: `ProxyJump=gate.example.org`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ssh_options: Vec<String>,
}

impl AccessConfig {
    pub(crate) fn rule(&self) -> AccessRule {
        let config = self.clone();
        let default = Access::default();
        let certificate = config.client_certificate.map(|certificate| {
            let key = config.client_key.unwrap_or_else(|| certificate.clone());
            ClientCertificate { certificate, key }
        });
        let access = Access {
            credentials: config.credentials,
            proxy: match config.proxy {
                None => ProxyChoice::Direct,
                Some(proxy) if proxy == "environment" => ProxyChoice::Environment,
                Some(proxy) => ProxyChoice::Url(proxy),
            },
            client_certificate: certificate,
            authorities: config.authorities,
            bytes_per_second: config.bytes_per_second,
            connections_per_host: config.connections_per_host.unwrap_or(default.connections_per_host),
            ssh: SshOptions {
                identity: config.ssh_identity,
                known_hosts: config.ssh_known_hosts,
                options: config.ssh_options,
            },
        };
        AccessRule { distribution: config.distribution, repository: config.repository, access }
    }

    /// The files that it names, by their keys.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let files = [
            ("credentials", &self.credentials),
            ("client_certificate", &self.client_certificate),
            ("client_key", &self.client_key),
            ("authorities", &self.authorities),
            ("ssh_identity", &self.ssh_identity),
            ("ssh_known_hosts", &self.ssh_known_hosts),
        ];
        files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_becomes_a_rule() {
        let config: AccessConfig = toml::from_str(
            "distribution = 'rhel'\nclient_certificate = '/e/1.pem'\nclient_key = '/e/1-key.pem'\nauthorities = '/e/ca.pem'\n\
             proxy = 'environment'\nbytes_per_second = 1000",
        )
        .unwrap();
        let AccessRule { distribution, repository, access } = config.rule();
        assert_eq!((distribution.unwrap().as_str(), repository), ("rhel", None));
        assert_eq!(access.client_certificate.unwrap().key, PathBuf::from("/e/1-key.pem"));
        assert_eq!(access.proxy, ProxyChoice::Environment);
        assert_eq!(access.bytes_per_second.map(NonZeroU64::get), Some(1000));
        assert_eq!(
            config.files().map(|(name, _)| name).collect::<Vec<_>>(),
            ["client_certificate", "client_key", "authorities"]
        );
        assert!(toml::from_str::<AccessConfig>("password = 'x'").is_err());
    }

    #[test]
    fn without_anything_it_is_the_default() {
        assert_eq!(AccessConfig::default().rule().access, Access::default());
        assert_eq!(toml::to_string(&AccessConfig::default()).unwrap(), "");
    }
}
