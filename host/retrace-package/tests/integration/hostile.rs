//! Packages that no honest tool makes: each is refused with a clear error, in little time and memory.

use std::{fs, io::Write as _, path::PathBuf, time::Instant};

use proptest::prelude::*;
use retrace_package::{Limits, PackageError, read_header, scan_build_ids};
use tempfile::TempDir;

use crate::support::{Keep, TarMember, Value, ar, cpio, deb, named, paths, rpm, take, tar, unverified};

fn write(dir: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join("package");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn names_that_climb_are_refused() {
    let dir = TempDir::new().unwrap();
    let names: [&[u8]; 4] = [b"../etc/passwd", b"./usr/../../etc/passwd", b"/etc/passwd", b".."];
    for name in names {
        let packages =
            [deb("data.tar", tar(&[(name, b'0', b"", b"x")])), rpm(&named(), &cpio(&[(name, 0o100_644, 1, 1, b"x")]))];
        for bytes in packages {
            let package = unverified(&write(&dir, &bytes));
            let scanned = scan_build_ids(&package, &Limits::default());
            assert!(matches!(scanned, Err(PackageError::UnsafeName { .. })), "{name:?}: {scanned:?}");
            let taken = take(&package, &paths(&["/etc/passwd"]));
            assert!(matches!(taken, Err(PackageError::UnsafeName { .. })), "{name:?}: {taken:?}");
        }
    }
    let bytes = rpm(&named(), &cpio(&[(b"usr/x\0y", 0o100_644, 1, 1, b"x")]));
    let scanned = scan_build_ids(&unverified(&write(&dir, &bytes)), &Limits::default());
    assert!(matches!(scanned, Err(PackageError::UnsafeName { .. })));
    let mut values = named();
    values.extend([
        (1117, Value::Texts(&["passwd"])),
        (1118, Value::Texts(&["/usr/../../etc/"])),
        (1116, Value::U32s(&[0])),
    ]);
    assert!(matches!(read_header(&write(&dir, &rpm(&values, b""))), Err(PackageError::UnsafeName { .. })));
}

#[test]
fn links_out_of_the_tree_and_loops_are_refused() {
    let dir = TempDir::new().unwrap();
    let cases: [(&[u8], bool); 3] = [(b"../../../etc/passwd", true), (b"loop", false), (b"./loop/x", false)];
    for (target, climbs) in cases {
        let packages = [
            deb("data.tar", tar(&[(b"./usr/loop", b'2', target, b"")])),
            rpm(&named(), &cpio(&[(b"./usr/loop", 0o120_777, 1, 1, target)])),
        ];
        for bytes in packages {
            let taken = take(&unverified(&write(&dir, &bytes)), &paths(&["/usr/loop"]));
            match (climbs, taken) {
                (true, Err(PackageError::UnsafeName { .. })) | (false, Err(PackageError::LinkLoop { .. })) => {}
                (_, other) => panic!("{:?}: {other:?}", String::from_utf8_lossy(target)),
            }
        }
    }
}

#[test]
fn a_bomb_of_ten_gigabytes_ends_at_the_limit() {
    let dir = TempDir::new().unwrap();
    let size: u64 = 10 << 30;
    let mut header = tar::Header::new_ustar();
    header.set_path("usr/zero").unwrap();
    header.as_mut_bytes()[124..136].copy_from_slice(format!("{size:012o}").as_bytes());
    header.set_cksum();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..size >> 20 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.write_all(&[0; 1024]).unwrap();
    let package = unverified(&write(&dir, &deb("data.tar.zst", encoder.finish().unwrap())));
    assert!(package.size_bytes() < 2 << 20);
    let start = Instant::now();
    let scanned = scan_build_ids(&package, &Limits::default());
    assert!(matches!(scanned, Err(PackageError::Limit { what: "unpacked bytes", .. })), "{scanned:?}");
    let limits = Limits { member_bytes: 1 << 30, ..Limits::default() };
    let mut sink = Keep::default();
    let taken = retrace_package::extract(&package, &paths(&["/usr/zero"]), &mut sink, &limits);
    assert!(matches!(taken, Err(PackageError::Limit { what: "a wanted member with bytes", .. })), "{taken:?}");
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

#[test]
fn counts_and_lengths_are_limited() {
    let dir = TempDir::new().unwrap();
    let many: Vec<TarMember<'_>> = vec![(b"./x", b'0', b"", b""); 20];
    let package = unverified(&write(&dir, &deb("data.tar", tar(&many))));
    let limits = Limits { entries: 10, ..Limits::default() };
    assert!(matches!(scan_build_ids(&package, &limits), Err(PackageError::Limit { what: "members", .. })));
    let long = [b'x'; 5000];
    let bytes = deb("data.tar", tar(&[(b"././@LongLink", b'L', b"", &long), (b"x", b'0', b"", b"")]));
    let scanned = scan_build_ids(&unverified(&write(&dir, &bytes)), &Limits::default());
    assert!(matches!(scanned, Err(PackageError::Limit { .. })), "{scanned:?}");
    // A header that claims 4 GiB, one that claims more strings than it has, and one that multiplies a long folder.
    let mut claim = rpm(&named(), b"");
    let main = claim.windows(4).rposition(|window| window == [0x8e, 0xad, 0xe8, 1]).unwrap();
    claim[main + 12..main + 16].copy_from_slice(&[0xff; 4]);
    assert!(matches!(read_header(&write(&dir, &claim)), Err(PackageError::Limit { .. })));
    let folder: &str = &format!("/{}/", "d".repeat(4000));
    let indexes = vec![0; 200_000];
    let names = vec!["x"; 200_000];
    let mut values = named();
    values.extend([
        (1117, Value::Texts(&names)),
        (1118, Value::Texts(std::slice::from_ref(&folder))),
        (1116, Value::U32s(&indexes)),
    ]);
    let got = read_header(&write(&dir, &rpm(&values, b"")));
    assert!(matches!(got, Err(PackageError::Limit { what: "bytes of names", .. })), "{got:?}");
}

#[test]
fn truncated_packages_are_refused_at_every_length() {
    let dir = TempDir::new().unwrap();
    let elf = std::env::current_exe().unwrap();
    let elf = &fs::read(elf).unwrap()[..20_000];
    let packages = [
        deb("data.tar", tar(&[(b"./usr/a", b'0', b"", elf), (b"./usr/b", b'0', b"", b"last")])),
        rpm(&named(), &cpio(&[(b"./usr/a", 0o100_644, 1, 1, elf), (b"./usr/b", 0o100_644, 2, 1, b"last")])),
    ];
    for bytes in packages {
        let whole = take(&unverified(&write(&dir, &bytes)), &paths(&["/usr/b"])).unwrap();
        assert_eq!(whole[0].as_ref().unwrap().1, b"last");
        let last = bytes.windows(4).rposition(|window| window == b"last").unwrap();
        for length in (0..last).step_by(113) {
            let path = write(&dir, &bytes[..length]);
            let _ = read_header(&path);
            let package = unverified(&path);
            assert!(take(&package, &paths(&["/usr/b"])).is_err(), "cut at {length} of {}", bytes.len());
            assert!(scan_build_ids(&package, &Limits::default()).is_err(), "cut at {length} of {}", bytes.len());
        }
    }
}

#[test]
fn a_package_that_changed_its_size_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, &deb("data.tar", tar(&[])));
    let package = unverified(&path);
    fs::write(&path, b"!<arch>\n").unwrap();
    assert!(matches!(scan_build_ids(&package, &Limits::default()), Err(PackageError::SizeMismatch { .. })));
}

