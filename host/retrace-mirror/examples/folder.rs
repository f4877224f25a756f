//! Indexes a folder of packages without metadata, into an empty store. `make bench NAME=mirror` compares it with debuginfod.
//!
//! Arguments: the folder, an empty folder for the store. Prints packages, build-ids and seconds, tab-separated.

use std::{error::Error, path::Path, time::Instant};

use retrace_mirror::{Mirror, MirrorOptions, Outcome};
use retrace_store::Store;
use retrace_types::{Architecture, Release, RepositoryContent, RepositoryLayout, RepositorySpec, SignaturePolicy};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, state] = arguments.as_slice() else { return Err("usage: folder FOLDER EMPTY_DIR".into()) };
    let start = Instant::now();
    let store = Store::open(Path::new(state)).await?;
    let options = MirrorOptions { download_dir: Path::new(state).join("downloads"), ..MirrorOptions::default() };
    let mirror = Mirror::new(store, options)?;
    let spec = RepositorySpec {
        id: "folder".to_owned(),
        title: "Folder of packages".to_owned(),
        layout: RepositoryLayout::Directory,
        content: RepositoryContent::Packages,
        mirrors: vec![folder.clone()],
        signatures: SignaturePolicy::OFF,
        keys: Vec::new(),
        config: Vec::new(),
    };
    let release = Release { id: "bench-1".parse()?, minor: None, codename: None, rolling: false };
    let report = mirror.sync(&release, "x86_64".parse::<Architecture>()?, &[spec], &()).await?;
    let seconds = start.elapsed().as_secs_f64();
    match report.repositories.first().map(|repository| &repository.outcome) {
        Some(Outcome::Updated { packages, build_ids }) => println!("{packages}\t{build_ids}\t{seconds:.4}"),
        other => return Err(format!("the folder was not indexed: {other:?}").into()),
    }
    Ok(())
}
