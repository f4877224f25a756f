//! What plugins cost, good ones and bad ones. `make bench NAME=plugin` runs it.
//!
//! Arguments: the folder of the plugins, an empty folder, the `retrace` program. One line for each figure, medians.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use retrace_plugin_host::{
    CallFailure, Compiler, EngineMode, FailureKind, Function, HostOptions, Limits, Loader, PluginError, PluginHost,
    ReleaseSource,
};
use serde_json::json;
use wasm_encoder::{BlockType, CodeSection, FunctionSection, Instruction, Module, ModuleSection, TypeSection, ValType};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const LOADS: usize = 21;
const CALLS: usize = 501;
const STOPS: usize = 9;
/// A worker is ready with so many plugins; where fewer are built, copies of them under other names stand in.
const PLUGINS: usize = 12;
const RELOAD_CALLS: usize = 10_000;
const SWAPS: usize = 20;

const DEBIAN: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n\
                      VERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n";

fn main() -> Outcome {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(plugin_dir), Some(dir), Some(program)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: bench PLUGIN_DIR EMPTY_DIR RETRACE".into());
    };
    let compiler = Compiler::Child { program };
    let options = HostOptions { plugin_dir, cache_dir: dir.join("cache"), compiler, ..HostOptions::default() };
    loads(&options)?;
    calls(&options)?;
    stops(&options)?;
    workers_start(&options, &dir.join("twelve"))?;
    reload(&options, &dir.join("reload"))?;
    bombs(&options, &dir.join("bombs"))
}

fn loads(options: &HostOptions) -> Outcome {
    let started = Instant::now();
    let host = PluginHost::load(options)?.registry();
    if let Some(fault) = host.faults().first() {
        return Err(fault.error.to_string().into());
    }
    let count = host.plugins().count();
    println!("compiled and loaded {count} plugins the first time in {:.0} ms", ms(started.elapsed()));

    let mut loads = Vec::new();
    for _ in 0..LOADS {
        let host = PluginHost::load(options)?.registry();
        for plugin in host.plugins() {
            if !plugin.info().from_cache {
                return Err("a plugin was compiled again: the cache does not work".into());
            }
            // To the answer of describe, the first call, and one more.
            let started = Instant::now();
            plugin.session().parse_release(&ReleaseSource::OsRelease(DEBIAN.to_owned())).ok();
            loads.push(plugin.info().load_time + started.elapsed());
        }
    }
    report("plugin-load-and-first-call", ms(median(&mut loads)), "ms", "<=", 2.0);
    Ok(())
}

fn calls(options: &HostOptions) -> Outcome {
    let host = PluginHost::load(options)?.registry();
    let plugin = host.plugin(&"debian".parse()?)?;
    let source = ReleaseSource::OsRelease(DEBIAN.to_owned());
    let mut fresh = time(CALLS, || plugin.session().parse_release(&source).is_ok_and(|release| release.is_some()));
    report("plugin-fresh-call", us(median(&mut fresh)), "us", "<=", 100.0);
    let mut job = plugin.job();
    let mut warm = time(CALLS, || job.parse_release(&source).is_ok());
    report("plugin-call-in-a-job", us(median(&mut warm)), "us", "<=", 10.0);

    let names: Vec<_> = (0..1_000).map(|i| format!("bash_5.2.{i}-2+b7_amd64.deb")).collect();
    let mut batch = time(51, || plugin.session().parse_file_names(&names).is_ok_and(|answers| answers.len() == 1_000));
    report("plugin-batch-of-1000-names", us(median(&mut batch)) / 1_000.0, "us a name", "<=", 5.0);
    Ok(())
}

/// An endless loop and a plugin that eats memory.
fn stops(options: &HostOptions) -> Outcome {
    let loader = Loader::new(EngineMode::Production, &options.limits, &options.cache_dir, options.compiler.clone())?;
    let path = options.plugin_dir.join("examples/bad_calls.wasm");
    let plugin = loader.plugin(&fs::read(&path)?, &path)?;
    let stopped = |how: &str, want: FailureKind| {
        let input = json!({ "source": { "named": [how, ""] } });
        let one =
            || plugin.guest().call(Function::ParseRelease, &input).answer == Err(CallFailure::Plugin(want.clone()));
        ms(median(&mut time(STOPS, one)))
    };
    report("plugin-endless-loop-stopped", stopped("loop", FailureKind::Deadline), "ms", "<=", 120.0);
    report("plugin-64-mib-hog-stopped", stopped("hog", FailureKind::OutOfMemory), "ms", "<=", 120.0);
    Ok(())
}

