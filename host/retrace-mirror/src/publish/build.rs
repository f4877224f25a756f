//! From the plan to the folder: packages, metadata, exchange, state, and removal of what is left, in this order.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use retrace_package::{PackageError, Signer, read_deb_control, read_rpm_facts};
use retrace_types::Sha256;

use super::{
    Publication, PublishError,
    deb::{self, Release},
    plan::{Entry, Plan, Suite},
    rpm_md::{self, FileFacts, Listed},
    spool::{Packing, Spool},
    state::State,
    tree::{Placed, Tree},
};
use crate::checksum;

/// Packages between two messages.
const TELL_EVERY: usize = 50;

pub(super) fn run(
    plan: &Plan,
    tree: &Tree,
    signer: Option<&Signer>,
    tell: &dyn Fn(String),
) -> Result<Publication, PublishError> {
    let mut done =
        Publication { folder: plan.folder.clone(), left_out: plan.left_out.clone(), ..Publication::default() };
    let state = State::read(&tree.state_file());
    let state = match state.filter(|state| state.inputs == plan.inputs && state.is_whole(&tree.folder)) {
        Some(state) => {
            let unreadable: HashSet<_> = state.unreadable.iter().map(|(path, ..)| path.as_str()).collect();
            for entry in plan.entries.iter().filter(|entry| !unreadable.contains(entry.path.as_str())) {
                count(&mut done, tree.place(entry)?);
            }
            state
        }
        None => rebuild(plan, tree, signer, tell, &mut done)?,
    };
    let unreadable: HashSet<_> = state.unreadable.iter().map(|(path, ..)| path.as_str()).collect();
    let packages = plan.entries.iter().map(|entry| entry.path.as_str()).filter(|path| !unreadable.contains(path));
    let metadata = state.metadata.iter().map(|(path, _)| path).chain(&state.previous).map(String::as_str);
    done.removed = tree.sweep(&packages.chain(metadata).collect())?;
    done.left_out.extend(state.left_out());
    Ok(done)
}

fn count(done: &mut Publication, placed: Placed) {
    done.packages += 1;
    match placed {
        Placed::Kept => {}
        Placed::Linked => done.linked += 1,
        Placed::Copied => done.copied += 1,
    }
}

/// Metadata on its way, one spool for each file.
struct Spools {
    /// In the order of [`rpm_md::KINDS`].
    rpm_md: [Spool; 3],
    rpms: usize,
    /// By component and architecture.
    deb: BTreeMap<(String, String), Spool>,
}

/// Why a package is not in the metadata.
pub(super) struct Refusal {
    reason: String,
    /// True if it is the machine's fault rather than the package's.
    pub(super) may_pass: bool,
}

impl Refusal {
    fn of_package(reason: String) -> Self {
        Self { reason, may_pass: false }
    }
}

impl From<PackageError> for Refusal {
    fn from(error: PackageError) -> Self {
        let may_pass = matches!(&error, PackageError::Read { source, .. } if source.raw_os_error().is_some());
        Self { reason: crate::error::chain(&error), may_pass }
    }
}

fn rebuild(
    plan: &Plan,
    tree: &Tree,
    signer: Option<&Signer>,
    tell: &dyn Fn(String),
    done: &mut Publication,
) -> Result<State, PublishError> {
    let mut spools = Spools::new(plan, &tree.work)?;
    let (mut unreadable, mut retry) = (Vec::new(), false);
    for (i, entry) in plan.entries.iter().enumerate() {
        if i.is_multiple_of(TELL_EVERY) {
            tell(format!("Publishing {}: {i} of {} packages", plan.label, plan.entries.len()));
        }
        match spools.add(entry, tree)? {
            Ok(placed) => count(done, placed),
            Err(Refusal { reason, may_pass }) => {
                retry |= may_pass;
                unreadable.push((entry.path.clone(), entry.package.clone(), reason));
            }
        }
    }
    tell(format!("Publishing {}: metadata of {} packages", plan.label, done.packages));
    let before = State::read(&tree.state_file());
    let made_at = Timestamp::now();
    // Without the digest the next run makes everything anew.
    let inputs = if retry { String::new() } else { plan.inputs.clone() };
    let mut state = State { inputs, unreadable, ..State::default() };
    if plan.rpm_md {
        let mut generation = Generation::new(tree, "repodata")?;
        spools.write_rpm_md(&mut generation, signer, made_at)?;
        generation.publish(before.as_ref(), &["repomd.xml.asc", "repomd.xml"], &mut state)?;
    }
    if let Some(suite) = &plan.suite {
        let mut generation = Generation::new(tree, &format!("dists/{}", suite.name))?;
        spools.write_deb(suite, plan, &mut generation, signer, made_at)?;
        generation.publish(before.as_ref(), &["Release.gpg", "Release", "InRelease"], &mut state)?;
    }
    state.write(&tree.state_file(), &tree.work)?;
    done.metadata_bytes = state.metadata.iter().map(|(_, size)| size).sum();
    Ok(state)
}

