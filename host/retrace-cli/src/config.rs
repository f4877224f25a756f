//! The configuration: one TOML file, every key with a default, unknown keys refused, each key overridable by an
//! environment variable (`server.listen` by `RETRACE_SERVER_LISTEN`).

mod access;
mod api;
mod artifacts;
mod debuginfod;
mod server;
mod upkeep;

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use retrace_mirror::Rule;
use retrace_plugin_host::Limits as PluginLimits;
use retrace_types::DistroId;
use retrace_worker::{Hooks, Notifier};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use access::AccessConfig;
use api::ApiConfig;
use artifacts::ArtifactsConfig;
use debuginfod::DebuginfodConfig;
pub(crate) use server::ServerConfig;
use upkeep::{GcConfig, HookConfig, NotifyConfig};

/// Where the file lies when neither `--config` nor `RETRACE_CONFIG` names one.
const SYSTEM_FILE: &str = "/etc/retrace/retrace.toml";

/// Variables that start with `RETRACE_` and are no configuration keys.
const OTHER_VARIABLES: [&str; 6] = [
    "RETRACE_CONFIG",
    "RETRACE_LOG",
    "RETRACE_LOG_FORMAT",
    "RETRACE_REQUIRE_TOOLS",
    "RETRACE_SDK_PATH",
    "RETRACE_SIGNING_PASSPHRASE",
];

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Store: database, mirrored packages, tasks. Losing it loses what was mirrored.
    pub(crate) state_dir: PathBuf,
    /// PostgreSQL instead of the SQLite file in `state_dir`: `postgres://user@host/database?sslmode=verify-full`, for an index
    /// and a queue that several machines share. The password is best kept in `~/.pgpass` or the file of `PGPASSFILE`.
    pub(crate) database_url: String,
    /// Unpacked files, compiled plugins, downloads. May be deleted while nothing runs.
    pub(crate) cache_dir: PathBuf,
    /// Plugins that come with Retrace: `*.wasm`, trusted like the program itself. Installed ones lie in `plugins` of
    /// `state_dir`.
    pub(crate) plugin_dir: PathBuf,
    /// OpenPGP keys of the distributions: `<distribution>/<key file>`.
    pub(crate) keys_dir: PathBuf,
    /// What is wanted of each repository: `[[repository]]` tables, of which later ones override earlier ones. Their keys
    /// are those of [`Rule`].
    pub(crate) repository: Vec<Rule>,
    pub(crate) artifacts: ArtifactsConfig,
    /// Programs that are run at points of a task's life.
    pub(crate) hooks: Vec<HookConfig>,
    /// Folder of further ones: each executable file in `<hook_dir>/<event>/`.
    pub(crate) hook_dir: PathBuf,
    pub(crate) plugins: PluginsConfig,
    pub(crate) mirror: MirrorConfig,
    pub(crate) publish: PublishConfig,
    pub(crate) gdb: GdbConfig,
    pub(crate) limits: LimitsConfig,
    pub(crate) server: ServerConfig,
    pub(crate) api: ApiConfig,
    pub(crate) worker: WorkerConfig,
    pub(crate) gc: GcConfig,
    pub(crate) notify: NotifyConfig,
    pub(crate) debuginfod: DebuginfodConfig,
}

/// `[plugins]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PluginsConfig {
    /// OpenPGP keys that may sign plugins: `*.asc`, `*.gpg`, `*.pgp`. Apart from `keys_dir`: who may sign packages must not
    /// thereby sign code.
    pub(crate) trust_dir: PathBuf,
    /// Which plugin is believed when several claim a release with the same confidence: the first one listed.
    pub(crate) priority: Vec<DistroId>,
    /// What a plugin may cost; `retrace plugin limits` explains each.
    pub(crate) limits: PluginLimits,
}