/// From nothing to a worker's registry, everything compiled before.
fn workers_start(options: &HostOptions, dir: &Path) -> Outcome {
    fs::create_dir_all(dir)?;
    let built: Vec<_> = PluginHost::load(options)?.registry().plugins().map(|plugin| plugin.info().clone()).collect();
    for i in 0..PLUGINS {
        let Some(info) = built.get(i % built.len().max(1)) else { return Err("no plugin is built".into()) };
        let mut bytes = fs::read(&info.path)?;
        if i >= built.len() {
            // A custom section makes it another component with code of its own; it is loaded, and refused only as a rival.
            bytes.extend([0, 3, 1, b'n', u8::try_from(i)?]);
        }
        fs::write(dir.join(format!("{i:02}.wasm")), bytes)?;
    }
    let options = HostOptions { plugin_dir: dir.to_owned(), ..options.clone() };
    PluginHost::load(&options)?;
    let start = || {
        let host = PluginHost::open(&options).ok()?;
        let registry = host.registry();
        let loaded = registry.plugins().count() + registry.faults().len();
        (registry.warming().is_empty() && loaded == PLUGINS).then_some(())
    };
    let mut starts = time(LOADS, || start().is_some());
    println!("of the {PLUGINS} plugins, {} are built and the others copies", built.len().min(PLUGINS));
    report("plugin-worker-start-with-12", ms(median(&mut starts)), "ms", "<=", 50.0);
    Ok(())
}

/// Two versions of a plugin change places while four threads ask.
fn reload(options: &HostOptions, dir: &Path) -> Outcome {
    fs::create_dir_all(dir)?;
    let registry = PluginHost::load(options)?.registry();
    let original = fs::read(&registry.plugin(&"debian".parse()?)?.info().path)?;
    let mut other = original.clone();
    other.extend([0, 3, 1, b'n', 1]);
    let put = |bytes: &[u8]| {
        fs::write(dir.join(".new"), bytes).and_then(|()| fs::rename(dir.join(".new"), dir.join("p.wasm")))
    };
    put(&original)?;
    let host = PluginHost::load(&HostOptions { plugin_dir: dir.to_owned(), ..options.clone() })?;
    let (answered, lost, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let mut swaps = Vec::new();
    thread::scope(|scope| -> Outcome {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) || answered.load(Ordering::Relaxed) < RELOAD_CALLS {
                    let registry = host.registry();
                    let good = registry
                        .plugins()
                        .next()
                        .is_some_and(|plugin| plugin.guest().call(Function::Describe, &json!({})).answer.is_ok());
                    answered.fetch_add(1, Ordering::Relaxed);
                    lost.fetch_add(usize::from(!good), Ordering::Relaxed);
                }
            });
        }
        let swapped = (0..SWAPS).try_for_each(|i| -> Outcome {
            put(if i % 2 == 0 { &other } else { &original })?;
            let started = Instant::now();
            if !host.refresh()? {
                return Err("a change was not seen".into());
            }
            swaps.push(started.elapsed());
            thread::sleep(Duration::from_millis(10));
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        swapped
    })?;
    println!("{} calls under load, {SWAPS} swaps", answered.load(Ordering::Relaxed));
    report("plugin-calls-lost-by-reload", f64::from(u32::try_from(lost.load(Ordering::Relaxed))?), "calls", "<=", 0.0);
    report("plugin-reload-under-load", ms(median(&mut swaps)), "ms", "<=", 500.0);
    Ok(())
}

