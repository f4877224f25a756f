//! Archives as clients send them, and as attackers do.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use liblzma::write::XzEncoder;
use proptest::prelude::*;
use rars::ArchiveVersion;
use tar::{Builder, EntryType, Header};

use super::{members::MAX_MEMBERS, *};

const ROOMY: ArchiveLimits = ArchiveLimits { max_unpacked_bytes: 64 * MIB, free_bytes: 1 << 40 };

fn header(name: &[u8], kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    // Written directly: `set_path` refuses what an attacker sends.
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o640);
    header.set_cksum();
    header
}

fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, content) in members {
        builder.append(&header(name.as_bytes(), EntryType::Regular, content.len() as u64), *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn rar(version: ArchiveVersion, members: &[(&str, &[u8])]) -> rars::Builder {
    let mut builder = rars::Builder::new(version);
    for (name, content) in members {
        builder.add_bytes(name.as_bytes().to_vec(), content.to_vec(), None, None).unwrap();
    }
    builder
}

fn rar_of(version: ArchiveVersion, members: &[(&str, &[u8])]) -> Vec<u8> {
    rar(version, members).to_bytes().unwrap()
}

fn unpack_bytes(bytes: &[u8], format: Format, limits: ArchiveLimits) -> Result<tempfile::TempDir, ArchiveError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("archive");
    std::fs::write(&file, bytes).unwrap();
    let crash = dir.path().join("crash");
    std::fs::create_dir(&crash).unwrap();
    unpack(&file, format, &crash, limits).map(|()| dir)
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = XzEncoder::new(Vec::new(), 2);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_clients_send_is_unpacked_in_every_format() {
    let core: Vec<u8> = [vec![7; 100_000], vec![0; 300_000], vec![9; 5]].concat();
    let tar = tar_of(&[("coredump", &core), ("executable", b"/usr/bin/x"), ("./package", b"x-1-1")]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&tar).unwrap();
    let members = [("coredump", &core[..]), ("executable", b"/usr/bin/x"), ("package", b"x-1-1")];
    for (format, bytes) in [
        (Format::Tar, tar.clone()),
        (Format::Gzip, gzip.finish().unwrap()),
        (Format::Xz, xz(&tar)),
        (Format::Zstd, zstd::encode_all(&tar[..], 3).unwrap()),
        (Format::Rar, rar_of(ArchiveVersion::Rar50, &members)),
        (Format::Rar, rar_of(ArchiveVersion::Rar29, &members)),
    ] {
        assert!(format.begins(&bytes), "{format:?}");
        let dir = unpack_bytes(&bytes, format, ROOMY).unwrap();
        assert_eq!(std::fs::read(dir.path().join("crash/coredump")).unwrap(), core, "{format:?}");
        assert_eq!(std::fs::read(dir.path().join("crash/package")).unwrap(), b"x-1-1");
    }
}

/// Runs a line of shell in a folder; none if a program is missing.
fn shell(line: &str, dir: &Path) -> Option<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "tar and xz as clients run them, on files of this test")]
    let output = std::process::Command::new("sh").args(["-ec", line]).current_dir(dir).output().unwrap();
    match output.status.code() {
        Some(0) => return Some(output.stdout),
        Some(127) => {}
        _ => panic!("{line}: {}", String::from_utf8_lossy(&output.stderr)),
    }
    assert!(std::env::var_os("RETRACE_REQUIRE_TOOLS").is_none(), "a program is missing for: {line}");
    println!("skipped: a program is missing for: {line}");
    None
}

#[test]
fn what_real_programs_make_is_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let core: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(dir.path().join("coredump"), &core).unwrap();
    std::fs::write(dir.path().join("package"), b"x-1-1").unwrap();
    let lines = [
        // As abrt's client does it.
        ("tar cO coredump package | xz -2", Format::Xz),
        ("tar cO --format=posix coredump package | xz -9", Format::Xz),
        ("tar cO --format=ustar ./coredump package | gzip", Format::Gzip),
        ("tar cO --format=v7 .", Format::Tar),
        ("tar cO coredump package | zstd -19 --long=27", Format::Zstd),
        (
            "python3 -c 'import sys, tarfile; t = tarfile.open(fileobj=sys.stdout.buffer, mode=\"w|\"); t.add(\".\")'",
            Format::Tar,
        ),
    ];
    for (line, format) in lines {
        let Some(bytes) = shell(line, dir.path()) else { continue };
        let unpacked = unpack_bytes(&bytes, format, ROOMY).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(std::fs::read(unpacked.path().join("crash/coredump")).unwrap() == core, "{line}");
        assert_eq!(std::fs::read(unpacked.path().join("crash/package")).unwrap(), b"x-1-1");
    }
}