/// Starts that let random bytes reach the inner readers.
fn dressed(kind: u8, bytes: &[u8]) -> Vec<u8> {
    match kind {
        0 => bytes.to_vec(),
        1 => [b"!<arch>\n", bytes].concat(),
        2 => ar(&[("control.tar", bytes.to_vec()), ("data.tar", bytes.to_vec())]),
        3 => ar(&[("control.tar.xz", bytes.to_vec()), ("data.tar.zst", bytes.to_vec())]),
        4 => rpm(&named(), &[b"070701".as_slice(), bytes].concat()),
        5 => rpm(&[], bytes),
        6 => {
            let mut lead = rpm(&[], b"");
            lead.truncate(96);
            [&lead[..], &[0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 9], bytes].concat()
        }
        _ => deb("data.tar", tar(&[(b"./usr/x", b'0', b"", &[b"\x7fELF\x02\x01\x01".as_slice(), bytes].concat())])),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_bytes_are_refused_not_fatal(kind in 0u8..8, bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let dir = TempDir::new().unwrap();
        let path = write(&dir, &dressed(kind, &bytes));
        let _ = read_header(&path);
        let _ = retrace_package::elf_build_id(&path);
        let size = fs::metadata(&path).unwrap().len();
        let sha256 = retrace_types::Sha256::from_bytes([0; 32]);
        let package = retrace_package::recorded(&path, size, sha256, retrace_types::SignatureState::Off).unwrap();
        let _ = scan_build_ids(&package, &Limits::default());
        let _ = take(&package, &paths(&["/usr/x"]));
        prop_assert!(retrace_package::verify_rpm(&path, &retrace_package::Keyring::new(), None).is_err());
    }
}
