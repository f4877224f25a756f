//! Whether mirrors can be reached: the top file of the metadata is asked for, nothing is indexed or kept.

use futures_util::{StreamExt as _, stream};
use retrace_types::{DistroId, RepositoryLayout, RepositorySpec};

use crate::{
    MirrorError, MirrorOptions,
    location::{Base, Location, shown},
    mirror_list,
    transfer::{Source, Transfer, Wanted},
};

/// Mirrors that are asked at the same time.
const PARALLEL: usize = 8;

/// The mirrors of one repository.
#[derive(Debug)]
pub struct RepositoryReach {
    /// The repository's id.
    pub repository: String,
    /// Its mirrors, in the order of the plugin.
    pub mirrors: Vec<MirrorReach>,
}

impl RepositoryReach {
    /// Whether any mirror answers with metadata.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.mirrors.iter().any(|mirror| mirror.outcome.is_ok())
    }
}

/// One mirror.
#[derive(Debug)]
pub struct MirrorReach {
    /// Its base.
    pub mirror: String,
    /// The file or folder that is there, or why none is.
    pub outcome: Result<String, MirrorError>,
}

/// Asks every mirror of these repositories for the file that its metadata starts with: `repodata/repomd.xml`,
/// `dists/<suite>/InRelease` or `Release`, the list of mirrors, or the folder itself. Signatures are not checked.
/// `distribution` is the one that they belong to: the operator's access rules may depend on it.
///
/// # Errors
/// [`MirrorError::File`] if the download folder cannot be made.
pub async fn reach(
    options: &MirrorOptions,
    distribution: &DistroId,
    specs: &[RepositorySpec],
) -> Result<Vec<RepositoryReach>, MirrorError> {
    let transfer = Transfer::new(options.clone())?;
    let asked = specs.iter().flat_map(|spec| spec.mirrors.iter().map(move |mirror| (spec, mirror)));
    let asked = stream::iter(asked).map(|(spec, mirror)| {
        let transfer = &transfer;
        async move {
            let outcome = match transfer.source(distribution, &spec.id) {
                Ok(source) => ask(&source, spec, mirror).await,
                Err(error) => Err(error),
            };
            (spec, MirrorReach { mirror: shown(mirror), outcome })
        }
    });
    let answers: Vec<_> = asked.buffered(PARALLEL).collect().await;
    let mut answers = answers.into_iter().map(|(_, reach)| reach);
    let of = |spec: &RepositorySpec| RepositoryReach {
        repository: spec.id.clone(),
        mirrors: answers.by_ref().take(spec.mirrors.len()).collect(),
    };
    Ok(specs.iter().map(of).collect())
}

async fn ask(source: &Source, spec: &RepositorySpec, mirror: &str) -> Result<String, MirrorError> {
    let base = Base::parse(mirror)?;
    source.access().suffices(spec, &base)?;
    let limit = source.options().limits.top_bytes;
    if let Some((_, list)) = spec.config.iter().find(|(key, _)| key == mirror_list::SETTING) {
        let place = base.at(&Location::parse(list)?);
        let found = source.small(&place, limit).await?;
        return found.map(|_| place.to_string()).ok_or_else(|| MirrorError::NotFound { url: place.to_string() });
    }
    let candidates = match &spec.layout {
        RepositoryLayout::RpmMd => vec!["repodata/repomd.xml".to_owned()],
        RepositoryLayout::DebDists { suite, .. } => {
            vec![format!("dists/{suite}/InRelease"), format!("dists/{suite}/Release")]
        }
        RepositoryLayout::Directory => {
            source.list(&base, &Wanted::packages(&base, source.options().limits.packages)).await?;
            return Ok(base.to_string());
        }
        RepositoryLayout::Other(layout) => {
            return Err(MirrorError::UnsupportedLayout { repository: spec.id.clone(), layout: layout.clone() });
        }
    };
    let mut missing = None;
    for candidate in candidates {
        let place = base.at(&Location::parse(&candidate)?);
        if source.small(&place, limit).await?.is_some() {
            return Ok(place.to_string());
        }
        missing.get_or_insert_with(|| place.to_string());
    }
    Err(MirrorError::NoRepository { url: missing.unwrap_or_else(|| base.to_string()) })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use retrace_types::{RepositoryContent, SignaturePolicy};

    use super::*;

    fn spec(id: &str, layout: RepositoryLayout, mirrors: Vec<String>) -> RepositorySpec {
        RepositorySpec {
            id: id.to_owned(),
            title: String::new(),
            layout,
            content: RepositoryContent::Packages,
            mirrors,
            signatures: SignaturePolicy::OFF,
            keys: vec![],
            config: vec![],
        }
    }

    #[tokio::test]
    async fn each_mirror_is_asked_and_the_answers_keep_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        for (file, text) in [("repodata/repomd.xml", "<repomd/>"), ("dists/sid/Release", "Suite: sid")] {
            let path = base.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let good = base.display().to_string();
        let bad = dir.path().join("none").display().to_string();
        let suite = |suite: &str| RepositoryLayout::DebDists { suite: suite.to_owned(), components: vec![] };
        let specs = [
            spec("rpm", RepositoryLayout::RpmMd, vec![bad.clone(), good.clone(), "gopher://h/x".to_owned()]),
            spec("none", RepositoryLayout::RpmMd, vec![]),
            spec("deb", suite("sid"), vec![good.clone()]),
            spec("other-suite", suite("woody"), vec![good.clone()]),
            spec("folder", RepositoryLayout::Directory, vec![good.clone(), bad.clone()]),
            spec("strange", RepositoryLayout::Other("apk".to_owned()), vec![good.clone()]),
        ];
        let options = MirrorOptions { download_dir: dir.path().join("downloads"), ..MirrorOptions::default() };
        let reached = reach(&options, &"fixture".parse().unwrap(), &specs).await.unwrap();
        let found: Vec<_> = reached
            .iter()
            .map(|repository| {
                let states: String =
                    repository.mirrors.iter().map(|mirror| if mirror.outcome.is_ok() { '+' } else { '-' }).collect();
                (repository.repository.as_str(), states, repository.is_reachable())
            })
            .collect();
        let want = [
            ("rpm", "-+-", true),
            ("none", "", false),
            ("deb", "+", true),
            ("other-suite", "-", false),
            ("folder", "+-", true),
            ("strange", "-", false),
        ];
        assert_eq!(found, want.map(|(id, states, reachable)| (id, states.to_owned(), reachable)));
        let MirrorReach { outcome: Ok(place), .. } = &reached[2].mirrors[0] else { panic!("{reached:?}") };
        assert!(place.ends_with("/dists/sid/Release"), "{place}");
    }
}