#[test]
fn everything_but_the_files_of_a_task_is_refused_and_nothing_leaves_the_folder() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("parent", tar_of(&[("../escape", b"x")])),
        ("absolute", tar_of(&[("/tmp/retrace-escape", b"x")])),
        ("nested", tar_of(&[("a/coredump", b"x")])),
        ("unknown", tar_of(&[("kernelver", b"x")])),
        ("empty name", tar_of(&[("", b"x")])),
        ("twice", tar_of(&[("package", b"x"), ("package", b"y")])),
        ("not UTF-8", {
            let mut builder = Builder::new(Vec::new());
            builder.append(&header(b"core\xff", EntryType::Regular, 1), &b"x"[..]).unwrap();
            builder.into_inner().unwrap()
        }),
    ];
    for (case, bytes) in cases {
        let error = unpack_bytes(&bytes, Format::Tar, ROOMY).unwrap_err();
        assert!(matches!(error, ArchiveError::NotAllowed(_)), "{case}: {error}");
        assert_eq!(error.status(), StatusCode::FORBIDDEN);
    }
    assert!(!Path::new("/tmp/retrace-escape").exists());
}

#[test]
fn links_devices_and_folders_are_refused() {
    for kind in
        [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::Directory]
    {
        let mut entry = header(b"coredump", kind, 0);
        entry.set_link_name("/etc/shadow").unwrap();
        entry.set_cksum();
        let mut builder = Builder::new(Vec::new());
        builder.append(&entry, &b""[..]).unwrap();
        let error = unpack_bytes(&builder.into_inner().unwrap(), Format::Tar, ROOMY).unwrap_err();
        assert!(matches!(error, ArchiveError::NotAFile(_)), "{kind:?}: {error}");
    }
}

/// A member in front of a good archive.
fn with_extension(kind: EntryType, content: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    builder.append(&header(b"extension", kind, content.len() as u64), content).unwrap();
    builder.append(&header(b"package", EntryType::Regular, 5), &b"x-1-1"[..]).unwrap();
    builder.into_inner().unwrap()
}

/// A number as RAR 5 writes it; source: the RAR 5.0 technote, as the rest.
fn vint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

fn rar5_header(fields: &[u8]) -> Vec<u8> {
    let sized = [vint(fields.len()), fields.to_vec()].concat();
    [crc32(&sized).to_vec(), sized].concat()
}

/// Members stored by hand, as an attacker does: a library refuses to write such names.
fn crafted_rar(members: &[(&[u8], &[u8])]) -> Vec<u8> {
    const MAIN: u8 = 1;
    const FILE: u8 = 2;
    const END: u8 = 5;
    let mut archive = [b"Rar!\x1a\x07\x01\0".to_vec(), rar5_header(&[MAIN, 0, 0])].concat();
    for (name, content) in members {
        let (has_data, has_crc, stored, unix) = (2, 4, 0, 1);
        let mut fields = vec![FILE, has_data];
        for part in [&vint(content.len())[..], &[has_crc], &vint(content.len()), &vint(0o100_640), &crc32(content)] {
            fields.extend(part);
        }
        fields.extend([&[stored, unix][..], &vint(name.len()), name].concat());
        archive.extend([rar5_header(&fields), content.to_vec()].concat());
    }
    archive.extend(rar5_header(&[END, 0, 0]));
    archive
}

