use std::{
    collections::{HashMap, HashSet},
    io::{self, Read},
};

use retrace_types::{BuildId, Role};

use crate::{
    Limits, PackageError, VerifiedPackage,
    archive::{Archive, Entry, Kind, LinkGroup, NameBudget},
    error::Fault,
    links::{Links, canonical},
    payload::Payload,
    scan::identify,
};

/// A member to take out of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The regular file that this absolute path leads to: links of the package are followed, and `/lib/x` is
    /// `/usr/lib/x`.
    Path(String),
    /// The file whose ELF notes carry this build-id.
    BuildId {
        /// Build-id of the file.
        build_id: BuildId,
        /// Program or library, or its separate debug information.
        role: Role,
    },
}

/// Receives the members that [`extract`] finds.
pub trait Sink {
    /// Takes one member: `wanted` are the indexes of what it answers, `path` its absolute path in the package (behind
    /// all links), `data` its `size` bytes. Data that is not read is skipped.
    ///
    /// # Errors
    /// Ends the extraction with [`PackageError::Sink`].
    fn member(&mut self, wanted: &[usize], path: &str, size: u64, data: &mut dyn Read) -> io::Result<()>;
}

/// A member that the sink has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted {
    /// Index of what it answers.
    pub wanted: usize,
    /// Absolute path of the member in the package.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Hands the wanted members to `sink` and tells which were found, in the order of `wanted`; the others are not in the
/// package.
///
/// Reads the payload once, and a second time only if a link of a .deb leads back to a file that has gone by. Stops as
/// soon as all is found. A member that answers several wants is handed over once.
///
/// # Errors
/// Any of a damaged, hostile or too large package, [`PackageError::Sink`] if the sink fails. What the sink has received
/// before that is whole.
pub fn extract(
    package: &VerifiedPackage,
    wanted: &[Wanted],
    sink: &mut dyn Sink,
    limits: &Limits,
) -> Result<Vec<Extracted>, PackageError> {
    let mut run = Run {
        package,
        limits,
        wanted,
        sink,
        found: wanted.iter().map(|_| None).collect(),
        links: Links::default(),
        seen: HashSet::new(),
        budget: NameBudget::new(limits),
    };
    let at = |fault: Fault| fault.at(package.path());
    run.pass()?;
    // Now every link is known: go back if one leads to a file that has gone by.
    if run.targets().map_err(at)?.keys().any(|path| run.seen.contains(path)) {
        run.pass()?;
    }
    let found = run.found.into_iter().enumerate();
    Ok(found.filter_map(|(wanted, found)| found.map(|(path, size)| Extracted { wanted, path, size })).collect())
}

struct Run<'a> {
    package: &'a VerifiedPackage,
    limits: &'a Limits,
    wanted: &'a [Wanted],
    sink: &'a mut dyn Sink,
    /// Path and size of what was found, by index of `wanted`.
    found: Vec<Option<(String, u64)>>,
    links: Links,
    /// Canonical paths of the files that have gone by.
    seen: HashSet<String>,
    budget: NameBudget,
}

/// Hard links of one file in a cpio archive.
#[derive(Default)]
struct Group {
    /// Members without data.
    empty: Vec<String>,
    /// The member with the data.
    data: Option<String>,
}