/// The component that keeps a compiler busy for minutes: with the limits as they are, and with those lifted that see it
/// before it is compiled, so that the child's limit has to stop it.
fn bombs(options: &HostOptions, dir: &Path) -> Outcome {
    let registry = PluginHost::load(options)?.registry();
    let mut bytes = fs::read(&registry.plugin(&"debian".parse()?)?.info().path)?;
    let bomb = bomb(2_000, 40_000);
    println!("the compile bomb has {} bytes", bomb.clone().finish().len());
    wasm_encoder::ComponentSection::append_to_component(&ModuleSection(&bomb), &mut bytes);
    let path = dir.join("bomb.wasm");
    let loader =
        |limits: &Limits| Loader::new(EngineMode::Production, limits, &dir.join("cache"), options.compiler.clone());
    fs::create_dir_all(dir)?;
    let careful = loader(&options.limits)?;
    let mut refused = time(STOPS, || matches!(careful.prepare(&bytes, &path), Err(PluginError::NotAPlugin { .. })));
    report("plugin-bomb-refused-unseen", ms(median(&mut refused)), "ms", "<=", 500.0);

    let limits = Limits {
        locals: u32::MAX,
        function_bytes: u64::MAX,
        compile_cpu: Duration::from_secs(5),
        ..options.limits.clone()
    };
    let host = Arc::new(PluginHost::load(options)?);
    let careless = loader(&limits)?;
    let (stop, started) = (AtomicBool::new(false), Instant::now());
    let source = ReleaseSource::OsRelease(DEBIAN.to_owned());
    let (error, mut meanwhile) = thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut calls = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                calls.extend(time(1, || host.registry().select_by_text(&source).decision.is_ok()));
                thread::sleep(Duration::from_millis(2));
            }
            calls
        });
        let error = careless.prepare(&bytes, &path).err();
        stop.store(true, Ordering::Relaxed);
        (error, serving.join().unwrap_or_default())
    });
    let Some(error) = error else { return Err("the bomb was compiled".into()) };
    println!("the child was stopped: {}", error.source().map_or_else(|| error.to_string(), ToString::to_string));
    report("plugin-bomb-stopped-after", started.elapsed().as_secs_f64(), "s", "<=", 120.0);
    let count = host.registry().plugins().count().max(1);
    let each = us(median(&mut meanwhile)) / f64::from(u32::try_from(count)?);
    report("plugin-fresh-call-meanwhile", each, "us", "<=", 1_000.0);
    Ok(())
}

/// A core module with one function of so many locals, and so many additions over them between branches. Beside a plugin's
/// own module it is compiled like that.
fn bomb(locals: u32, additions: u32) -> Module {
    let mut body = wasm_encoder::Function::new([(locals, ValType::I32)]);
    let local = |i: u32| i % locals.max(1);
    for i in 0..additions {
        body.instruction(&Instruction::Block(BlockType::Empty));
        for j in 0..4 {
            body.instruction(&Instruction::LocalGet(local(i.wrapping_mul(31).wrapping_add(j))))
                .instruction(&Instruction::LocalGet(local(i.wrapping_mul(17).wrapping_add(j * 7))))
                .instruction(&Instruction::I32Add)
                .instruction(&Instruction::LocalSet(local(i.wrapping_mul(13).wrapping_add(j * 3))));
        }
        body.instruction(&Instruction::LocalGet(local(i)))
            .instruction(&Instruction::BrIf(0))
            .instruction(&Instruction::LocalGet(local(i.wrapping_add(1))))
            .instruction(&Instruction::LocalGet(local(i.wrapping_add(2))))
            .instruction(&Instruction::I32Add)
            .instruction(&Instruction::LocalSet(local(i)))
            .instruction(&Instruction::End);
    }
    body.instruction(&Instruction::End);
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    functions.function(0);
    code.function(&body);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    module
}

fn time(count: usize, mut call: impl FnMut() -> bool) -> Vec<Duration> {
    let one = |_| {
        let start = Instant::now();
        assert!(call(), "not the wanted outcome");
        start.elapsed()
    };
    (0..count).map(one).collect()
}

fn median(durations: &mut [Duration]) -> Duration {
    durations.sort();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn report(name: &str, value: f64, unit: &str, op: &str, limit: f64) {
    let verdict = if value <= limit { "met" } else { "missed" };
    println!("bench {name}: {value:.2} {unit}, goal {op} {limit} {unit}: {verdict}");
}