#[test]
fn rar_archives_have_the_same_rules() {
    const NEW: ArchiveVersion = ArchiveVersion::Rar50;
    let refused = |bytes: Vec<u8>, limits| unpack_bytes(&bytes, Format::Rar, limits).unwrap_err();
    let good = unpack_bytes(&crafted_rar(&[(b"package", b"x-1-1")]), Format::Rar, ROOMY).unwrap();
    assert_eq!(std::fs::read(good.path().join("crash/package")).unwrap(), b"x-1-1");
    for name in
        [&b"../escape"[..], b"/tmp/retrace-escape", b"a/coredump", b"a\\coredump", b"kernelver", b"core\xff", b""]
    {
        let error = refused(crafted_rar(&[(name, b"x")]), ROOMY);
        let shown = String::from_utf8_lossy(name);
        assert!(matches!(error, ArchiveError::NotAllowed(_) | ArchiveError::Damaged(_)), "{shown}: {error}");
    }
    assert!(!Path::new("/tmp/retrace-escape").exists());
    assert!(matches!(refused(crafted_rar(&[(b"package", &[b'x'; 129])]), ROOMY), ArchiveError::MemberTooLarge(_)));
    let twice = crafted_rar(&[(b"package", b"x"), (b"package", b"y")]);
    assert!(matches!(refused(twice, ROOMY), ArchiveError::NotAllowed(_)));

    let mut link = rar(NEW, &[]);
    link.add_unix_symlink(b"coredump".to_vec(), b"/etc/shadow".to_vec(), false, None, None).unwrap();
    assert!(matches!(refused(link.to_bytes().unwrap(), ROOMY), ArchiveError::NotAFile(_)));
    let mut folder = rar(NEW, &[]);
    folder.add_directory(b"coredump".to_vec(), None, None).unwrap();
    assert!(matches!(refused(folder.to_bytes().unwrap(), ROOMY), ArchiveError::NotAFile(_)));

    let bomb = rar_of(NEW, &[("coredump", &vec![0; 3 << 20])]);
    assert!(bomb.len() < 10_000);
    let small = ArchiveLimits { max_unpacked_bytes: 2 * MIB, ..ROOMY };
    assert!(matches!(refused(bomb.clone(), small), ArchiveError::TooLarge { limit_mib: 2 }));
    let full = ArchiveLimits { free_bytes: MIB, ..ROOMY };
    assert!(matches!(refused(bomb, full), ArchiveError::NoSpace));

    let many: Vec<_> = (0..MAX_MEMBERS + 40).map(|_| (&b"package"[..], &b""[..])).collect();
    let error = refused(crafted_rar(&many), ROOMY);
    assert_eq!(error.status().as_u16(), 415, "{error}");
    let behind = [b"#!/bin/sh\n".to_vec(), crafted_rar(&[(b"package", b"x")])].concat();
    assert!(matches!(refused(behind, ROOMY), ArchiveError::Damaged(_)));
}

#[test]
fn no_member_of_a_rar_archive_that_was_cut_or_changed_is_taken_for_whole() {
    let noise: Vec<u8> = (0..9000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for version in [ArchiveVersion::Rar29, ArchiveVersion::Rar50] {
        let bytes = rar_of(version, &[("coredump", &noise), ("package", b"x-1-1")]);
        for at in (0..bytes.len()).step_by(bytes.len() / 60) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            // The end of an archive of version 4 need not be marked: between two members, a cut shows as a member less.
            for damaged in [&bytes[..at], &changed] {
                let Ok(dir) = unpack_bytes(damaged, Format::Rar, ROOMY) else { continue };
                let core = dir.path().join("crash/coredump");
                assert!(!core.exists() || std::fs::read(core).unwrap() == noise, "{version:?}, {at}");
            }
        }
    }
}

#[test]
fn pax_headers_are_skipped_unless_they_change_what_is_read() {
    let cases: [(&[u8], bool); 7] = [
        (b"30 mtime=1700000000.123456789\n", true),
        (b"", true),
        (b"18 path=/etc/pass\n", false),
        (b"12 size=999\n", false),
        (b"22 GNU.sparse.major=1\n", false),
        (b"20 linkpath=/etc/pa\n", false),
        (b"no record at all", false),
    ];
    for (content, accepted) in cases {
        for kind in [EntryType::XHeader, EntryType::XGlobalHeader] {
            let result = unpack_bytes(&with_extension(kind, content), Format::Tar, ROOMY);
            assert_eq!(result.is_ok(), accepted, "{:?}: {result:?}", String::from_utf8_lossy(content));
        }
    }
}

#[test]
fn long_headers_are_not_read_into_memory() {
    let long = vec![b'x'; 32 << 20];
    for kind in [EntryType::XHeader, EntryType::XGlobalHeader, EntryType::GNULongName, EntryType::GNULongLink] {
        let error = unpack_bytes(&with_extension(kind, &long), Format::Tar, ROOMY).unwrap_err();
        let refused =
            matches!(error, ArchiveError::Unsupported(_) | ArchiveError::NotAllowed(_) | ArchiveError::NotAFile(_));
        assert!(refused, "{kind:?}: {error}");
    }
    let sparse = with_extension(EntryType::GNUSparse, b"");
    assert!(matches!(unpack_bytes(&sparse, Format::Tar, ROOMY), Err(ArchiveError::Unsupported(_))));
}