impl Spools {
    fn new(plan: &Plan, work: &Path) -> Result<Self, PublishError> {
        let spool = || Spool::new(work).map_err(PublishError::file("write", work));
        let mut deb = BTreeMap::new();
        if let Some(suite) = &plan.suite {
            for component in &suite.components {
                for architecture in &suite.architectures {
                    deb.insert((component.clone(), architecture.clone()), spool()?);
                }
            }
        }
        Ok(Self { rpm_md: [spool()?, spool()?, spool()?], rpms: 0, deb })
    }

    /// Puts a package at its place and what metadata says of it into the spools; or why not.
    fn add(&mut self, entry: &Entry, tree: &Tree) -> Result<Result<Placed, Refusal>, PublishError> {
        let failed = || PublishError::file("write", &tree.work);
        let damaged = |error: PublishError| match error {
            PublishError::Damaged { .. } => Ok(Err(Refusal::of_package(error.to_string()))),
            error => Err(error),
        };
        if entry.is_rpm {
            let facts = match read_rpm_facts(&entry.source) {
                Ok(facts) => facts,
                Err(error) => return Ok(Err(error.into())),
            };
            let placed = match tree.place(entry) {
                Ok(placed) => placed,
                Err(error) => return damaged(error),
            };
            let modified = fs::metadata(&entry.source).map_err(PublishError::file("read", &entry.source))?.mtime();
            let file = FileFacts {
                location: &entry.path,
                sha256: entry.sha256,
                size_bytes: entry.size_bytes,
                modified: u64::try_from(modified).unwrap_or_default(),
            };
            for (spool, fragment) in self.rpm_md.iter_mut().zip(rpm_md::fragments(&facts, &file)) {
                spool.push(&fragment).map_err(failed())?;
            }
            self.rpms += 1;
            return Ok(Ok(placed));
        }
        let control = match read_deb_control(&entry.source) {
            Ok(control) => control,
            Err(error) => return Ok(Err(error.into())),
        };
        let paragraph = match deb::paragraph(&control, &entry.path, entry.size_bytes, entry.sha256) {
            Ok(paragraph) => paragraph,
            Err(reason) => return Ok(Err(Refusal::of_package(reason.to_owned()))),
        };
        let is_of = |(component, architecture): &(String, String)| {
            *component == entry.component
                && (paragraph.architecture == "all" || paragraph.architecture == *architecture)
        };
        if !self.deb.keys().any(is_of) {
            let reason = format!("its architecture {} is none of this repository's", paragraph.architecture);
            return Ok(Err(Refusal::of_package(reason)));
        }
        let placed = match tree.place(entry) {
            Ok(placed) => placed,
            Err(error) => return damaged(error),
        };
        for (_, spool) in self.deb.iter_mut().filter(|(key, _)| is_of(key)) {
            spool.push(&paragraph.text).map_err(failed())?;
        }
        Ok(Ok(placed))
    }

    fn write_rpm_md(
        &mut self,
        generation: &mut Generation<'_>,
        signer: Option<&Signer>,
        made_at: Timestamp,
    ) -> Result<(), PublishError> {
        let mut listed = Vec::new();
        for (kind, spool) in rpm_md::KINDS.into_iter().zip(&mut self.rpm_md) {
            let (head, end) = rpm_md::frame(kind, self.rpms);
            let temporary = generation.tree.work.join(kind);
            let written = spool.write(&temporary, &head, end, Packing::Gzip);
            let written = written.map_err(PublishError::file("write", &temporary))?;
            let name = format!("{}-{kind}.xml.gz", written.sha256);
            generation.adopt(&temporary, &name, written.size_bytes)?;
            listed.push(Listed {
                kind,
                location: format!("repodata/{name}"),
                sha256: written.sha256,
                size_bytes: written.size_bytes,
                open_sha256: written.open_sha256,
                open_size_bytes: written.open_size_bytes,
            });
        }
        let repomd = rpm_md::repomd(&listed, made_at.as_second());
        if let Some(signer) = signer {
            generation.put("repomd.xml.asc", &signer.detached(repomd.as_bytes())?)?;
        }
        generation.put("repomd.xml", &repomd)
    }

