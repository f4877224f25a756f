use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use retrace_plugin_host::{
    Claim, HostOptions, Limits, PackageRef, PluginError, PluginHost, Registry, ReleaseError, ReleaseSource,
};
use retrace_types::Release;
use tempfile::TempDir;

/// A host with its registry, and the folders that it works on; they are removed when it is dropped.
pub(crate) struct TestHost {
    registry: Arc<Registry>,
    _host: PluginHost,
    _dir: TempDir,
}

impl std::ops::Deref for TestHost {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

/// Short questions for tests.
pub(crate) trait Pick {
    fn pick_release(&self, source: &ReleaseSource) -> Result<Release, ReleaseError>;
    fn pick_guess(&self, subject: &PackageRef) -> Result<Claim, ReleaseError>;
}

impl Pick for Registry {
    fn pick_release(&self, source: &ReleaseSource) -> Result<Release, ReleaseError> {
        self.select_by_text(source).decision.map(|claim| claim.release)
    }

    fn pick_guess(&self, subject: &PackageRef) -> Result<Claim, ReleaseError> {
        self.select_by_package(subject).decision
    }
}

/// Why files do not serve.
pub(crate) fn faults(registry: &Registry) -> Vec<&PluginError> {
    registry.faults().iter().map(|fault| &*fault.error).collect()
}

/// Folder with the built plugins.
pub(crate) fn plugin_dir() -> PathBuf {
    if let Some(dir) = env::var_os("RETRACE_PLUGIN_DIR") {
        return dir.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("wasm32-wasip2/plugin")
}

/// The bytes of a built component: `retrace_plugin_debian`, `examples/bad_calls`.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let path = plugin_dir().join(name).with_extension("wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("cannot read {} ({error}): run `make plugins`", path.display()))
}

/// A host with these components, under these names.
pub(crate) fn host_with(files: &[(&str, &[u8])], limits: Limits) -> TestHost {
    let dir = tempfile::tempdir().unwrap();
    let options = options_in(dir.path(), limits);
    fs::create_dir(&options.plugin_dir).unwrap();
    for (name, bytes) in files {
        fs::write(options.plugin_dir.join(name), bytes).unwrap();
    }
    let host = PluginHost::load(&options).unwrap();
    TestHost { registry: host.registry(), _host: host, _dir: dir }
}

/// Options for a host with the folders `plugins` and `cache`.
pub(crate) fn options_in(dir: &Path, limits: Limits) -> HostOptions {
    HostOptions { plugin_dir: dir.join("plugins"), cache_dir: dir.join("cache"), limits, ..HostOptions::default() }
}

/// A host with the shipped plugins.
pub(crate) fn shipped() -> TestHost {
    let (debian, fedora) = (component("retrace_plugin_debian"), component("retrace_plugin_fedora"));
    let host = host_with(&[("debian.wasm", &debian), ("fedora.wasm", &fedora)], Limits::default());
    assert!(host.faults().is_empty(), "{:?}", host.faults());
    host
}

/// A host with the plugin that misbehaves in its calls.
pub(crate) fn bad() -> TestHost {
    // It fails in every test, and often: the breaker is not what they are about.
    let limits = Limits { breaker_failures: 10_000, ..Limits::default() };
    let host = host_with(&[("bad.wasm", &component("examples/bad_calls"))], limits);
    assert!(host.faults().is_empty(), "{:?}", host.faults());
    host
}

/// Every os-release file that the plugins have as a fixture, with its name.
pub(crate) fn corpus() -> Vec<(String, String)> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let mut corpus = Vec::new();
    for plugin in fs::read_dir(plugins).unwrap() {
        let Ok(fixtures) = fs::read_dir(plugin.unwrap().path().join("fixtures")) else { continue };
        for fixture in fixtures {
            let path = fixture.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "os-release") {
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            corpus.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    corpus.sort();
    assert!(corpus.len() >= 8, "the corpus is missing");
    corpus
}
