//! Sync of a local folder of packages without metadata.

use crate::{
    MirrorError, RepositoryReport, directory,
    location::{Base, Place},
    sync::{Job, NewIndex, Offer, read_blocking},
};

impl Job<'_> {
    pub(super) async fn read_folder(&self, base: &Base, _report: &mut RepositoryReport) -> Result<Offer, MirrorError> {
        let Base::Folder(folder) = base else { return Err(MirrorError::NoMetadata { mirror: base.to_string() }) };
        if self.spec.signatures.metadata {
            return Err(MirrorError::PolicyImpossible {
                repository: self.spec.id.clone(),
                what: format!("the folder {} has no metadata, which", folder.display()),
                fix: "make signed metadata (createrepo_c, apt-ftparchive), or want packages signed only",
            });
        }
        let limits = self.inner.transfer.options().limits.clone();
        let (from, list_limits) = (folder.clone(), limits.clone());
        let (files, digest) = read_blocking(move || directory::list(&from, &list_limits)).await?;
        if self.is_known(&digest) {
            return Ok(None);
        }
        let revision = self.revision(&Place::File(folder.clone()), 0, digest, None)?;
        let failed = MirrorError::metadata(base);
        let (packages, paths) = read_blocking(move || directory::read(files, &limits).map_err(failed)).await?;
        Ok(Some(NewIndex { revision, packages, paths, files: Vec::new() }))
    }
}