/// `[mirror]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MirrorConfig {
    /// Further key files that may sign any repository.
    pub(crate) operator_keys: Vec<PathBuf>,
    pub(crate) connect_timeout_seconds: u64,
    /// Longest silence of a mirror during a transfer.
    pub(crate) idle_timeout_seconds: u64,
    /// Ask the archives that plugins name for packages that no mirror has any more. Mirrors given with --mirror stand alone.
    pub(crate) archives: bool,
    /// How servers are reached: certificates, passwords, proxies, limits.
    pub(crate) access: Vec<AccessConfig>,
}

/// `[publish]`: the tree that `retrace mirror publish` makes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PublishConfig {
    /// Folder of the tree. Empty: `tree` of `state_dir`, where packages are links that take no space.
    pub(crate) dir: PathBuf,
    /// OpenPGP secret key that signs the metadata. Empty: nothing is signed.
    pub(crate) key: PathBuf,
    /// File whose first line is the passphrase of `key`. Empty: the variable RETRACE_SIGNING_PASSPHRASE, if it is set.
    pub(crate) passphrase_file: PathBuf,
}

/// `[gdb]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GdbConfig {
    /// Program; a name is looked up in the usual folders.
    pub(crate) program: PathBuf,
    pub(crate) time_limit_seconds: u64,
    pub(crate) memory_limit_mib: u64,
}

/// `[limits]`: what a core may claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsConfig {
    /// Largest core after decompression; holes count.
    pub(crate) core_size_mib: u64,
}

/// `[worker]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WorkerConfig {
    /// How long a task stays with a worker that gives no sign of life.
    pub(crate) lease_seconds: u64,
    /// Tasks that a worker works on at once; 0: as many as there are processors.
    pub(crate) parallel_tasks: u32,
    /// How often an idle worker asks for a task.
    pub(crate) poll_milliseconds: u64,
    /// Address and port at which the worker answers `/metrics`. Empty: nowhere.
    pub(crate) metrics_listen: String,
    /// Longest time for one try of a task, from when a worker takes it; 0: no limit.
    pub(crate) task_timeout_s: u64,
    /// What a task may take of the disk in the work folder: its core, decompressed, without holes.
    pub(crate) max_task_disk_mib: u64,
    /// Answer a crash that looks like an earlier one, of the same builds, with the frames of then and without a retrace. Such
    /// a result has no values of variables and no other threads, and says so. Tasks for debugging (type 1) are always retraced.
    pub(crate) answer_from_group: bool,
    /// What makes the frames: `gdb`; our own engine, in milliseconds (`native`); or `both`: gdb's, and how they differ.
    pub(crate) engine: retrace_worker::Engine,
}

impl Default for Config {
    fn default() -> Self {
        let (state_dir, cache_dir) = default_dirs();
        let prefix = install_prefix();
        Self {
            state_dir,
            database_url: String::new(),
            cache_dir,
            plugin_dir: prefix.join("lib/retrace/plugins"),
            keys_dir: prefix.join("share/retrace/gpg"),
            repository: Vec::new(),
            artifacts: ArtifactsConfig::default(),
            hooks: Vec::new(),
            hook_dir: config_dir().join("hooks"),
            plugins: PluginsConfig::default(),
            mirror: MirrorConfig::default(),
            publish: PublishConfig::default(),
            gdb: GdbConfig::default(),
            limits: LimitsConfig::default(),
            server: ServerConfig::default(),
            api: ApiConfig::default(),
            worker: WorkerConfig::default(),
            gc: GcConfig::default(),
            notify: NotifyConfig::default(),
            debuginfod: DebuginfodConfig::default(),
        }
    }
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self { trust_dir: config_dir().join("trust/plugins"), priority: Vec::new(), limits: PluginLimits::default() }
    }
}

impl Default for MirrorConfig {
    fn default() -> Self {
        Self {
            operator_keys: Vec::new(),
            connect_timeout_seconds: 10,
            idle_timeout_seconds: 30,
            archives: true,
            access: Vec::new(),
        }
    }
}

