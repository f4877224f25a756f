//! TLS for https and ftps: who is believed, and what this client shows.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::{Access, MirrorError};

/// How a TLS client of this access believes servers, and what it shows them. Reading the system's certificates takes some
/// milliseconds.
///
/// # Errors
/// [`MirrorError::AccessFile`], [`MirrorError::InvalidAccess`].
pub fn client_config(access: &Access) -> Result<ClientConfig, MirrorError> {
    let system = |error: rustls::Error| MirrorError::InvalidAccess {
        setting: "authorities",
        reason: format!("{error}; check the system's certificates (package ca-certificates)"),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(system)?;
    let builder = match &access.authorities {
        Some(path) => builder.with_root_certificates(authorities(path)?),
        None => builder.with_platform_verifier().map_err(system)?,
    };
    let Some(own) = &access.client_certificate else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(&own.certificate)?;
    let refused = |reason: String| MirrorError::AccessFile { path: own.key.clone(), reason };
    let key = PrivateKeyDer::from_pem_file(&own.key).map_err(|error| refused(format!("no private key: {error}")))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| refused(format!("no key of the certificate: {error}")))
}

fn authorities(path: &Path) -> Result<RootCertStore, MirrorError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let refused =
            |error: rustls::Error| MirrorError::AccessFile { path: path.to_owned(), reason: error.to_string() };
        roots.add(certificate).map_err(refused)?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MirrorError> {
    let refused = |reason: String| MirrorError::AccessFile { path: path.to_owned(), reason };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| refused(error.to_string()))?;
    if found.is_empty() { Err(refused("it holds no certificate in PEM".to_owned())) } else { Ok(found) }
}
