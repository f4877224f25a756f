//! `fetch_bench DAEMONS [MIB]`: how fast files come, against wget and rsync from the same server on loopback. DAEMONS is
//! `src/tests/daemons.py`. What is measured is the way of one large package into the store, checked by SHA-256 and size and
//! noted in the index; wget and rsync check nothing of that kind. Then, how long a sync of ten repositories takes that have
//! no news.

use std::{
    error::Error,
    fs::File,
    io::{self, Read as _},
    path::Path,
    time::{Duration, Instant},
};

use retrace_mirror::{Mirror, MirrorOptions, Outcome};
use retrace_process::{Child, Invocation, run, spawn};
use retrace_store::{Scope, Store};
use retrace_types::{
    Architecture, Release, RepositoryContent, RepositoryLayout, RepositorySpec, Sha256, SignaturePolicy,
};
use sha2::{Digest as _, Sha256 as Hasher};

const ROUNDS: usize = 9;
const LIMIT: f64 = 0.8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let daemons = args.next().ok_or("usage: fetch_bench DAEMONS [MIB]")?;
    let mib: u64 = args.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(512);
    let dir = tempfile::tempdir()?;
    let root = dir.path().join("root");
    std::fs::create_dir(&root)?;
    let sha256 = make_file(&root.join("large.rpm"), mib << 20)?;
    make_repository(&root, "large.rpm", mib << 20, &sha256.to_string())?;
    let script = std::fs::read_to_string(daemons)?;
    for (kind, tool) in [("http", "wget"), ("rsync", "rsync")] {
        let (_server, port) = start(&script, kind, &root, dir.path()).await?;
        let folder = if kind == "rsync" { "/mirror" } else { "" };
        let base = format!("{kind}://127.0.0.1:{port}{folder}");
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(by_tool(tool, &format!("{base}/large.rpm"), &dir.path().join("theirs")).await?);
            let state = dir.path().join("ours");
            ours.push(by_mirror(&base, &state).await?);
            std::fs::remove_dir_all(state)?;
        }
        let rate = |seconds: f64| Duration::from_secs(mib).as_secs_f64() / seconds;
        let (theirs, ours) = (median(theirs), median(ours));
        let ratio = theirs / ours;
        let verdict = if ratio >= LIMIT { "met" } else { "missed" };
        println!(
            "{kind}: {tool} {:.0} MiB/s, mirror {:.0} MiB/s, {} MiB resident at most",
            rate(theirs),
            rate(ours),
            peak_mib()
        );
        println!("bench mirror-fetch-vs-{tool}: {ratio:.2} x, goal >= {LIMIT}: {verdict}");
    }
    without_news(&script, dir.path()).await
}

const REPOSITORIES: usize = 10;

