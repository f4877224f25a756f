//! Files of the usual programs, damaged ones, and bombs.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    path::Path,
    time::Instant,
};

use proptest::prelude::*;
use retrace_coredump::{Compression, CoreError, DecompressLimits, Decompressed, decompress, is_compressed};

use crate::tools::{have, sh_ok};

const PROGRAMS: [(Compression, &str); 5] = [
    (Compression::Gzip, "gzip"),
    (Compression::Xz, "xz"),
    (Compression::Zstd, "zstd"),
    (Compression::Lz4, "lz4"),
    (Compression::Bzip2, "bzip2"),
];

/// Noise, 8 MiB of zeros, noise that ends in the middle of a block.
fn content() -> Vec<u8> {
    let mut state = 1_u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut noise).take(300_000).collect();
    bytes.resize(bytes.len() + (8 << 20), 0);
    bytes.extend(std::iter::repeat_with(&mut noise).take(12_345));
    bytes
}

fn unpack(dir: &Path, bytes: &[u8], limits: &DecompressLimits) -> (Result<Decompressed, CoreError>, File) {
    let mut output = File::options().read(true).write(true).create(true).truncate(false).open(dir.join("out")).unwrap();
    (decompress(bytes, &mut output, limits), output)
}

fn bytes_of(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("out")).unwrap()
}

#[test]
fn every_format_is_unpacked_into_a_sparse_file() {
    if !have(&PROGRAMS.map(|(_, program)| program)) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let content = content();
    fs::write(dir.path().join("core"), &content).unwrap();
    let limits = DecompressLimits::default();
    for (compression, program) in PROGRAMS {
        sh_ok(dir.path(), &format!("{program} -c < core > packed; {program} -c < core > second; cat second >> packed"));
        let packed = fs::read(dir.path().join("packed")).unwrap();
        let second = fs::read(dir.path().join("second")).unwrap().len();
        assert_eq!((is_compressed(&packed), Compression::detect(&packed)), (true, Some(compression)));
        // What was in the file before must go.
        fs::write(dir.path().join("out"), vec![0xff; 40 << 20]).unwrap();

        let (result, output) = unpack(dir.path(), &packed[..second], &limits);
        let result = result.unwrap();
        assert_eq!((result.compression, result.size_bytes), (compression, content.len() as u64));
        assert!(!result.truncated, "{program}");
        assert!(result.stored_bytes < 400_000, "{program}: {} bytes stored", result.stored_bytes);
        assert!(output.metadata().unwrap().blocks() * 512 < 1 << 20, "{program}: not sparse");
        assert!(bytes_of(dir.path()) == content, "{program}");

        let twice = unpack(dir.path(), &packed, &limits).0.unwrap();
        assert_eq!((twice.size_bytes, twice.truncated), (2 * content.len() as u64, false), "{program}: concatenated");

        for size in [packed.len() - 3, second + 2, second - 1, second / 2, 20] {
            let (result, _) = unpack(dir.path(), &packed[..size], &limits);
            let result = result.unwrap_or_else(|error| panic!("{program} {size}: {error:?}"));
            assert!(result.truncated, "{program}: cut off after {size}");
            let bytes = bytes_of(dir.path());
            assert_eq!(bytes.len() as u64, result.size_bytes);
            let whole = [content.as_slice(), content.as_slice()].concat();
            assert!(bytes == whole[..bytes.len()], "{program}: cut off after {size}");
        }
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    if !have(&PROGRAMS.map(|(_, program)| program)) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let limits = DecompressLimits { max_output_bytes: 10 << 20, ..DecompressLimits::default() };
    for (_, program) in PROGRAMS {
        sh_ok(dir.path(), &format!("head -c 64M /dev/zero | {program} -c > packed"));
        let packed = fs::read(dir.path().join("packed")).unwrap();
        let start = Instant::now();
        let (result, output) = unpack(dir.path(), &packed, &limits);
        assert!(matches!(result, Err(CoreError::TooLarge { limit_bytes: 10_485_760 })), "{program}: {result:?}");
        assert!(start.elapsed().as_secs_f32() < 5.0);
        assert!(output.metadata().unwrap().blocks() < 100);
        let exact = DecompressLimits { max_output_bytes: 64 << 20, ..limits };
        assert!(unpack(dir.path(), &packed, &exact).0.is_ok(), "{program}: up to the limit, itself included");
    }
}

#[test]
fn what_is_written_is_bounded_and_holes_do_not_count() {
    if !have(&["gzip"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    sh_ok(dir.path(), "(head -c 1M /dev/zero | tr '\\0' x; head -c 64M /dev/zero) | gzip > packed");
    let packed = fs::read(dir.path().join("packed")).unwrap();
    let limits = |max_stored_bytes| DecompressLimits { max_stored_bytes, ..DecompressLimits::default() };
    assert_eq!(unpack(dir.path(), &packed, &limits(1 << 20)).0.unwrap().size_bytes, 65 << 20);
    let (result, output) = unpack(dir.path(), &packed, &limits(300_000));
    assert!(matches!(result, Err(CoreError::TooMuchDisk { limit_bytes: 300_000 })), "{result:?}");
    assert!(output.metadata().unwrap().blocks() * 512 < 700_000);
}

#[test]
fn windows_are_bounded() {
    if !have(&["xz"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    sh_ok(dir.path(), "echo text | xz --lzma2=dict=64MiB > packed");
    let packed = fs::read(dir.path().join("packed")).unwrap();
    let small = DecompressLimits { max_window_bytes: 32 << 20, ..DecompressLimits::default() };
    assert!(matches!(unpack(dir.path(), &packed, &small).0, Err(CoreError::Decompress { .. })));
    assert!(unpack(dir.path(), &packed, &DecompressLimits::default()).0.is_ok());

    // A frame with a window of 2^31 bytes and one empty block.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
    let error = unpack(dir.path(), &zstd, &DecompressLimits::default()).0.unwrap_err();
    assert!(matches!(error, CoreError::Decompress { compression: Compression::Zstd, .. }), "{error:?}");
}

#[test]
fn other_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let limits = DecompressLimits::default();
    for bytes in [&b""[..], b"\x1f", b"plain text", b"\x7fELF\x02\x01\x01"] {
        assert!(matches!(unpack(dir.path(), bytes, &limits).0, Err(CoreError::NotCompressed)), "{bytes:?}");
        assert!(!is_compressed(bytes));
    }
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
    }
    let mut output = tempfile::tempfile().unwrap();
    assert!(matches!(decompress(Broken, &mut output, &limits), Err(CoreError::Read { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_behind_a_magic_number_do_no_harm(
        magic in 0..6_usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
    ) {
        let magic: &[u8] = [
            &b"\x1f\x8b\x08\0"[..], b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18\x40\x40\xc0", b"BZh9",
            b"\x04\x22\x4d\x18",
        ][magic];
        let dir = tempfile::tempdir().unwrap();
        let limits = DecompressLimits { max_output_bytes: 16 << 20, ..DecompressLimits::default() };
        let _ = unpack(dir.path(), &[magic, &bytes].concat(), &limits);
    }
}
