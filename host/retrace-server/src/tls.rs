//! TLS with a certificate that is read again when its files change.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::TlsAcceptor;

use crate::error::chain;

/// How often to look whether the files have changed.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of the wanted kind.
    #[error("cannot read the {what} {path}: it must be a PEM file that this user may read")]
    File {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate and key do not fit, or are of a kind that is not supported.
    #[error("the certificate {path} cannot be used with its key: they must belong together, leaf certificate first")]
    Unusable {
        /// File of the certificate.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
}

/// TLS 1.2 and 1.3 for the server.
#[derive(Clone)]
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

/// What is presented to clients now.
struct Certificate {
    certificate_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

/// What changes when a file is replaced: device, inode, size, modification time in nanoseconds.
type Identity = Option<(u64, u64, u64, i64, i64)>;

impl Tls {
    /// Reads a certificate chain, leaf first, and its private key, both PEM.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(certificate_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        let certificate = Arc::new(Certificate {
            certificate_file: certificate_file.to_owned(),
            key_file: key_file.to_owned(),
            current: RwLock::new(read(certificate_file, key_file)?),
        });
        let unusable = |source| TlsError::Unusable { path: certificate_file.to_owned(), source };
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let resolver = Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>;
        let mut config = builder.map_err(unusable)?.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    /// Reads the files again whenever they change, for ever. What cannot be used is reported, and the old one stays.
    pub(crate) async fn keep_fresh(self) {
        let mut known = self.certificate.identity();
        let mut ticks = tokio::time::interval(RELOAD_INTERVAL);
        loop {
            ticks.tick().await;
            let found = self.certificate.identity();
            if found == known {
                continue;
            }
            match read(&self.certificate.certificate_file, &self.certificate.key_file) {
                Ok(fresh) => {
                    *self.certificate.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
                    known = found;
                    tracing::info!("Read the certificate {} again", self.certificate.certificate_file.display());
                }
                // Often one file is written before the other: the next look finds both.
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the old certificate stays in use");
                }
            }
        }
    }
}

impl Certificate {
    fn identity(&self) -> [Identity; 2] {
        [&self.certificate_file, &self.key_file].map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
        })
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("file", &self.certificate_file).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.certificate).finish()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read(certificate_file: &Path, key_file: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { what, path, source }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate_file).and_then(Iterator::collect);
    let chain = chain.map_err(failed("certificate", certificate_file))?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(failed("key", key_file))?;
    let unusable = |source| TlsError::Unusable { path: certificate_file.to_owned(), source };
    if chain.is_empty() {
        return Err(unusable(rustls::Error::NoCertificatesPresented));
    }
    CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(unusable)
}
