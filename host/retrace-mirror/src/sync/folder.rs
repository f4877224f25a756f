//! Sync of a folder of packages without metadata.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    MirrorError, RepositoryReport,
    directory::{self, Contents},
    location::Base,
    sync::{Job, NewIndex, Offer},
    transfer::Wanted,
};

/// Headers that are read at the same time.
const PARALLEL: usize = 8;

impl Job<'_> {
    pub(super) async fn read_folder(&self, base: &Base, _report: &mut RepositoryReport) -> Result<Offer, MirrorError> {
        if self.spec.signatures.metadata {
            return Err(MirrorError::PolicyImpossible {
                repository: self.spec.id.clone(),
                what: format!("the folder {base} has no metadata, which"),
                fix: "make signed metadata (createrepo_c, apt-ftparchive), or want packages signed only",
            });
        }
        let limits = self.source.options().limits.clone();
        let files = self.source.list(base, &Wanted::packages(base, limits.packages)).await?;
        let digest = directory::digest(&files);
        if self.is_known(&digest) {
            return Ok(None);
        }
        let revision = self.revision(base.root(), 0, digest, None)?;
        let total = files.len() as u64;
        let reading = stream::iter(files).map(|file| directory::read_one(self.source, base, file)).buffered(PARALLEL);
        let mut reading = std::pin::pin!(reading);
        let mut contents = Contents::new(&limits);
        let mut done = 0;
        while let Some(found) = reading.try_next().await? {
            if let Some(package) = found {
                contents.add(package).map_err(MirrorError::metadata(base))?;
            }
            done += 1;
            self.progress.bytes(done, Some(total));
        }
        let Contents { packages, paths, .. } = contents;
        Ok(Some(NewIndex { revision, packages, paths, files: Vec::new() }))
    }
}
