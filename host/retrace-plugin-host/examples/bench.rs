//! What plugins cost: loading from the cache, and calls. `make bench NAME=plugin` runs it.
//!
//! Arguments: the folder of the plugins, a folder for the cache. One line for each figure, medians.

use std::{
    error::Error,
    path::PathBuf,
    time::{Duration, Instant},
};

use retrace_plugin_host::{HostOptions, PluginHost, ReleaseSource};
use retrace_types::Architecture;

const LOADS: usize = 21;
const CALLS: usize = 501;

const DEBIAN: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n\
                      VERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(plugin_dir), Some(cache_dir)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bench PLUGIN_DIR CACHE_DIR".into());
    };
    let options = HostOptions { plugin_dir, cache_dir, ..HostOptions::default() };
    let compiled = Instant::now();
    let host = PluginHost::load(&options)?.registry();
    if let Some(fault) = host.faults().first() {
        return Err(fault.error.to_string().into());
    }
    println!(
        "loaded {} plugins the first time in {:.0} ms",
        host.plugins().count(),
        compiled.elapsed().as_secs_f64() * 1e3
    );

    let mut loads = Vec::new();
    for _ in 0..LOADS {
        let host = PluginHost::load(&options)?.registry();
        if host.plugins().any(|plugin| !plugin.info().from_cache) {
            return Err("a plugin was compiled again: the cache does not work".into());
        }
        loads.extend(host.plugins().map(|plugin| plugin.info().load_time));
    }
    report("plugin-load-from-cache", &mut loads, 1e3, "ms", 5.0);

    let source = ReleaseSource::OsRelease(DEBIAN.to_owned());
    let release = host.select_by_text(&source).decision?.release;
    let plugins = host.plugins().count();
    // Every plugin is asked: a fresh instance for each.
    let mut asked = time(|| host.select_by_text(&source).decision.is_ok());
    for duration in &mut asked {
        *duration /= u32::try_from(plugins)?;
    }
    report("plugin-call-parse-release", &mut asked, 1e6, "us", 1000.0);
    let mut repositories = time(|| host.repositories(&release, Architecture::X86_64).is_ok());
    report("plugin-call-repositories", &mut repositories, 1e6, "us", 1000.0);
    Ok(())
}

fn time(mut call: impl FnMut() -> bool) -> Vec<Duration> {
    let one = |_| {
        let start = Instant::now();
        assert!(call(), "a call failed");
        start.elapsed()
    };
    (0..CALLS).map(one).collect()
}

fn report(name: &str, durations: &mut [Duration], scale: f64, unit: &str, limit: f64) {
    durations.sort();
    let median = durations.get(durations.len() / 2).map_or(f64::NAN, Duration::as_secs_f64) * scale;
    let verdict = if median <= limit { "met" } else { "missed" };
    println!("bench {name}: {median:.2} {unit}, goal <= {limit} {unit}: {verdict}");
}
