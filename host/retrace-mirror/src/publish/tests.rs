//! The tree of a store that names hostile things: what a sync would refuse must not harm here either.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _};

use retrace_package::PackageError;
use retrace_store::{NewPackage, NewRepository};
use retrace_types::{
    Architecture, PackageFormat, PackageId, PackageKind, RepositoryContent, RepositoryLayout, RepositorySpec,
    SignaturePolicy, SignatureState,
};
use tempfile::TempDir;

use super::*;
use crate::checksum;

/// A store with one Debian repository, and a folder for its tree.
struct Bench {
    dir: TempDir,
    store: Store,
    repository: Repository,
}

impl Bench {
    /// Of packages with these ids and architectures in their control files.
    async fn new(name: &str, packages: &[(PackageId, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).await.unwrap();
        let layout = RepositoryLayout::DebDists { suite: name.into(), components: vec![name.into(), "main".into()] };
        let spec = RepositorySpec {
            id: name.into(),
            title: name.into(),
            layout,
            content: RepositoryContent::Packages,
            mirrors: Vec::new(),
            signatures: SignaturePolicy { metadata: true, packages: false },
            keys: Vec::new(),
            config: Vec::new(),
        };
        let release: retrace_types::ReleaseId = "fixture-1".parse().unwrap();
        let architecture = Architecture::X86_64;
        let new = NewRepository { release: release.clone(), architecture, spec, keys_armored: String::new() };
        let key = store.register_repository(&new).await.unwrap();
        let files: Vec<_> = packages.iter().enumerate().map(|(i, (_, arch))| deb(i, arch)).collect();
        let new: Vec<_> =
            packages.iter().zip(&files).enumerate().map(|(i, ((id, _), file))| new_package(i, id, file)).collect();
        store.replace_metadata(key, "1", &new, &[]).await.unwrap();
        let scope = Scope { release, architecture };
        for (package, file) in new.iter().zip(&files) {
            let (sha256, path) = (checksum::sha256(file), dir.path().join("package"));
            fs::write(&path, file).unwrap();
            store.take_package_file(&path, &sha256).await.unwrap();
            fs::remove_file(&path).unwrap();
            let found = store.find_packages(&scope, &package.id.name).await.unwrap();
            let found = found.iter().find(|found| found.sha256 == Some(sha256)).unwrap();
            let signature = SignatureState::Metadata { fingerprint: "AB".into() };
            store.record_local_copy(found.key, &sha256, file.len() as u64, &signature).await.unwrap();
        }
        let repository = store.repository(key).await.unwrap();
        Self { dir, store, repository }
    }

    async fn publish(&self) -> Publication {
        let options = Arc::new(PublishOptions { dir: self.dir.path().join("tree"), signer: None });
        publish(&self.store, &self.repository, &options, &()).await.unwrap()
    }
}

fn new_package(i: usize, id: &PackageId, file: &[u8]) -> NewPackage {
    NewPackage {
        id: id.clone(),
        kind: PackageKind::Binary,
        format: PackageFormat::Deb,
        location: format!("pool/{i}/{}", id.name),
        size_bytes: Some(file.len() as u64),
        sha256: Some(checksum::sha256(file)),
        source: Some(id.name.clone()),
        exact_depends: Vec::new(),
        build_ids: Default::default(),
        complete: true,
    }
}

fn id(name: &str, arch: &str) -> PackageId {
    PackageId { name: name.into(), epoch: None, version: name.into(), release: None, arch: arch.into() }
}

/// A .deb that has a control file only. Source: deb(5), tar(5).
fn deb(i: usize, arch: &str) -> Vec<u8> {
    let control = format!("Package: p{i}\nVersion: 1\nArchitecture: {arch}\n");
    let mut header = vec![0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "./control");
    put(100, "0000644\0");
    put(124, &format!("{:011o}\0", control.len()));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = [header, control.into_bytes()].concat();
    tar.resize(2048, 0);
    let mut file = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", b"2.0\n".to_vec()), ("control.tar", tar), ("data.tar", vec![0; 1024])] {
        file.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
        file.extend(content);
    }
    file
}

/// Every file below a folder; a link would be one.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

#[tokio::test]
async fn hostile_names_stay_in_the_folder_of_their_repository() {
    let hostile = [
        "../../../../outside",
        "/etc/outside",
        "..",
        ".hidden",
        "a/../../../../outside",
        "a\n/../b",
        "-rf",
        "a\0b",
        "ä",
    ];
    for repository in hostile {
        let packages: Vec<_> =
            hostile.iter().flat_map(|name| [(id(name, name), "all"), (id(name, "amd64"), "amd64")]).collect();
        let bench = Bench::new(repository, &packages).await;
        let done = bench.publish().await;
        assert_eq!((done.packages, &done.left_out), (packages.len() as u64, &Vec::new()), "{repository:?}");
        assert_eq!((done.linked, done.copied), (packages.len() as u64, 0));
        let around: BTreeSet<_> =
            fs::read_dir(bench.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(around, ["store", "tree"].map(Into::into).into());
        assert_eq!(done.folder.parent().unwrap(), bench.dir.path().join("tree/fixture/1/x86_64"));
        let all = files(&bench.dir.path().join("tree"));
        assert!(all.iter().all(|file| file.starts_with(&done.folder)), "{all:?}");
        let debs: Vec<_> = all.iter().filter(|file| file.extension().is_some_and(|end| end == "deb")).collect();
        assert_eq!(debs.len(), packages.len());
        for deb in debs {
            assert!(deb.starts_with(done.folder.join("pool")), "{}", deb.display());
            let data = fs::symlink_metadata(deb).unwrap();
            assert!(data.is_file() && data.nlink() == 2, "{}", deb.display());
        }
        assert!(bench.publish().await.is_unchanged());
    }
}

#[tokio::test]
async fn a_repository_of_many_architectures_is_bounded() {
    let architectures: Vec<_> = (0..100).map(|i| format!("cpu{i}")).collect();
    let packages: Vec<_> = architectures.iter().map(|arch| (id(arch, arch), arch.as_str())).collect();
    let done = Bench::new("base", &packages).await.publish().await;
    assert_eq!((done.packages, done.left_out.len()), (32, 68));
    assert!(done.left_out.iter().all(|package| package.reason.contains("none of this repository's")));
}

/// `Read` with an error of the system is the machine's fault; what a decompressor says is the package's.
#[test]
fn faults_of_the_machine_may_pass() {
    let read = |source| PackageError::Read { path: "x".into(), source };
    for (error, want) in [
        (read(std::io::Error::from_raw_os_error(5)), true),
        (read(std::io::Error::other("invalid deflate stream")), false),
        (PackageError::NotAPackage { path: "x".into() }, false),
    ] {
        assert_eq!(build::Refusal::from(error).may_pass, want);
    }
}