/// Syncs repositories of one server by HTTP twice; the second time nothing is new.
async fn without_news(script: &str, dir: &Path) -> Result<(), Box<dyn Error>> {
    let root = dir.join("repositories");
    for number in 0..REPOSITORIES {
        make_repository(&root.join(number.to_string()), "small.rpm", 9, &"ab".repeat(32))?;
    }
    let (_server, port) = start(script, "http", &root, dir).await?;
    let spec = |number: usize| spec(number.to_string(), format!("http://127.0.0.1:{port}/{number}"));
    let specs: Vec<_> = (0..REPOSITORIES).map(spec).collect();
    let options = MirrorOptions { download_dir: dir.join("synced"), ..MirrorOptions::default() };
    let mirror = Mirror::new(Store::open(&dir.join("store")).await?, options)?;
    let release = release()?;
    let mut seconds = Vec::new();
    for round in 0..=ROUNDS {
        let start = Instant::now();
        let report = mirror.sync(&release, Architecture::X86_64, &specs, &()).await?;
        let is_first = round == 0;
        for repository in report.repositories {
            match repository.outcome {
                Outcome::Updated { .. } if is_first => {}
                Outcome::Unchanged if !is_first => {}
                other => return Err(format!("repository {} in round {round}: {other:?}", repository.id).into()),
            }
        }
        if !is_first {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let seconds = median(seconds);
    let verdict = if seconds < 1.0 { "met" } else { "missed" };
    println!("bench mirror-sync-without-news: {seconds:.3} s, goal < 1 s: {verdict}");
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn make_repository(dir: &Path, package: &str, size_bytes: u64, sha256: &str) -> io::Result<()> {
    let data = dir.join("repodata");
    std::fs::create_dir_all(&data)?;
    let primary = format!(
        r#"<metadata packages="1"><package type="rpm"><name>bench</name><arch>x86_64</arch>
        <version epoch="0" ver="1" rel="1"/><checksum type="sha256" pkgid="YES">{sha256}</checksum>
        <size package="{size_bytes}"/><location href="{package}"/></package></metadata>"#
    );
    let sha256 = Sha256::from_bytes(Hasher::digest(&primary).into());
    std::fs::write(data.join("primary.xml"), &primary)?;
    let repomd = format!(
        r#"<repomd><revision>1700000000</revision><data type="primary"><checksum type="sha256">{sha256}</checksum>
        <location href="repodata/primary.xml"/><size>{}</size></data></repomd>"#,
        primary.len()
    );
    std::fs::write(data.join("repomd.xml"), repomd)
}

/// Random enough that nothing compresses it, and its digest.
fn make_file(path: &Path, size: u64) -> io::Result<Sha256> {
    let mut random = File::open("/dev/urandom")?.take(size);
    io::copy(&mut random, &mut File::create(path)?)?;
    let mut hasher = Hasher::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(Sha256::from_bytes(hasher.finalize().into()))
}

async fn start(script: &str, kind: &str, root: &Path, dir: &Path) -> Result<(Child, u16), Box<dyn Error>> {
    let port_file = dir.join(format!("{kind}.port"));
    let _ = std::fs::remove_file(&port_file);
    let call = Invocation::new("/usr/bin/python3").args(["-c", script, kind]).arg(&port_file).arg(root);
    let child = spawn(&call.env("PATH", std::env::var_os("PATH").unwrap_or_default()))?;
    for _ in 0..200 {
        if let Ok(port) = std::fs::read_to_string(&port_file) {
            return Ok((child, port.parse()?));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("the {kind} server does not start").into())
}

fn spec(id: String, mirror: String) -> RepositorySpec {
    RepositorySpec {
        title: id.clone(),
        id,
        layout: RepositoryLayout::RpmMd,
        content: RepositoryContent::Packages,
        mirrors: vec![mirror],
        signatures: SignaturePolicy::OFF,
        keys: Vec::new(),
        config: Vec::new(),
    }
}

fn release() -> Result<Release, Box<dyn Error>> {
    Ok(Release { id: "bench-1".parse()?, minor: None, codename: None, rolling: false })
}

/// Seconds until the package is in a store that knows its repository already.
async fn by_mirror(base: &str, state: &Path) -> Result<f64, Box<dyn Error>> {
    let store = Store::open(&state.join("store")).await?;
    let options = MirrorOptions { download_dir: state.join("downloads"), ..MirrorOptions::default() };
    let mirror = Mirror::new(store.clone(), options)?;
    let release = release()?;
    let specs = [spec("bench".to_owned(), base.to_owned())];
    mirror.sync(&release, Architecture::X86_64, &specs, &()).await?;
    let scope = Scope { release: release.id, architecture: Architecture::X86_64 };
    let packages = store.find_packages(&scope, "bench").await?;
    let package = packages.first().ok_or("the package is not in the index")?;
    let start = Instant::now();
    mirror.fetch(package, &()).await?;
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds that another program takes.
async fn by_tool(tool: &str, url: &str, to: &Path) -> Result<f64, Box<dyn Error>> {
    let call = Invocation::new(tool).time_limit(Duration::from_secs(600));
    let call = match tool {
        "wget" => call.args(["-q", "--no-proxy", "-O"]).arg(to).arg(url),
        _ => call.args(["-q", "--whole-file"]).arg(url).arg(to),
    };
    let start = Instant::now();
    run(&call).await?;
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_file(to)?;
    Ok(seconds)
}

/// Most memory that this process had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
