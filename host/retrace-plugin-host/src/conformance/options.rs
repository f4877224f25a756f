use std::{path::PathBuf, time::Duration};

use super::report::{Profile, Seed};
use crate::{Compiler, Limits};

/// How to run the suite.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which checks.
    pub profile: Profile,
    /// Where the random inputs start.
    pub seed: Seed,
    /// What the plugin may cost: the limits of the host that will load it.
    pub limits: Limits,
    /// The plugin's file as commands shall name it.
    pub file: PathBuf,
    /// Plugins that will be installed beside it (checks of group G).
    pub companions: Vec<Companion>,
    /// Folder where the smallest inputs that fail are written; none: nothing is written, and the report shows them only.
    pub counter_examples: Option<PathBuf>,
    /// Folder for compiled code, of this user alone; none: nothing is kept.
    pub cache_dir: Option<PathBuf>,
    /// Who compiles: a child process for anything that is not trusted.
    pub compiler: Compiler,
    /// Budgets of fuel (group F) in percent of the published ones.
    pub fuel_budget_percent: u32,
    /// Time for the whole run; checks that do not get their turn fail.
    pub time_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            seed: Seed::default(),
            limits: Limits::default(),
            file: PathBuf::from("plugin.wasm"),
            companions: Vec::new(),
            counter_examples: None,
            cache_dir: None,
            compiler: Compiler::default(),
            fuel_budget_percent: 100,
            time_limit: Duration::from_secs(300),
        }
    }
}

impl Options {
    /// What an installation runs.
    #[must_use]
    pub fn quick() -> Self {
        Self { profile: Profile::Quick, time_limit: Duration::from_secs(60), ..Self::default() }
    }
}

/// A plugin that will be installed beside the tested one.
#[derive(Clone, Debug)]
pub struct Companion {
    /// Its file as messages shall name it.
    pub file: PathBuf,
    /// The component.
    pub bytes: Vec<u8>,
}

/// What the author supplies beside the component.
#[derive(Clone, Debug, Default)]
pub struct Fixtures {
    /// Folder with `*.toml` fixtures (check C1); none: the check is skipped.
    pub dir: Option<PathBuf>,
    /// Folder with the keys of all distributions, as the host has it (check B11); none: the check is skipped.
    pub keys_dir: Option<PathBuf>,
    /// Whether a key may be missing from that folder, as before a distribution's first sync; one that is there must be the
    /// right one all the same.
    pub keys_may_come_later: bool,
}

/// Why the suite could not be run: nothing is said of the plugin then.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// The engine cannot be started or used.
    #[error("cannot run the plugin")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fixture, a key or a counter-example cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A fixture says nothing that can be checked.
    #[error("the fixture {} is not valid: {why}; plugin-sdk/docs/fixtures.md has the format", path.display())]
    Fixture {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A plugin beside the tested one cannot be loaded.
    #[error("cannot load {} beside it: {why}; test that plugin by itself", path.display())]
    Companion {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// There is nothing to ask.
    #[error("the component cannot be loaded: {why}; `retrace plugin test` says more")]
    NotLoadable {
        /// What is wrong.
        why: String,
    },
    /// The corpus that is built in cannot be read, which a test finds first.
    #[error("the corpus of {folder} is not valid: {why}")]
    Corpus {
        /// Folder of the distribution.
        folder: String,
        /// What is wrong.
        why: String,
    },
}
