use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use retrace_package::VerifiedPackage;
use retrace_store::{IndexedPackage, PackageKey, Scope, Store};
use retrace_types::{Architecture, Release, RepositorySpec};

use crate::{
    MirrorError, MirrorOptions, Progress, Resolved, SyncReport, VerifyOptions, VerifyReport, WantedModule,
    fetch::Fetched,
    resolve::{self, For},
    sync,
    transfer::Transfer,
    verify,
};

/// Mirrors of repositories, in front of a store. Cheap to clone; one serves many retraces at once.
#[derive(Clone)]
pub struct Mirror {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) transfer: Transfer,
    /// Fetches under way: whoever wants the same package waits for the first.
    pub(crate) fetching: Mutex<HashMap<PackageKey, Weak<Fetched>>>,
}

impl Mirror {
    /// A mirror that keeps what it gets in `store`. Nothing is contacted yet.
    ///
    /// # Errors
    /// [`MirrorError::File`] if the download folder cannot be made.
    pub fn new(store: Store, options: MirrorOptions) -> Result<Self, MirrorError> {
        let transfer = Transfer::new(options)?;
        Ok(Self { inner: Arc::new(Inner { store, transfer, fetching: Mutex::default() }) })
    }

    /// Brings the index of these repositories up to date, one after the other, from metadata alone.
    ///
    /// A repository that fails keeps its old index and does not stop the others: see [`Outcome`](crate::Outcome).
    ///
    /// # Errors
    /// [`MirrorError::Store`] if the index itself fails.
    pub async fn sync(
        &self,
        release: &Release,
        architecture: Architecture,
        specs: &[RepositorySpec],
        progress: &dyn Progress,
    ) -> Result<SyncReport, MirrorError> {
        sync::sync(&self.inner, release, architecture, specs, progress).await
    }

    /// A verified copy of a package: the one in the store, else from the repository's mirrors in order. It is kept.
    ///
    /// # Errors
    /// [`MirrorError::AllMirrors`] with what went wrong at each mirror; [`MirrorError::NotVouched`].
    pub async fn fetch(
        &self,
        package: &IndexedPackage,
        progress: &dyn Progress,
    ) -> Result<VerifiedPackage, MirrorError> {
        self.inner.fetch(package, progress).await
    }

    /// Reads every local copy again, as [`VerifyOptions`] says, and replaces what is damaged if that is wanted.
    ///
    /// # Errors
    /// [`MirrorError::Store`] if the index fails, [`MirrorError::StepLost`].
    pub async fn verify(&self, options: &VerifyOptions, progress: &dyn Progress) -> Result<VerifyReport, MirrorError> {
        verify::verify(&self.inner, options, progress).await
    }

    /// Finds and fetches the packages that ship these modules and their debug information, one result per module.
    ///
    /// Where metadata does not name the build-ids of binaries, packages that may ship a module are fetched and
    /// searched, within [`Limits`](crate::Limits); what they hold is indexed for the next time. `hint` is the crashed
    /// package: its name, or name, version and release. What is missing is a gap of the result, not an error.
    ///
    /// # Errors
    /// [`MirrorError::Store`] if the index itself fails.
    pub async fn resolve(
        &self,
        scope: &Scope,
        modules: &[WantedModule],
        hint: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<Vec<Resolved>, MirrorError> {
        resolve::resolve(&self.inner, scope, modules, hint, For::Crash, progress).await
    }

    /// As [`resolve`](Self::resolve) for one file that somebody wants to read: it does not count as referenced by a crash.
    ///
    /// # Errors
    /// [`MirrorError::Store`] if the index itself fails.
    pub async fn find_file(
        &self,
        scope: &Scope,
        module: WantedModule,
        progress: &dyn Progress,
    ) -> Result<Option<Resolved>, MirrorError> {
        let found = resolve::resolve(&self.inner, scope, &[module], None, For::Reader, progress).await?;
        Ok(found.into_iter().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Callers spawn these onto other threads.
    #[expect(dead_code, reason = "it only has to compile")]
    fn futures_are_send(mirror: &Mirror, release: &Release, package: &IndexedPackage, scope: &Scope) {
        fn is_send(_: impl Send) {}
        is_send(mirror.sync(release, Architecture::X86_64, &[], &()));
        is_send(mirror.fetch(package, &()));
        is_send(mirror.verify(&VerifyOptions::default(), &()));
        is_send(mirror.resolve(scope, &[], None, &()));
    }
}
