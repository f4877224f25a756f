//! Sync of an rpm-md repository.

use retrace_package::verify_detached;

use crate::{
    MirrorError, RepositoryReport,
    checksum::sha256,
    location::{Base, Location, Place},
    rpm_md::{DataFile, Index, Repomd, read_filelists, read_primary},
    sync::{Job, NewIndex, Offer, read_blocking},
    transfer::{Download, Expected},
    unpack::{self, Compression},
};

impl Job<'_> {
    pub(super) async fn read_rpm_md(&self, base: &Base, report: &mut RepositoryReport) -> Result<Offer, MirrorError> {
        self.no_pattern(base)?;
        let limits = self.source.options().limits.clone();
        let place = base.at(&Location::parse("repodata/repomd.xml")?);
        let top = self.source.top(&place, limits.top_bytes).await?;
        let top = top.ok_or_else(|| MirrorError::NoRepository { url: place.to_string() })?;
        report.bytes = report.bytes.saturating_add(top.len() as u64);
        let digest = sha256(&top);
        if self.is_known(&digest) {
            return Ok(None);
        }
        let fingerprint =
            if self.spec.signatures.metadata { Some(self.verify_top(base, &place, &top).await?) } else { None };
        let repomd = Repomd::parse(top.as_slice()).map_err(MirrorError::metadata(&place))?;
        let revision = self.revision(&place, repomd.made_at, digest, fingerprint)?;
        if !repomd.zchunk.is_empty() {
            report.notes.push(format!("{} also as zchunk, which is not used", repomd.zchunk.join(", ")));
        }

        let mut files = Vec::new();
        let mut fetched = Vec::new();
        for file in [Some(&repomd.primary), repomd.filelists.as_ref()].into_iter().flatten() {
            let location = Location::parse(&file.location)?;
            let place = base.at(&location);
            let download = self.get(&place, file).await?;
            report.bytes = report.bytes.saturating_add(download.size_bytes);
            files.push(download.path.clone());
            let unpacked = file.open_size_bytes.unwrap_or(u64::MAX).min(limits.unpacked_metadata_bytes);
            fetched.push((place, download, Compression::of_name(location.as_str()), unpacked));
        }
        let index = read_blocking(move || {
            let mut index = Index::new(&limits);
            for (position, (place, download, compression, unpacked)) in fetched.into_iter().enumerate() {
                let failed = MirrorError::metadata(&place);
                let read = match unpack::open(&download.path, compression, unpacked) {
                    Ok(input) if position == 0 => read_primary(input, &mut index),
                    Ok(input) => read_filelists(input, &mut index),
                    Err(error) => Err(error.into()),
                };
                read.map_err(failed)?;
            }
            Ok(index)
        });
        let index = index.await?;
        Ok(Some(NewIndex { revision, packages: index.packages, paths: index.paths, files }))
    }

    /// Fingerprint of the key whose signature of `repomd.xml` is good.
    async fn verify_top(&self, base: &Base, place: &Place, top: &[u8]) -> Result<String, MirrorError> {
        let limit = self.source.options().limits.top_bytes;
        let beside = base.at(&Location::parse("repodata/repomd.xml.asc")?);
        let signature = self.source.small(&beside, limit).await?;
        let signature = signature.ok_or_else(|| MirrorError::Unsigned { url: place.to_string() })?;
        let verified = verify_detached(top, &signature, self.keyring);
        verified.map_err(|source| self.bad_signature(place, source))
    }

    async fn get(&self, place: &Place, file: &DataFile) -> Result<Download, MirrorError> {
        let expected = Expected {
            size_bytes: file.size_bytes,
            checksum: Some(file.checksum.clone()),
            limit_bytes: self.source.options().limits.metadata_bytes,
        };
        self.source.file(place, &expected, self.progress).await
    }
}