impl Default for GdbConfig {
    fn default() -> Self {
        Self { program: PathBuf::from("gdb"), time_limit_seconds: 300, memory_limit_mib: 8192 }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { core_size_mib: 256 * 1024 }
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            lease_seconds: 60,
            parallel_tasks: 0,
            poll_milliseconds: 500,
            metrics_listen: String::new(),
            task_timeout_s: 3600,
            max_task_disk_mib: 64 * 1024,
            answer_from_group: false,
            engine: retrace_worker::Engine::Gdb,
        }
    }
}

impl Config {
    /// Reads the file (`--config`, `RETRACE_CONFIG`, `/etc/retrace/retrace.toml`, or the user's), then the environment.
    ///
    /// # Errors
    /// An unreadable or invalid file, an unknown key, a value of the wrong kind.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self> {
        let environment: BTreeMap<_, _> = env::vars().filter(|(name, _)| name.starts_with("RETRACE_")).collect();
        let text = match file_to_read(file) {
            Some(path) => {
                let text = std::fs::read_to_string(&path);
                text.with_context(|| format!("cannot read the configuration {}", path.display()))
                    .map(|text| (path, text))
                    .map(Some)?
            }
            None => None,
        };
        let (name, text) =
            text.map_or((String::from("defaults"), String::new()), |(p, t)| (p.display().to_string(), t));
        Self::parse(&text, &environment).with_context(|| format!("in the configuration ({name})"))
    }

    /// The configuration that this text and these variables give.
    pub(crate) fn parse(text: &str, environment: &BTreeMap<String, String>) -> Result<Self> {
        let mut table: Table = text.parse().context("it is not TOML")?;
        let known = Self::keys()?;
        for (name, value) in environment {
            if OTHER_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            let Some(key) = known.iter().find(|key| variable_of(key) == *name) else {
                bail!("the environment variable {name} belongs to no key; `retrace config show` lists the keys");
            };
            set(&mut table, key, parse_value(value)).with_context(|| format!("cannot apply {name}"))?;
        }
        Value::Table(table).try_into().context("see `retrace config show` for the keys and their defaults")
    }

    /// Every key, with dots: `server.listen`.
    fn keys() -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut todo = vec![(String::new(), Table::try_from(Self::default())?)];
        while let Some((prefix, table)) = todo.pop() {
            for (name, value) in table {
                match value {
                    Value::Table(section) => todo.push((format!("{prefix}{name}."), section)),
                    _ => keys.push(format!("{prefix}{name}")),
                }
            }
        }
        Ok(keys)
    }

    /// What is wrong with this configuration on this machine, one sentence for each thing.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.plugin_dir.is_dir() {
            problems.push(format!(
                "plugin_dir {} does not exist: no distribution is known; run `make plugins` or install the plugins",
                self.plugin_dir.display()
            ));
        }
        if !self.keys_dir.is_dir() {
            problems.push(format!(
                "keys_dir {} does not exist: no signature can be verified; point it at the folder gpg/ of Retrace",
                self.keys_dir.display()
            ));
        }
        let is_postgres = ["postgres://", "postgresql://"].iter().any(|scheme| self.database_url.starts_with(scheme));
        if !self.database_url.is_empty() && !is_postgres {
            problems.push("database_url: want postgres://user@host:port/database, or nothing for SQLite".to_owned());
        }
        problems.extend(self.artifacts.problems());
        for key in &self.mirror.operator_keys {
            if !key.is_file() {
                problems.push(format!("mirror.operator_keys: {} is no file", key.display()));
            }
        }
        for (name, file) in self.mirror.access.iter().flat_map(AccessConfig::files) {
            if !file.is_file() {
                problems.push(format!("mirror.access: {name} {} is no file", file.display()));
            }
        }
        let PublishConfig { key, passphrase_file, .. } = &self.publish;
        for (name, file) in [("key", key), ("passphrase_file", passphrase_file)] {
            if !file.as_os_str().is_empty() && !file.is_file() {
                problems.push(format!("publish.{name}: {} is no file", file.display()));
            }
        }
        for (n, rule) in self.repository.iter().enumerate() {
            problems.extend(rule.problems().into_iter().map(|problem| format!("[[repository]] {}: {problem}", n + 1)));
        }
        problems.extend(self.debuginfod.problems());
        for dir in [&self.state_dir, &self.cache_dir] {
            if let Err(error) = std::fs::create_dir_all(dir) {
                problems.push(format!("{} cannot be made: {error}; choose a folder that you own", dir.display()));
            }
        }
        problems.extend(self.server.problems());
        problems.extend(self.gc.problems());
        problems.extend(self.hooks().problems());
        problems.extend(Notifier::problems(&self.notify.options()));
        problems.extend(self.api.problems());
        problems
    }

    /// Where jobs have their folders: on the file system of the cache, so that links into it work.
    pub(crate) fn work_dir(&self) -> PathBuf {
        self.cache_dir.join("work")
    }

    /// The hooks of the configuration and of their folder.
    pub(crate) fn hooks(&self) -> Hooks {
        let configured = self.hooks.iter().map(HookConfig::hook).collect();
        Hooks::new(configured, Some(self.hook_dir.clone()), self.work_dir())
    }
}

