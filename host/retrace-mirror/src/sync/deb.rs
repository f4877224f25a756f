//! Sync of a suite of a Debian repository.

use jiff::Timestamp;
use retrace_package::{verify_cleartext, verify_detached};

use crate::{
    MirrorError, RepositoryReport,
    budget::Budget,
    checksum::{Checksum, sha256},
    deb::{IndexFile, ReleaseFile, read_contents, read_packages, strip_signature},
    location::{Base, Location, Place},
    sync::{Job, NewIndex, Offer, read_blocking},
    transfer::{Download, Expected},
    unpack,
};

/// The top file of a suite.
struct Top {
    place: Place,
    data: Vec<u8>,
    /// The signature that stands beside it; one in the file itself otherwise.
    detached: Option<Place>,
}

/// An index that came.
struct Fetched {
    place: Place,
    download: Download,
    file: IndexFile,
}

impl Job<'_> {
    pub(super) async fn read_deb(
        &self,
        base: &Base,
        suite: &str,
        components: &[String],
        report: &mut RepositoryReport,
    ) -> Result<Offer, MirrorError> {
        self.no_pattern(base)?;
        let limits = self.source.options().limits.clone();
        let top = self.top(base, suite).await?;
        report.bytes = report.bytes.saturating_add(top.data.len() as u64);
        let digest = sha256(&top.data);
        let is_known = self.is_known(&digest);
        // Known bytes were verified when they were indexed; that they are still valid is looked at each time.
        let (text, fingerprint) =
            if is_known { (strip_signature(&top.data), None) } else { self.verified_text(&top).await? };
        let release = ReleaseFile::parse(&text).map_err(MirrorError::metadata(&top.place))?;
        self.check_release(&top.place, &release, suite)?;
        if is_known {
            return Ok(None);
        }
        let revision = self.revision(&top.place, release.made_at, digest, fingerprint)?;

        let arch = self.architecture.dpkg_name();
        let (mut packages, mut contents) = (Vec::new(), Vec::new());
        for component in components {
            let variants = release.packages(suite, component, arch).map_err(MirrorError::metadata(&top.place))?;
            packages.push(self.get_any(base, &variants, report).await?);
        }
        for variants in release.contents(suite, components, arch) {
            match self.get_any(base, &variants, report).await {
                Ok(fetched) => contents.push(fetched),
                // They help to find packages, but are not needed.
                Err(MirrorError::NotFound { url }) => tracing::info!(url, "a list of files is missing"),
                Err(error) => return Err(error),
            }
        }
        let files = packages.iter().chain(&contents).map(|fetched| fetched.download.path.clone()).collect();
        let (packages, paths) = read_blocking(move || {
            let mut budget = Budget::new(&limits);
            let (mut found, mut paths) = (Vec::new(), Vec::new());
            for fetched in packages {
                let read = fetched.open(limits.unpacked_metadata_bytes);
                let read = read.and_then(|mut input| read_packages(&mut input, &mut budget, &mut found));
                read.map_err(MirrorError::metadata(&fetched.place))?;
            }
            for fetched in contents {
                let read = fetched.open(limits.unpacked_metadata_bytes);
                let read = read.and_then(|mut input| read_contents(&mut input, &mut budget, &mut paths));
                read.map_err(MirrorError::metadata(&fetched.place))?;
            }
            Ok((found, paths))
        })
        .await?;
        Ok(Some(NewIndex { revision, packages, paths, files }))
    }

    /// `InRelease`; `Release` of older repositories.
    async fn top(&self, base: &Base, suite: &str) -> Result<Top, MirrorError> {
        let limit = self.source.options().limits.top_bytes;
        let at = |name: &str| Ok::<_, MirrorError>(base.at(&Location::parse(&format!("dists/{suite}/{name}"))?));
        let place = at("InRelease")?;
        if let Some(data) = self.source.top(&place, limit).await? {
            return Ok(Top { place, data, detached: None });
        }
        let missing = MirrorError::NoRepository { url: place.to_string() };
        let place = at("Release")?;
        let data = self.source.top(&place, limit).await?.ok_or(missing)?;
        Ok(Top { place, data, detached: Some(at("Release.gpg")?) })
    }

    /// The text that a good signature covers, and who made it. A .deb is signed through its metadata alone, so a policy
    /// that wants packages signed wants the metadata signed.
    async fn verified_text(&self, top: &Top) -> Result<(Vec<u8>, Option<String>), MirrorError> {
        let policy = self.spec.signatures;
        if !policy.metadata && !policy.packages {
            return Ok((strip_signature(&top.data), None));
        }
        let url = || top.place.to_string();
        let bad = |source| self.bad_signature(&top.place, source);
        match &top.detached {
            None if !top.data.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") => {
                Err(MirrorError::Unsigned { url: url() })
            }
            None => {
                let signed = verify_cleartext(&top.data, self.keyring).map_err(bad)?;
                Ok((signed.text, Some(signed.fingerprint)))
            }
            Some(beside) => {
                let limit = self.source.options().limits.top_bytes;
                let signature = self.source.small(beside, limit).await?;
                let signature = signature.ok_or_else(|| MirrorError::Unsigned { url: url() })?;
                let fingerprint = verify_detached(&top.data, &signature, self.keyring).map_err(bad)?;
                Ok((top.data.clone(), Some(fingerprint)))
            }
        }
    }

    fn check_release(&self, place: &Place, release: &ReleaseFile, suite: &str) -> Result<(), MirrorError> {
        if !release.is_of(suite) {
            return Err(MirrorError::WrongSuite {
                url: place.to_string(),
                suite: release.suite.clone().unwrap_or_default(),
                codename: release.codename.clone().unwrap_or_default(),
                wanted: suite.to_owned(),
            });
        }
        let is_frozen = self.spec.config.iter().any(|(key, value)| key == "check-valid-until" && value == "no");
        match release.valid_until {
            Some(until) if until < Timestamp::now() && !is_frozen => {
                Err(MirrorError::Expired { url: place.to_string(), valid_until: until.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// The first variant that is there: suites list files that they do not serve.
    async fn get_any(
        &self,
        base: &Base,
        variants: &[IndexFile],
        report: &mut RepositoryReport,
    ) -> Result<Fetched, MirrorError> {
        let mut missing = None;
        for file in variants {
            let expected = Expected {
                size_bytes: Some(file.size_bytes),
                checksum: Some(Checksum::Sha256(file.sha256)),
                limit_bytes: self.source.options().limits.metadata_bytes,
            };
            for location in &file.locations {
                let place = base.at(location);
                match self.source.file(&place, &expected, self.progress).await {
                    Ok(download) => {
                        report.bytes = report.bytes.saturating_add(download.size_bytes);
                        return Ok(Fetched { place, download, file: file.clone() });
                    }
                    Err(error @ MirrorError::NotFound { .. }) => missing = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(missing.unwrap_or_else(|| MirrorError::NotFound { url: base.to_string() }))
    }
}

impl Fetched {
    fn open(&self, limit_bytes: u64) -> Result<Box<dyn std::io::BufRead + Send>, crate::MetadataError> {
        Ok(unpack::open(&self.download.path, self.file.compression, limit_bytes)?)
    }
}
