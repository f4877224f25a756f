//! Inputs with artifacts in a folder; with a bucket: `tests/integration/cluster.rs`.

use std::os::unix::fs::MetadataExt as _;

use retrace_types::{Sha256, TaskKind};

use super::*;
use crate::{
    NewTask,
    testing::{Test, on_both_databases},
};

on_both_databases!(with_a_folder_nothing_is_copied);

async fn with_a_folder_nothing_is_copied(test: Test) {
    let Test { dir, store, .. } = test;
    let new = NewTask { kind: TaskKind::Coredump, password_sha256: Sha256::from_bytes([1; 32]) };
    let id = store.create_task(&new).await.unwrap();
    let into = dir.path().join("into");
    assert!(!store.has_input(id).await.unwrap());
    assert!(matches!(store.task_input(id, &into).await, Err(StoreError::NoInput(task)) if task == id));
    fs::create_dir_all(store.input_dir(id)).unwrap();
    fs::write(store.input_dir(id).join("coredump"), b"core").unwrap();
    store.seal_input(id).await.unwrap();
    assert_eq!(store.task_input(id, &into).await.unwrap(), store.input_dir(id));
    assert!(!into.exists() && store.has_input(id).await.unwrap());
    store.remove_input(id).await.unwrap();
    store.remove_input(id).await.unwrap();
    assert!(!store.has_input(id).await.unwrap());
}

/// A bucket in memory: the transfer, not the service.
#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_file_arrives_as_it_was_and_takes_no_space_on_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core");
    const SIZE: u64 = 300 << 20;
    let mut file = File::create(&path).unwrap();
    let noise: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    file.write_all(&noise).unwrap();
    file.seek(SeekFrom::Start(200 << 20)).unwrap();
    file.write_all(b"in the middle").unwrap();
    file.set_len(SIZE).unwrap();

    let objects: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    let name = ObjectPath::from("core.zst");
    let (to, object, from, handle) = (Arc::clone(&objects), name.clone(), path.clone(), Handle::current());
    tokio::task::spawn_blocking(move || upload(to, object, &from, &handle)).await.unwrap().unwrap();
    let stored = objects.head(&name).await.unwrap().size;
    assert!(stored < 16 << 20, "{stored} bytes");

    let found = objects.get(&name).await.unwrap().into_stream().map_err(io::Error::other);
    let content = SyncIoBridge::new(StreamReader::new(found));
    let arrived = dir.path().join("arrived");
    let to = arrived.clone();
    tokio::task::spawn_blocking(move || download(content, &to)).await.unwrap().unwrap();
    let metadata = fs::metadata(&arrived).unwrap();
    assert_eq!(metadata.len(), SIZE);
    assert!(metadata.blocks() * 512 < 32 << 20, "{} blocks", metadata.blocks());
    let (before, after) = (fs::read(&path).unwrap(), fs::read(&arrived).unwrap());
    assert!(before == after);

    // A truncated object is no shorter core.
    let bytes = objects.get(&name).await.unwrap().bytes().await.unwrap();
    let cut = &bytes[..bytes.len() - 10];
    assert!(download(cut, &dir.path().join("cut")).is_err());
}
