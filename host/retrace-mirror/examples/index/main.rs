//! The index of a whole distribution release: how long it takes to fill, how large it is, how fast it answers.
//!
//! `index generate DIR COUNT` writes made-up rpm-md metadata that names COUNT build-ids; `index load DIR STATE [URL]` syncs
//! it into an empty store, with its database in PostgreSQL if there is a URL, and prints figures of `make bench NAME=mirror`.

mod generate;

use std::{error::Error, fs, path::Path, time::Instant};

use retrace_mirror::{Mirror, MirrorOptions, Outcome};
use retrace_store::{Scope, Store, StoreOptions};
use retrace_types::{
    Architecture, BuildId, Release, RepositoryContent, RepositoryLayout, RepositorySpec, SignaturePolicy,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["generate", dir, count] => {
            let count = count.parse()?;
            generate::generate(&Path::new(dir).join("1"), count, 1)?;
            Ok(generate::generate(&Path::new(dir).join("2"), count, 2)?)
        }
        ["load", dir, state] => load(Path::new(dir), Path::new(state)).await,
        ["load", dir, state, url] => load_postgres(Path::new(dir), Path::new(state), url).await,
        _ => Err("usage: index generate DIR COUNT | index load DIR EMPTY_DIR [POSTGRES_URL]".into()),
    }
}

fn specs(dir: &Path) -> Vec<RepositorySpec> {
    let spec = |id: &str, content| RepositorySpec {
        id: id.to_owned(),
        title: id.to_owned(),
        layout: RepositoryLayout::RpmMd,
        content,
        mirrors: vec![dir.join(id).display().to_string()],
        signatures: SignaturePolicy::OFF,
        keys: Vec::new(),
        config: Vec::new(),
    };
    vec![spec("os", RepositoryContent::Packages), spec("debug", RepositoryContent::DebugInfo)]
}

async fn load(dir: &Path, state: &Path) -> Result<()> {
    let store = Store::open(&state.join("store")).await?;
    let options = MirrorOptions { download_dir: state.join("downloads"), ..MirrorOptions::default() };
    let mirror = Mirror::new(store.clone(), options)?;
    let (packages, build_ids, seconds) = sync(&mirror, &dir.join("1")).await?;
    let memory = peak_memory_mib()?;
    println!("{packages} packages, {build_ids} build-ids into an empty index, peak memory {memory} MiB");
    figure("mirror-index-sqlite", seconds, "s", 10.0);
    store.close().await;

    let store = Store::open(&state.join("store")).await?;
    let bytes = fs::metadata(state.join("store/retrace.db"))?.len();
    #[expect(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52")]
    figure("mirror-index-bytes-per-build-id", bytes as f64 / build_ids as f64, "bytes", 80.0);
    let (one, core) = look_up(&store).await?;
    figure("mirror-lookup-one", one, "us", 50.0);
    figure("mirror-lookup-core", core, "ms", 2.0);

    let mirror =
        Mirror::new(store, MirrorOptions { download_dir: state.join("downloads"), ..MirrorOptions::default() })?;
    let (_, _, seconds) = sync(&mirror, &dir.join("2")).await?;
    let log = fs::metadata(state.join("store/retrace.db-wal")).map_or(0, |file| file.len());
    println!("the next revision, every hundredth source package newer: {seconds:.2} s, log of {} KiB", log / 1024);
    Ok(())
}

async fn load_postgres(dir: &Path, state: &Path, url: &str) -> Result<()> {
    let database = StoreOptions { postgres_url: Some(url.to_owned()), artifacts: None };
    let store = Store::open_with(&state.join("store"), &database).await?;
    let options = MirrorOptions { download_dir: state.join("downloads"), ..MirrorOptions::default() };
    let mirror = Mirror::new(store.clone(), options)?;
    let (packages, build_ids, seconds) = sync(&mirror, &dir.join("1")).await?;
    println!("{packages} packages, {build_ids} build-ids into PostgreSQL");
    figure("mirror-index-postgres", seconds, "s", 20.0);
    let (one, core) = look_up(&store).await?;
    println!("PostgreSQL by TCP: one build-id in {one:.0} us, 100 in {core:.2} ms");
    let (_, _, seconds) = sync(&mirror, &dir.join("2")).await?;
    println!("the next revision, every hundredth source package newer: {seconds:.2} s");
    Ok(())
}

/// Packages, build-ids and seconds.
async fn sync(mirror: &Mirror, dir: &Path) -> Result<(u64, u64, f64)> {
    let release = Release { id: "bench-1".parse()?, minor: None, codename: None, rolling: false };
    let start = Instant::now();
    let report = mirror.sync(&release, "x86_64".parse::<Architecture>()?, &specs(dir), &()).await?;
    let seconds = start.elapsed().as_secs_f64();
    let mut sum = (0, 0);
    for repository in report.repositories {
        match repository.outcome {
            Outcome::Updated { packages, build_ids } => sum = (sum.0 + packages, sum.1 + build_ids),
            other => return Err(format!("{} was not indexed: {other:?}", repository.id).into()),
        }
    }
    Ok((sum.0, sum.1, seconds))
}

/// Medians: microseconds for one build-id, milliseconds for the hundred modules of a core.
async fn look_up(store: &Store) -> Result<(f64, f64)> {
    const CORES: u64 = 200;
    let scope = Scope { release: "bench-1".parse()?, architecture: "x86_64".parse()? };
    // Of the first file of the first package of many sources.
    let of_source = |number: u64| -> Result<BuildId> {
        let newer = u64::from(number.is_multiple_of(100));
        Ok(generate::build_id(number, newer, 0, 0).parse()?)
    };
    let (mut one, mut core) = (Vec::new(), Vec::new());
    for n in 0..CORES {
        let ids = (0..100).map(|m| of_source((n * 37 + m * 97) % 10_000)).collect::<Result<Vec<_>>>()?;
        let start = Instant::now();
        let found = store.find_build_ids(Some(&scope), &ids).await?;
        core.push(start.elapsed().as_secs_f64() * 1e3);
        if found.len() != 100 || found.values().any(|providers| providers.len() != 2) {
            return Err(format!("{} of 100 build-ids were found in both packages", found.len()).into());
        }
        for id in ids.iter().step_by(10) {
            let start = Instant::now();
            let found = store.find_build_ids(Some(&scope), std::slice::from_ref(id)).await?;
            one.push(start.elapsed().as_secs_f64() * 1e6);
            if !found.contains_key(id) {
                return Err(format!("{id} was not found").into());
            }
        }
    }
    Ok((median(one), median(core)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn figure(name: &str, value: f64, unit: &str, goal: f64) {
    println!("bench {name}: {value:.2} {unit}, goal <= {goal}: {}", if value <= goal { "met" } else { "missed" });
}

/// Source: `VmHWM` in proc_pid_status(5).
fn peak_memory_mib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the system tells no peak memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}