impl Run<'_> {
    fn pass(&mut self) -> Result<(), PackageError> {
        let path = self.package.path();
        let at = |fault: Fault| fault.at(path);
        let mut payload = Payload::open(self.package, self.limits)?;
        if self.links.is_empty() {
            self.links = std::mem::take(&mut payload.links);
        }
        let archive = &mut payload.archive;
        let mut targets = self.targets().map_err(at)?;
        let mut groups: HashMap<LinkGroup, Group> = HashMap::new();
        while self.found.iter().any(Option::is_none) {
            let Some(entry) = archive.next().map_err(at)? else { break };
            let place = canonical(&entry.path);
            match &entry.kind {
                Kind::Other => {}
                Kind::Symlink(target) => {
                    self.learn(&entry.path, target).map_err(at)?;
                    let inside =
                        |path: &String| path.strip_prefix(&place).is_some_and(|s| s.is_empty() || s.starts_with('/'));
                    if targets.keys().any(inside) {
                        targets = self.targets().map_err(at)?;
                    }
                }
                Kind::Hardlink(target) => {
                    self.learn(&entry.path, target).map_err(at)?;
                    if targets.contains_key(&place) {
                        targets = self.targets().map_err(at)?;
                    }
                }
                Kind::File { group } => {
                    let mut names = vec![place];
                    if let Some(group) = group {
                        let group = groups.entry(*group).or_default();
                        if entry.size == 0 {
                            if let Some(data) = group.data.clone() {
                                self.learn(&entry.path, &data).map_err(at)?;
                            }
                            self.budget.take(&[&entry.path]).map_err(at)?;
                            group.empty.append(&mut names);
                            continue;
                        }
                        group.data = Some(entry.path.clone());
                        names.append(&mut group.empty);
                    }
                    self.offer(&entry, &names, &mut targets, archive)?;
                    for name in names {
                        self.budget.take(&[&name]).map_err(at)?;
                        self.seen.insert(name);
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands the present member, known by these canonical paths, to the sink if it is wanted.
    fn offer(
        &mut self,
        entry: &Entry,
        names: &[String],
        targets: &mut HashMap<String, Vec<usize>>,
        archive: &mut Archive<'_>,
    ) -> Result<(), PackageError> {
        let at = |fault: Fault| fault.at(self.package.path());
        let mut answers: Vec<usize> = names.iter().filter_map(|name| targets.remove(name)).flatten().collect();
        let open = |index: &usize| self.found.get(*index).is_some_and(Option::is_none);
        let by_build_id = |index: &usize| matches!(self.wanted.get(*index), Some(Wanted::BuildId { .. }));
        let mut start = Vec::new();
        if (0..self.wanted.len()).any(|index| open(&index) && by_build_id(&index)) {
            let identity = identify(entry, archive, self.limits).map_err(at)?;
            start = identity.read;
            if let Some((build_id, role)) = identity.found {
                let this = Wanted::BuildId { build_id, role };
                answers.extend((0..self.wanted.len()).filter(|i| open(i) && self.wanted.get(*i) == Some(&this)));
            }
        }
        if answers.is_empty() {
            return Ok(());
        }
        if entry.size > self.limits.member_bytes {
            return Err(at(Fault::Limit { what: "a wanted member with bytes", limit: self.limits.member_bytes }));
        }
        answers.sort_unstable();
        let mut data = Watched { inner: start.as_slice().chain(archive), failure: None };
        let stored = self.sink.member(&answers, &entry.path, entry.size, &mut data);
        if let Some(failure) = data.failure {
            return Err(at(failure.into()));
        }
        stored.map_err(|source| PackageError::Sink {
            path: self.package.path().to_owned(),
            member: entry.path.clone(),
            source,
        })?;
        for index in answers {
            if let Some(slot) = self.found.get_mut(index) {
                *slot = Some((entry.path.clone(), entry.size));
            }
        }
        Ok(())
    }

    fn learn(&mut self, path: &str, target: &str) -> Result<(), Fault> {
        self.budget.take(&[path, target])?;
        self.links.insert(path, target);
        Ok(())
    }

    /// Where the wanted paths that are not found yet lead with the links known by now.
    fn targets(&self) -> Result<HashMap<String, Vec<usize>>, Fault> {
        let mut targets: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, wanted) in self.wanted.iter().enumerate() {
            if let (Wanted::Path(path), Some(None)) = (wanted, self.found.get(index)) {
                targets.entry(self.links.resolve(path)?).or_default().push(index);
            }
        }
        Ok(targets)
    }
}

/// Remembers that the package, not the sink, failed.
struct Watched<R> {
    inner: R,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf).map_err(|error| {
            let told = io::Error::new(error.kind(), "the package cannot be read");
            if error.kind() != io::ErrorKind::Interrupted {
                self.failure = Some(error);
            }
            told
        })
    }
}
