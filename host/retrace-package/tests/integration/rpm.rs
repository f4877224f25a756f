use retrace_package::{Limits, Role, Wanted, read_header, scan_build_ids};
use retrace_types::{PackageFormat, PackageKind};
use tempfile::TempDir;

use crate::support::{Program, Value, build_rpm, cpio, have, install, named, paths, rpm, take, unverified};

const TOOLS: [&str; 5] = ["rpmbuild", "gcc", "objcopy", "readelf", "sha256sum"];

/// Every payload compression that rpm 4.18 writes.
#[test]
fn packages_of_rpmbuild_are_read_whatever_their_compression() {
    if !have(&TOOLS) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let program = Program::compile(dir.path(), "tool");
    let root = dir.path().join("root");
    install(&root, &program);
    for payload in ["w9.gzdio", "w6.xzdio", "w3.zstdio", "w9.bzdio", "w6.lzdio", "w.ufdio"] {
        let path = build_rpm(dir.path(), &root, payload);
        let header = read_header(&path).unwrap();
        assert_eq!(header.format, PackageFormat::Rpm);
        assert_eq!(header.kind, PackageKind::Binary);
        assert_eq!(header.id.full_version(), "3:1.0-2");
        assert_eq!(header.source.as_deref(), Some("tool-1.0-2.src.rpm"));
        assert_eq!(header.exact_depends, [("other".to_owned(), "3:1.0-2".to_owned())]);
        assert!(header.files.as_ref().unwrap().iter().any(|file| file == "/usr/bin/tool"));
        let named = |role| header.build_ids.iter().find(|member| member.role == role).unwrap();
        assert_eq!(named(Role::Executable).build_id.as_str(), program.build_id, "{payload}");
        assert_eq!(named(Role::Debuginfo).path.as_deref(), Some(program.debug_path().as_str()));

        let package = unverified(&path);
        let mut scanned = scan_build_ids(&package, &Limits::default()).unwrap();
        scanned.sort_by_key(|member| member.role);
        let scanned: Vec<_> =
            scanned.iter().map(|m| (m.build_id.as_str(), m.role, m.path.as_deref().unwrap())).collect();
        let debug_path = program.debug_path();
        let want = [
            (program.build_id.as_str(), Role::Executable, "/usr/bin/tool"),
            (program.build_id.as_str(), Role::Debuginfo, debug_path.as_str()),
        ];
        assert_eq!(scanned, want, "{payload}");

        let mut wanted = paths(&[
            "/bin/tool",
            "/usr/share/again",
            "/usr/share/folder/tool",
            named(Role::Executable).path.as_ref().unwrap(),
            "/usr/share/data/hard1",
            "/usr/share/data/hard2",
            "/usr/share/longlink",
            "/usr/share/outside",
            "/not/there",
        ]);
        let build_id = named(Role::Debuginfo).build_id.clone();
        wanted.push(Wanted::BuildId { build_id, role: Role::Debuginfo });
        let got = take(&package, &wanted).unwrap();
        for (index, answer) in got.iter().take(4).enumerate() {
            let (path, bytes) = answer.as_ref().unwrap_or_else(|| panic!("{payload}: want {index}"));
            assert_eq!((path.as_str(), bytes == &program.binary), ("/usr/bin/tool", true), "{payload}: want {index}");
        }
        for answer in &got[4..6] {
            assert_eq!(answer.as_ref().unwrap().1, b"one content, two names", "{payload}");
        }
        assert_eq!(got[6].as_ref().unwrap().1, b"long name");
        assert_eq!(got[7..9], [None, None]);
        assert_eq!(got[9].as_ref().unwrap().1, program.debug);
    }
}

/// rpm writes this variant if a file has 4 GiB or more; names, modes and sizes stand in the header alone.
#[test]
fn the_stripped_payload_of_packages_with_large_files_is_read() {
    let mut values = named();
    values.extend([
        (1117, Value::Texts(&["a", "h1", "h2", "link"])),
        (1118, Value::Texts(&["/usr/"])),
        (1116, Value::U32s(&[0, 0, 0, 0])),
        (1030, Value::U16s(&[0o100_644, 0o100_644, 0o100_644, 0o120_777])),
        (1028, Value::U32s(&[5, 3, 3, 2])),
        (1036, Value::Texts(&["", "", "", "h1"])),
        (1095, Value::U32s(&[1, 1, 1, 1])),
        (1096, Value::U32s(&[1, 2, 2, 4])),
    ]);
    let mut payload = Vec::new();
    for (index, data) in [(0, "first\0\0\0"), (1, ""), (2, "two\0"), (3, "h1\0\0")] {
        payload.extend(format!("07070X{index:08x}\0\0{data}").bytes());
    }
    payload.extend(cpio(&[]));
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x.rpm");
    std::fs::write(&path, rpm(&values, &payload)).unwrap();
    let got = take(&unverified(&path), &paths(&["/usr/a", "/usr/h1", "/usr/link"])).unwrap();
    let got: Vec<&[u8]> = got.iter().map(|answer| answer.as_ref().unwrap().1.as_slice()).collect();
    assert_eq!(got, [b"first".as_slice(), b"two", b"two"]);

    let beyond = format!("07070X{:08x}\0\0", 4);
    std::fs::write(&path, rpm(&values, beyond.as_bytes())).unwrap();
    assert!(take(&unverified(&path), &paths(&["/usr/a"])).is_err());
}
