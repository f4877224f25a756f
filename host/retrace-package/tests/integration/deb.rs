use std::{fs, path::Path};

use retrace_package::{Limits, Role, Wanted, elf_build_id, gnu_debugaltlink, read_header, scan_build_ids};
use retrace_types::{PackageFormat, PackageKind};
use tempfile::TempDir;

use crate::support::{Program, deb, have, install, paths, run, take, tar, text, unverified};

const TOOLS: [&str; 5] = ["dpkg-deb", "gcc", "objcopy", "readelf", "sha256sum"];

#[test]
fn packages_of_dpkg_are_read_whatever_their_compression() {
    if !have(&TOOLS) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let program = Program::compile(dir.path(), "tool");
    let root = dir.path().join("root");
    install(&root, &program);
    fs::create_dir(root.join("DEBIAN")).unwrap();
    let control = format!(
        "Package: tool-dbgsym\nSource: tool\nVersion: 3:1.0-2\nArchitecture: amd64\nMaintainer: x <x@example.invalid>\n\
         Auto-Built-Package: debug-symbols\nDepends: tool (= 3:1.0-2)\nDescription: x\nBuild-Ids: {}\n",
        program.build_id
    );
    fs::write(root.join("DEBIAN/control"), control).unwrap();
    for compression in ["xz", "zstd", "gzip", "none"] {
        let path = dir.path().join(format!("{compression}.deb"));
        let flag = format!("-Z{compression}");
        run("dpkg-deb", &["--root-owner-group", &flag, "--uniform-compression", "-b", text(&root), text(&path)], &[]);
        let header = read_header(&path).unwrap();
        assert_eq!((header.format, header.kind), (PackageFormat::Deb, PackageKind::DebugInfo));
        assert_eq!(header.id.to_string(), "tool-dbgsym-3:1.0-2.amd64");
        assert_eq!(header.exact_depends, [("tool".to_owned(), "3:1.0-2".to_owned())]);
        assert_eq!(header.build_ids[0].build_id.as_str(), program.build_id);
        check_members(&path, &program, compression);
    }
    // dpkg-deb writes no bzip2 any more, but packages of old releases have it.
    let none = fs::read(dir.path().join("none.deb")).unwrap();
    let start = none.windows(9).position(|window| window == b"data.tar ").unwrap();
    fs::write(dir.path().join("data"), &none[start + 60..]).unwrap();
    run("bzip2", &[text(&dir.path().join("data"))], &[]);
    let path = dir.path().join("bzip2.deb");
    fs::write(&path, deb("data.tar.bz2", fs::read(dir.path().join("data.bz2")).unwrap())).unwrap();
    check_members(&path, &program, "bzip2");
}

fn check_members(path: &Path, program: &Program, compression: &str) {
    let package = unverified(path);
    let scanned = scan_build_ids(&package, &Limits::default()).unwrap();
    assert_eq!(scanned.len(), 2, "{compression}: {scanned:?}");
    assert!(scanned.iter().all(|member| member.build_id.as_str() == program.build_id));
    let mut wanted = paths(&[
        "/bin/tool",
        "/usr/share/again",
        "/usr/share/folder/tool",
        "/usr/share/data/hard1",
        "/usr/share/data/hard2",
        "/usr/share/longlink",
        "/usr/share/outside",
    ]);
    let build_id = scanned[0].build_id.clone();
    wanted.extend([Role::Executable, Role::Debuginfo].map(|role| Wanted::BuildId { build_id: build_id.clone(), role }));
    let got = take(&package, &wanted).unwrap();
    let bytes: Vec<Option<&[u8]>> =
        got.iter().map(|answer| answer.as_ref().map(|(_, bytes)| bytes.as_slice())).collect();
    let (binary, hard) = (Some(program.binary.as_slice()), Some(b"one content, two names".as_slice()));
    let long = Some(b"long name".as_slice());
    assert_eq!(
        bytes,
        [binary, binary, binary, hard, hard, long, None, binary, Some(&program.debug)],
        "compression: {compression}"
    );
}

#[test]
fn a_link_that_comes_before_or_behind_its_file_is_followed() {
    let file = (b"./usr/file".as_slice(), b'0', b"".as_slice(), b"content".as_slice());
    let link = (b"./usr/link".as_slice(), b'2', b"file".as_slice(), b"".as_slice());
    let hard = (b"./usr/hard".as_slice(), b'1', b"./usr/file".as_slice(), b"".as_slice());
    let folder = (b"./dir".as_slice(), b'2', b"usr".as_slice(), b"".as_slice());
    let dir = TempDir::new().unwrap();
    for members in [[file, link, hard, folder], [folder, link, hard, file], [link, file, folder, hard]] {
        let path = dir.path().join("x.deb");
        fs::write(&path, deb("data.tar", tar(&members))).unwrap();
        let wanted = ["/usr/link", "/usr/hard", "/dir/link", "/dir/file"];
        for path_wanted in wanted {
            let got = take(&unverified(&path), &paths(&[path_wanted])).unwrap();
            assert_eq!(got[0].as_ref().unwrap().1, b"content", "{path_wanted}");
        }
        let got = take(&unverified(&path), &paths(&wanted)).unwrap();
        assert!(got.iter().all(|answer| answer.as_ref().unwrap().1 == b"content"));
    }
}

#[test]
fn pax_records_give_names_and_targets() {
    let record = |text: &str| (1..).map(|n| format!("{n} {text}\n")).find(|r| r.starts_with(&format!("{} ", r.len())));
    let path = format!("usr/{}", "p".repeat(200));
    let records = ["comment=x", &format!("path={path}"), "mtime=1.5"].map(|text| record(text).unwrap()).concat();
    let target = record(&format!("linkpath={path}")).unwrap();
    let members = [
        (b"pax".as_slice(), b'x', b"".as_slice(), records.as_bytes()),
        (b"short", b'0', b"", b"content"),
        (b"pax", b'x', b"", target.as_bytes()),
        (b"link", b'2', b"short", b""),
    ];
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("x.deb");
    fs::write(&file, deb("data.tar", tar(&members))).unwrap();
    let got = take(&unverified(&file), &paths(&["/link", "/short"])).unwrap();
    assert_eq!(got, [Some((format!("/{path}"), b"content".to_vec())), None]);
}

#[test]
fn build_id_and_supplementary_file_of_an_elf_file() {
    if !have(&TOOLS) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let program = Program::compile(dir.path(), "tool");
    let binary = dir.path().join("tool");
    let debug = dir.path().join("tool.debug");
    for path in [&binary, &debug] {
        assert_eq!(elf_build_id(path).unwrap().unwrap().as_str(), program.build_id);
        assert_eq!(gnu_debugaltlink(path).unwrap(), None);
    }
    let link = dir.path().join("link");
    let content = [b"/usr/lib/debug/.dwz/x\0".as_slice(), &[0xab; 20]].concat();
    fs::write(&link, &content).unwrap();
    let section = format!(".gnu_debugaltlink={}", text(&link));
    run("objcopy", &["--add-section", &section, text(&debug)], &[]);
    let found = gnu_debugaltlink(&debug).unwrap().unwrap();
    assert_eq!((found.path.as_str(), found.build_id.as_str()), ("/usr/lib/debug/.dwz/x", &*"ab".repeat(20)));
    assert_eq!(elf_build_id(&link).unwrap(), None);

    let bytes = fs::read(&debug).unwrap();
    for length in (0..bytes.len()).step_by(97) {
        fs::write(&link, &bytes[..length]).unwrap();
        let _ = (elf_build_id(&link), gnu_debugaltlink(&link));
    }
}
