//! How mirrors are reached: what an operator sets, for all repositories or for some.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
};

use retrace_types::{DistroId, RepositorySpec};

use crate::{MirrorError, location::Base};

/// How the mirrors of a repository are reached. Secrets stay in files; what is here may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// File of user names and passwords for servers and proxies, in the syntax of netrc(5): `machine HOST login NAME
    /// password SECRET`, where HOST may be `HOST:PORT`. A secret goes to its host alone, wherever a mirror list leads.
    pub credentials: Option<PathBuf>,
    /// Proxy for http(s) and for the rsync daemon's protocol.
    pub proxy: ProxyChoice,
    /// What this client shows to servers that ask for a certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// PEM file of the authorities that may sign a server's certificate, in place of the system's.
    pub authorities: Option<PathBuf>,
    /// Most bytes in a second, over all transfers of these repositories together.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Most connections to one server at a time.
    pub connections_per_host: NonZeroUsize,
    /// For `rsync+ssh://`.
    pub ssh: SshOptions,
}

/// Which proxy is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// None, whatever the environment says.
    #[default]
    Direct,
    /// What `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy` and `RSYNC_PROXY` say.
    Environment,
    /// This one: `http://host:port`. Its user name and password are in [`Access::credentials`].
    Url(String),
}

/// A TLS client certificate: that of a subscription, for instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM file of the certificate, followed by its chain.
    pub certificate: PathBuf,
    /// PEM file of its private key; may be the same file.
    pub key: PathBuf,
}

/// Options of ssh(1). It never asks for a password: the key is in a file or in the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshOptions {
    /// Private key.
    pub identity: Option<PathBuf>,
    /// Keys of the hosts, in place of `~/.ssh/known_hosts`.
    pub known_hosts: Option<PathBuf>,
    /// Further options as in ssh_config(5): `ProxyJump=gate.example.org`.
    pub options: Vec<String>,
}

/// Which repositories an [`Access`] is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// Of this distribution; any if none is given.
    pub distribution: Option<DistroId>,
    /// With this id; any if none is given.
    pub repository: Option<String>,
    /// How they are reached.
    pub access: Access,
}

impl Default for Access {
    fn default() -> Self {
        const CONNECTIONS: NonZeroUsize = match NonZeroUsize::new(4) {
            Some(connections) => connections,
            None => NonZeroUsize::MIN,
        };
        Self {
            credentials: None,
            proxy: ProxyChoice::Direct,
            client_certificate: None,
            authorities: None,
            bytes_per_second: None,
            connections_per_host: CONNECTIONS,
            ssh: SshOptions::default(),
        }
    }
}

impl AccessRule {
    pub(crate) fn applies(&self, distribution: &DistroId, repository: &str) -> bool {
        self.distribution.as_ref().is_none_or(|wanted| wanted == distribution)
            && self.repository.as_ref().is_none_or(|wanted| wanted == repository)
    }
}

impl Access {
    /// Refuses a server that wants what the operator did not give; a local copy wants nothing.
    pub(crate) fn suffices(&self, spec: &RepositorySpec, base: &Base) -> Result<(), MirrorError> {
        if base.is_local() {
            return Ok(());
        }
        let wants = |key: &str| spec.config.iter().any(|(name, value)| name == key && value == "required");
        let missing = |what, setting| MirrorError::AccessRequired { repository: spec.id.clone(), what, setting };
        if wants("client-certificate") && self.client_certificate.is_none() {
            return Err(missing("a TLS certificate of a subscription", "client certificate"));
        }
        if wants("registration") && self.credentials.is_none() {
            return Err(missing("the user name and token of a registration", "credentials file"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use retrace_types::{RepositoryContent, RepositoryLayout, SignaturePolicy};

    use super::*;

    #[test]
    fn a_rule_is_for_a_distribution_and_a_repository() {
        let rule = |distribution: Option<&str>, repository: Option<&str>| AccessRule {
            distribution: distribution.map(|text| text.parse().unwrap()),
            repository: repository.map(str::to_owned),
            access: Access::default(),
        };
        let rhel = "rhel".parse().unwrap();
        for (rule, want) in [
            (rule(None, None), true),
            (rule(Some("rhel"), None), true),
            (rule(Some("rhel"), Some("baseos")), true),
            (rule(None, Some("baseos")), true),
            (rule(Some("centos"), None), false),
            (rule(Some("rhel"), Some("appstream")), false),
        ] {
            assert_eq!(rule.applies(&rhel, "baseos"), want, "{rule:?}");
        }
    }

    #[test]
    fn what_a_repository_requires_is_asked_for_before_any_server() {
        let spec = |key: &str| RepositorySpec {
            id: "baseos".into(),
            title: String::new(),
            layout: RepositoryLayout::RpmMd,
            content: RepositoryContent::Packages,
            mirrors: vec![],
            signatures: SignaturePolicy::OFF,
            keys: vec![],
            config: vec![(key.into(), "required".into())],
        };
        let (server, own) = (Base::parse("https://cdn.example/x").unwrap(), Base::parse("/srv/x").unwrap());
        let bare = Access::default();
        let full = Access {
            credentials: Some("netrc".into()),
            client_certificate: Some(ClientCertificate { certificate: "c".into(), key: "k".into() }),
            ..Access::default()
        };
        for (key, word) in [("client-certificate", "certificate"), ("registration", "token")] {
            let error = bare.suffices(&spec(key), &server).unwrap_err().to_string();
            assert!(error.contains("baseos") && error.contains(word), "{error}");
            assert!(bare.suffices(&spec(key), &own).is_ok());
            assert!(full.suffices(&spec(key), &server).is_ok());
        }
        assert!(bare.suffices(&spec("other"), &server).is_ok());
    }
}
