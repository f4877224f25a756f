//! Plugins and the real program: compiling in a child process, with its limits.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use retrace_plugin_host::{
    CompileError, Compiler, EngineMode, HostOptions, Limits, Loader, PluginError, PluginHost, ReleaseSource, Watcher,
};
use wasm_encoder::{
    BlockType, CodeSection, ComponentSection as _, Function, FunctionSection, Instruction, Module, ModuleSection,
    TypeSection, ValType,
};

fn program() -> Compiler {
    Compiler::Child { program: retrace_tests::target_dir().join("debug/retrace") }
}

/// A host with an empty folder of plugins, and a cache, below `dir`.
fn options(dir: &Path) -> HostOptions {
    let plugin_dir = dir.join("plugins");
    fs::create_dir(&plugin_dir).unwrap();
    HostOptions { plugin_dir, cache_dir: dir.join("cache"), compiler: program(), ..HostOptions::default() }
}

fn plugin_dir() -> PathBuf {
    let built = || retrace_tests::target_dir().join("wasm32-wasip2/plugin");
    std::env::var_os("RETRACE_PLUGIN_DIR").map_or_else(built, PathBuf::from)
}

fn debian() -> (PathBuf, Vec<u8>) {
    let path = plugin_dir().join("retrace_plugin_debian.wasm");
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}: run `make plugins`", path.display()));
    (path, bytes)
}

/// The plugin with a second core module: one function of so many locals, and additions over them between branches.
fn with_bomb(locals: u32, additions: u32) -> Vec<u8> {
    let mut body = Function::new([(locals, ValType::I32)]);
    for i in 0..additions {
        let local = |factor: u32| i.wrapping_mul(factor) % locals;
        for instruction in [
            Instruction::Block(BlockType::Empty),
            Instruction::LocalGet(local(31)),
            Instruction::LocalGet(local(17)),
            Instruction::I32Add,
            Instruction::LocalSet(local(13)),
            Instruction::LocalGet(local(7)),
            Instruction::BrIf(0),
            Instruction::LocalGet(local(3)),
            Instruction::LocalSet(local(5)),
            Instruction::End,
        ] {
            body.instruction(&instruction);
        }
    }
    body.instruction(&Instruction::End);
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    functions.function(0);
    code.function(&body);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    let (_, mut bytes) = debian();
    ModuleSection(&module).append_to_component(&mut bytes);
    bytes
}

#[test]
fn a_child_compiles_and_this_process_loads_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = debian();
    for mode in [EngineMode::Production, EngineMode::Measured] {
        let loader = Loader::new(mode, &Limits::default(), &dir.path().join("cache"), program()).unwrap();
        assert!(loader.prepare(&bytes, &path).unwrap(), "{mode:?}: the code of one mode does not run in the other");
        assert!(!loader.prepare(&bytes, &path).unwrap());
        let plugin = loader.plugin(&bytes, &path).unwrap();
        assert!(plugin.info().from_cache, "{mode:?}: what the child compiled is what this process looks for");
    }
    let left = fs::read_dir(dir.path().join("cache")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.as_encoded_bytes().starts_with(b".compile")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(dir.path().join("cache/wasmtime/modules").read_dir().unwrap().next().is_some());

    // Whoever takes compiled code away has it compiled again. By a rename: the engine's thread may still write statistics.
    fs::rename(dir.path().join("cache/wasmtime/modules"), dir.path().join("gone")).unwrap();
    let limits = Limits::default();
    let loader = Loader::new(EngineMode::Production, &limits, &dir.path().join("cache"), program()).unwrap();
    assert!(loader.prepare(&bytes, &path).unwrap());
}

/// The plugin of openSUSE serves both distributions, and both have a 15.6.
#[test]
fn a_version_names_the_release_of_the_distribution_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    fs::copy(plugin_dir().join("retrace_plugin_opensuse.wasm"), options.plugin_dir.join("opensuse.wasm")).unwrap();
    let registry = PluginHost::load(&options).unwrap().registry();
    for (asked, version, want) in [
        ("sles", "15.6", "sles 15.6"),
        ("opensuse-leap", "15.6", "opensuse-leap 15.6"),
        ("opensuse", "15.6", "opensuse-leap 15.6"),
    ] {
        let found = registry.release_by_version(&asked.parse().unwrap(), version).unwrap().id;
        assert_eq!(format!("{} {}", found.distro, found.version), want, "{asked} {version}");
    }
}