impl WorkerConfig {
    pub(crate) fn task_timeout(&self) -> Option<Duration> {
        (self.task_timeout_s > 0).then(|| Duration::from_secs(self.task_timeout_s))
    }
}

/// The environment variable that overrides a key: `server.listen` gives `RETRACE_SERVER_LISTEN`.
pub(crate) fn variable_of(key: &str) -> String {
    format!("RETRACE_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// A number, a boolean or an array if the text is one, else the text itself.
fn parse_value(text: &str) -> Value {
    let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    match parsed {
        Some(value @ (Value::Integer(_) | Value::Boolean(_) | Value::Array(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

fn set(table: &mut Table, key: &str, value: Value) -> Result<()> {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, key)) => {
            let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(section_table) = entry else { bail!("`{section}` must be a section: [{section}]") };
            set(section_table, key, value)?;
        }
    }
    Ok(())
}

fn file_to_read(named: Option<&Path>) -> Option<PathBuf> {
    let user_file = user_dir("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("retrace/retrace.toml"));
    let implicit = || user_file.into_iter().chain([PathBuf::from(SYSTEM_FILE)]).find(|path| path.is_file());
    let from_env = || env::var_os("RETRACE_CONFIG").map(PathBuf::from);
    named.map(Path::to_owned).or_else(from_env).or_else(implicit)
}

/// Root keeps its state in the system's folders, a user in the XDG ones.
fn default_dirs() -> (PathBuf, PathBuf) {
    let system = || (PathBuf::from("/var/lib/retrace"), PathBuf::from("/var/cache/retrace"));
    if rustix::process::geteuid().is_root() {
        return system();
    }
    let state = user_dir("XDG_STATE_HOME", ".local/state");
    let cache = user_dir("XDG_CACHE_HOME", ".cache");
    state.zip(cache).map_or_else(system, |(state, cache)| (state.join("retrace"), cache.join("retrace")))
}

/// The folder of the configuration file: root has the system's, a user the XDG one.
fn config_dir() -> PathBuf {
    let system = || Path::new(SYSTEM_FILE).parent().map(Path::to_owned).unwrap_or_default();
    if rustix::process::geteuid().is_root() {
        return system();
    }
    user_dir("XDG_CONFIG_HOME", ".config").map_or_else(system, |dir| dir.join("retrace"))
}

/// A folder of the XDG Base Directory Specification.
fn user_dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |dir: PathBuf| dir.is_absolute().then_some(dir);
    let named = env::var_os(variable).map(PathBuf::from).and_then(absolute);
    named.or_else(|| env::var_os("HOME").map(PathBuf::from).and_then(absolute).map(|home| home.join(below_home)))
}

/// `/usr/local` for `/usr/local/bin/retrace`.
fn install_prefix() -> PathBuf {
    let exe = env::current_exe().ok();
    let bin = exe.as_deref().and_then(Path::parent).filter(|dir| dir.file_name().is_some_and(|name| name == "bin"));
    bin.and_then(Path::parent).map_or_else(|| PathBuf::from("/usr"), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::parse(text, &environment)
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(parse("", &[]).unwrap(), Config::default());
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        for text in ["stat_dir = '/x'", "[server]\nlisten_on = '1'", "[nonsense]\na = 1"] {
            let error = format!("{:#}", parse(text, &[]).unwrap_err());
            assert!(error.contains("unknown field"), "{text}: {error}");
        }
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let text = "state_dir = '/file'\n[server]\nmax_parallel_tasks = 3";
        let environment = [
            ("RETRACE_STATE_DIR", "/env"),
            ("RETRACE_SERVER_MAX_PARALLEL_TASKS", "7"),
            ("RETRACE_MIRROR_OPERATOR_KEYS", "['/k.asc']"),
        ];
        let config = parse(text, &environment).unwrap();
        assert_eq!(config.state_dir, Path::new("/env"));
        assert_eq!(config.server.max_parallel_tasks, 7);
        assert_eq!(config.mirror.operator_keys, [PathBuf::from("/k.asc")]);
    }

    #[test]
    fn limits_of_plugins_can_be_set_in_file_and_environment() {
        let text = "[plugins]\npriority = ['rocky', 'almalinux']\n[plugins.limits]\ndeadline_ms = 250";
        let config = parse(text, &[("RETRACE_PLUGINS_LIMITS_FILE_BYTES", "1000")]).unwrap();
        assert_eq!(config.plugins.limits.deadline, Duration::from_millis(250));
        assert_eq!(config.plugins.limits.file_bytes, 1000);
        assert_eq!(config.plugins.priority.len(), 2);
        assert!(parse("[plugins.limits]\ndeadline = 5", &[]).is_err());
    }

    #[test]
    fn access_to_mirrors_can_be_set_in_file_and_environment() {
        let config = parse("[[mirror.access]]\ndistribution = 'rhel'\n[[mirror.access]]\nproxy = 'environment'", &[]);
        assert_eq!(config.unwrap().mirror.access.len(), 2);
        let variable = ("RETRACE_MIRROR_ACCESS", "[{ distribution = 'rhel', credentials = '/no/such/file' }]");
        let problems = parse("", &[variable]).unwrap().problems();
        assert!(problems.iter().any(|problem| problem.contains("credentials /no/such/file")), "{problems:?}");
    }

    #[test]
    fn rules_for_repositories_are_read_and_checked() {
        let text = "[[repository]]\nmode = 'full'\n[[repository]]\nrelease = 'fedora-*'\nrepository = 'updates*'\n\
                    mode = 'filtered'\nreferenced = true\nnewest = 2\nsignatures = 'both'\npriority = 10";
        let config = parse(text, &[]).unwrap();
        assert_eq!(config.repository.len(), 2);
        assert_eq!(config.repository.last().unwrap().newest, Some(2));
        let shown = toml::to_string(&config).unwrap();
        assert_eq!(parse(&shown, &[]).unwrap(), config);

        let wrong = parse("[[repository]]\nmode = 'full'\nnewest = 2", &[]).unwrap().problems();
        assert!(
            wrong.iter().any(|problem| problem.starts_with("[[repository]] 1: `newest` has no effect")),
            "{wrong:?}"
        );
        for invalid in ["mode = 'some'", "enable = true", "repository = ''", "newest = -1"] {
            assert!(parse(&format!("[[repository]]\n{invalid}"), &[]).is_err(), "{invalid}");
        }
    }

    #[test]
    fn a_variable_of_no_key_is_refused() {
        let error = parse("", &[("RETRACE_STATEDIR", "/x")]).unwrap_err();
        assert!(format!("{error:#}").contains("RETRACE_STATEDIR"));
    }

    #[test]
    fn what_is_shown_is_read_back() {
        let shown = toml::to_string(&Config::default()).unwrap();
        assert_eq!(parse(&shown, &[]).unwrap(), Config::default());
    }
}