    fn write_deb(
        &mut self,
        suite: &Suite,
        plan: &Plan,
        generation: &mut Generation<'_>,
        signer: Option<&Signer>,
        made_at: Timestamp,
    ) -> Result<(), PublishError> {
        let mut files = Vec::new();
        for ((component, architecture), spool) in &mut self.deb {
            let folder = format!("{component}/binary-{architecture}");
            for (ending, packing) in [("", Packing::None), (".gz", Packing::Gzip), (".xz", Packing::Xz)] {
                let temporary = generation.tree.work.join("Packages");
                let written = spool.write(&temporary, "", "", packing);
                let written = written.map_err(PublishError::file("write", &temporary))?;
                let path = format!("{folder}/Packages{ending}");
                generation.adopt(&temporary, &path, written.size_bytes)?;
                generation.link(&path, &format!("{folder}/by-hash/SHA256/{}", written.sha256), written.size_bytes)?;
                files.push((path, written.sha256, written.size_bytes));
            }
        }
        let text = deb::release(&Release {
            label: &plan.label,
            suite: &suite.name,
            architectures: &suite.architectures,
            components: &suite.components,
            made_at,
            files: &files,
        });
        generation.put("Release", &text)?;
        if let Some(signer) = signer {
            generation.put("Release.gpg", &signer.detached(text.as_bytes())?)?;
            generation.put("InRelease", &signer.cleartext(&text)?)?;
        }
        Ok(())
    }
}

/// A folder of new metadata that will take the place of a live one.
struct Generation<'a> {
    tree: &'a Tree,
    /// Path of the live folder below the repository's.
    live: String,
    new: PathBuf,
    /// Paths below the folder, and sizes.
    files: Vec<(String, u64)>,
    /// Those that clients begin with.
    tops: Vec<(String, Sha256)>,
}

impl<'a> Generation<'a> {
    fn new(tree: &'a Tree, live: &str) -> Result<Self, PublishError> {
        let new = tree.work.join("new");
        // The one that another generation exchanged.
        let _ = fs::remove_dir_all(&new);
        fs::create_dir(&new).map_err(PublishError::file("write", &new))?;
        Ok(Self { tree, live: live.to_owned(), new, files: Vec::new(), tops: Vec::new() })
    }

    fn path(&mut self, name: &str, size_bytes: u64) -> Result<PathBuf, PublishError> {
        let path = self.new.join(name);
        let parent = path.parent().unwrap_or(&self.new);
        fs::create_dir_all(parent).map_err(PublishError::file("write", parent))?;
        self.files.push((name.to_owned(), size_bytes));
        Ok(path)
    }

    /// Takes a file that was written in the work folder.
    fn adopt(&mut self, written: &Path, name: &str, size_bytes: u64) -> Result<(), PublishError> {
        let path = self.path(name, size_bytes)?;
        fs::rename(written, &path).map_err(PublishError::file("write", path))
    }

    /// Gives a file of this generation a second name. Equal files may want one name.
    fn link(&mut self, name: &str, second: &str, size_bytes: u64) -> Result<(), PublishError> {
        let from = self.new.join(name);
        let to = self.path(second, size_bytes)?;
        link_or_copy(&from, &to).map_err(PublishError::file("write", to))
    }

    /// Writes a file that clients begin with.
    fn put(&mut self, name: &str, text: &str) -> Result<(), PublishError> {
        let path = self.path(name, text.len() as u64)?;
        self.tops.push((name.to_owned(), checksum::sha256(text.as_bytes())));
        let written = fs::write(&path, text).and_then(|()| fs::File::open(&path)?.sync_all());
        written.map_err(PublishError::file("write", path))
    }

    /// Keeps the generation before for its readers, and takes its place.
    fn publish(self, before: Option<&State>, tops: &[&str], state: &mut State) -> Result<(), PublishError> {
        let known = before.into_iter().flat_map(|state| &state.metadata);
        let below = format!("{}/", self.live);
        for name in known.filter_map(|(path, _)| path.strip_prefix(&below)) {
            let (old, kept) = (self.tree.folder.join(&self.live).join(name), self.new.join(name));
            if !tops.contains(&name) && !kept.exists() && old.is_file() {
                if let Some(parent) = kept.parent() {
                    fs::create_dir_all(parent).map_err(PublishError::file("write", parent))?;
                }
                link_or_copy(&old, &kept).map_err(PublishError::file("write", &kept))?;
                state.previous.push(format!("{below}{name}"));
            }
        }
        self.tree.replace(&self.new, &self.live, tops)?;
        state.metadata.extend(self.files.into_iter().map(|(name, size)| (format!("{below}{name}"), size)));
        state.tops.extend(self.tops.into_iter().map(|(name, sha256)| (format!("{below}{name}"), sha256)));
        Ok(())
    }
}

fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(_) => fs::copy(from, to).map(|_| ()),
        Ok(()) => Ok(()),
    }
}