#[test]
fn each_refusal_has_its_status() {
    let cases = [
        (ArchiveError::TooManyMembers, 403),
        (ArchiveError::NotAFile("a".into()), 403),
        (ArchiveError::NotAllowed("a".into()), 403),
        (ArchiveError::MemberTooLarge("a".into()), 403),
        (ArchiveError::TooLarge { limit_mib: 1 }, 413),
        (ArchiveError::Unsupported("a".into()), 415),
        (ArchiveError::Damaged(io::Error::other("a")), 500),
        (ArchiveError::Write(io::Error::other("/secret")), 500),
        (ArchiveError::NoSpace, 507),
    ];
    for (error, status) in cases {
        assert_eq!(error.status().as_u16(), status, "{error}");
        assert!(!error.to_string().contains(['%', '\n']) && !error.to_string().contains("secret"));
    }
    assert_eq!(printable(b"%s%n\n\x00\xff name"), "sn\u{fffd} name");
}

#[test]
fn sizes_are_bounded_by_member_by_sum_and_by_the_disk() {
    let long = tar_of(&[("package", &[b'x'; 129])]);
    assert!(matches!(unpack_bytes(&long, Format::Tar, ROOMY), Err(ArchiveError::MemberTooLarge(_))));

    let core = tar_of(&[("coredump", &vec![1; 3 * 1024 * 1024])]);
    let small = ArchiveLimits { max_unpacked_bytes: 2 * MIB, ..ROOMY };
    assert!(matches!(unpack_bytes(&core, Format::Tar, small), Err(ArchiveError::TooLarge { limit_mib: 2 })));
    let full = ArchiveLimits { free_bytes: MIB, ..ROOMY };
    assert!(matches!(unpack_bytes(&core, Format::Tar, full), Err(ArchiveError::NoSpace)));

    let many: Vec<_> = (0..MAX_MEMBERS + 2).map(|_| ("./", &b""[..])).collect();
    let mut builder = Builder::new(Vec::new());
    for (name, _) in &many {
        builder.append(&header(name.as_bytes(), EntryType::Directory, 0), &b""[..]).unwrap();
    }
    let error = unpack_bytes(&builder.into_inner().unwrap(), Format::Tar, ROOMY).unwrap_err();
    assert!(matches!(error, ArchiveError::TooManyMembers), "{error}");
}

#[test]
fn a_bomb_is_refused_by_what_it_claims_and_by_what_it_holds() {
    // 1 TiB is claimed, nothing is there.
    let claim = header(b"coredump", EntryType::Regular, 1 << 40).as_bytes().to_vec();
    assert!(matches!(unpack_bytes(&xz(&claim), Format::Xz, ROOMY), Err(ArchiveError::TooLarge { .. })));

    // 256 MiB of zeros behind the end of an empty archive: decompressed up to the limit, no further.
    let mut encoder = XzEncoder::new(Vec::new(), 0);
    let zeros = vec![0; 1 << 20];
    for _ in 0..256 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(unpack_bytes(&bomb, Format::Xz, ROOMY), Err(ArchiveError::TooLarge { .. })));
}

#[test]
fn a_cut_archive_is_damaged_at_every_place() {
    let bytes = xz(&tar_of(&[("coredump", &[5; 70_000]), ("package", b"x-1-1")]));
    for length in (0..bytes.len() - 1).step_by(bytes.len() / 24) {
        match unpack_bytes(&bytes[..length], Format::Xz, ROOMY) {
            Err(ArchiveError::Damaged(_)) => {}
            other => panic!("cut to {length}: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_unpacked_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        for format in Format::ALL {
            let _ = unpack_bytes(&bytes, format, ROOMY);
        }
    }

    #[test]
    fn a_tar_with_a_flipped_byte_is_unpacked_or_refused(at in 0_usize..2048, flip in 1_u8..) {
        let mut bytes = tar_of(&[("coredump", &[5; 700]), ("package", b"x-1-1")]);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let _ = unpack_bytes(&bytes, Format::Tar, ROOMY);
    }
}