#[test]
fn a_compile_bomb_is_stopped_by_its_limits_while_others_serve() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = debian();
    let options = options(dir.path());
    fs::write(options.plugin_dir.join("debian.wasm"), &bytes).unwrap();
    let host = PluginHost::load(&options).unwrap();
    let bomb = with_bomb(2_000, 100_000);
    assert!(bomb.len() > 2_000_000, "{}", bomb.len());

    // As the limits are: seen before anything is compiled.
    let started = Instant::now();
    let refused = host.loader().prepare(&bomb, &path).unwrap_err();
    assert!(matches!(refused, PluginError::NotAPlugin { .. }), "{refused}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());

    // With those lifted that see it: the child's limits hold.
    let careless = Limits { locals: u32::MAX, function_bytes: u64::MAX, ..Limits::default() };
    let cases = [
        Limits { compile_cpu: Duration::from_secs(2), ..careless.clone() },
        Limits { compile_wall: Duration::from_secs(3), ..careless.clone() },
        Limits { compile_memory_bytes: 200 << 20, ..careless },
    ];
    for (i, limits) in cases.into_iter().enumerate() {
        let loader = Loader::new(EngineMode::Production, &limits, &dir.path().join("bomb"), program()).unwrap();
        let (error, calls) = thread::scope(|scope| {
            let compiling = scope.spawn(|| loader.prepare(&bomb, &path).unwrap_err());
            let mut calls = 0;
            let source = ReleaseSource::OsRelease("ID=debian\nVERSION_ID=12\n".to_owned());
            while !compiling.is_finished() || calls == 0 {
                assert!(host.registry().select_by_text(&source).decision.is_ok());
                calls += 1;
            }
            (compiling.join().unwrap(), calls)
        });
        let PluginError::Compile { source, .. } = error else { panic!("case {i}: {error}") };
        let right = match i {
            0 | 1 => matches!(source, CompileError::TooLong { .. }),
            _ => matches!(source, CompileError::TooMuchMemory { .. } | CompileError::Broken { .. }),
        };
        assert!(right, "case {i}: {source}");
        assert!(calls > 0);
    }
}

#[test]
fn a_worker_starts_with_what_is_ready_and_compiles_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let put = |name: &str| {
        let built = plugin_dir().join(format!("retrace_plugin_{name}.wasm"));
        fs::copy(built, options.plugin_dir.join(format!("{name}.wasm"))).unwrap();
    };
    put("debian");
    PluginHost::load(&options).unwrap();
    put("fedora");
    let host = Arc::new(PluginHost::open(&options).unwrap());
    let registry = host.registry();
    let ids = |host: &PluginHost| -> Vec<_> {
        host.registry().plugins().map(|plugin| plugin.info().id.to_string()).collect()
    };
    assert_eq!(ids(&host), ["debian"]);
    assert_eq!(registry.warming(), [options.plugin_dir.join("fedora.wasm")]);
    let _watcher = Watcher::start(Arc::clone(&host), Duration::from_millis(50)).unwrap();
    let started = Instant::now();
    while ids(&host) != ["debian", "fedora"] {
        assert!(started.elapsed() < Duration::from_secs(120), "it is never compiled");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(host.registry().warming(), <[PathBuf; 0]>::default());
}

#[test]
fn a_compiler_that_is_no_compiler_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = debian();
    for program in ["/bin/true", "/bin/false", "/no/such/program"] {
        let compiler = Compiler::Child { program: Path::new(program).to_owned() };
        let cache = dir.path().join("cache");
        let loader = Loader::new(EngineMode::Production, &Limits::default(), &cache, compiler).unwrap();
        let error = loader.prepare(&bytes, &path).unwrap_err();
        assert!(matches!(error, PluginError::Compile { .. }), "{program}: {error}");
        assert!(!loader.is_ready(retrace_types::Sha256::from_bytes([0; 32])));
    }
}
