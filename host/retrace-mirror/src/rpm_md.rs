//! rpm-md repositories: `repodata/repomd.xml` and the files that it lists.
//!
//! Source of the format: createrepo_c's documentation and output; there is no standard.

mod filelists;
mod primary;
mod repomd;
mod xml;

use std::{collections::HashMap, sync::Arc};

use retrace_store::{NewPackage, PathKey};

pub(crate) use filelists::read_filelists;
pub(crate) use primary::read_primary;
pub(crate) use repomd::{DataFile, Repomd};

use crate::{Limits, budget::Budget};

/// What is known of a repository while its files are read.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) packages: Vec<NewPackage>,
    /// Path and name of the package that owns it.
    pub(crate) paths: Vec<(PathKey, Arc<str>)>,
    /// Position in `packages` by the checksum that links the files of the metadata.
    positions: HashMap<String, usize>,
    budget: Budget,
}

impl Index {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { packages: Vec::new(), paths: Vec::new(), positions: HashMap::new(), budget: Budget::new(limits) }
    }
}
