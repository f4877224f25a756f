//! What repository metadata repeats of a package, against rpm and dpkg, and from headers that no honest tool writes.

use std::fs;

use retrace_package::{Change, Comparison, FileKind, Limits, PackageError, read_deb_control, read_rpm_facts};
use tempfile::TempDir;

use crate::support::{Value, build_rpm, deb, have, named, rpm, run, tar, text};

#[test]
fn facts_are_those_that_rpm_shows() {
    if !have(&["rpmbuild", "rpm"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root/usr/share");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("a"), "12345").unwrap();
    let path = build_rpm(dir.path(), &dir.path().join("root"), "w1.gzdio");
    let facts = read_rpm_facts(&path).unwrap();
    let query = |format: &str| {
        run("rpm", &["-qp", "--nosignature", "--qf", format, text(&path)], &[("HOME", text(dir.path()))])
    };
    for (format, found) in [
        ("%{name}", &facts.name),
        ("%{epochnum}", &facts.epoch.unwrap().to_string()),
        ("%{version}-%{release}", &format!("{}-{}", facts.version, facts.release)),
        ("%{arch}", &facts.arch),
        ("%{summary}", &facts.summary),
        ("%{license}", &facts.license),
        ("%{sourcerpm}", &facts.source_rpm),
        ("%{buildhost}", &facts.build_host),
        ("%{buildtime}", &facts.build_time.to_string()),
        ("%{size}", &facts.installed_bytes.to_string()),
        ("%{archivesize}", &facts.archive_bytes.to_string()),
        ("[%{filenames}\n]", &facts.files.iter().map(|file| format!("{}\n", file.path)).collect()),
        ("[%{providename}\n]", &facts.provides.iter().map(|entry| format!("{}\n", entry.name)).collect()),
    ] {
        assert_eq!(&query(format), found, "{format}");
    }
    let requires: Vec<_> = facts.requires.iter().map(|d| (d.name.as_str(), d.comparison, d.version.as_str())).collect();
    assert!(requires.contains(&("other(x86-64)", Some(Comparison::Equal), "3:1.0-2")), "{requires:?}");
    assert!(requires.contains(&("loose", Some(Comparison::GreaterOrEqual), "1")), "{requires:?}");
    assert!(!requires.iter().any(|(name, ..)| name.starts_with("rpmlib(")), "{requires:?}");
    let kinds: Vec<_> = facts.files.iter().map(|file| (file.path.as_str(), file.kind)).collect();
    assert!(kinds.contains(&("/usr/share", FileKind::Folder)) && kinds.contains(&("/usr/share/a", FileKind::File)));
    let (start, end) = facts.header_range;
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[start as usize..][..4], [0x8e, 0xad, 0xe8, 1]);
    assert_eq!(bytes[end as usize..][..2], [0x1f, 0x8b], "the payload follows");
}

#[test]
fn the_control_file_is_the_one_that_dpkg_shows() {
    if !have(&["dpkg-deb"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    let control = "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.invalid>\nDescription: b\n c\n";
    fs::write(root.join("DEBIAN/control"), control).unwrap();
    let path = dir.path().join("a.deb");
    run("dpkg-deb", &["--root-owner-group", "-b", text(&root), text(&path)], &[]);
    assert_eq!(read_deb_control(&path).unwrap(), run("dpkg-deb", &["-f", text(&path)], &[]));
    assert!(matches!(read_rpm_facts(&path), Err(PackageError::NotAPackage { .. })));
}

#[test]
fn hostile_headers_are_read_as_they_are_or_refused() {
    let dir = TempDir::new().unwrap();
    let read = |values: &[(u32, Value<'_>)]| {
        let path = dir.path().join("package");
        fs::write(&path, rpm(values, b"")).unwrap();
        read_rpm_facts(&path)
    };
    let with = |more: Vec<(u32, Value<'static>)>| named().into_iter().chain(more).collect::<Vec<_>>();

    // Lists of other lengths than their names, flags out of range, a version without a comparison.
    let facts = read(&with(vec![
        (1047, Value::Texts(&["a\u{1}]]>", "b", "c", "", "a\u{1}]]>"])),
        (1112, Value::U32s(&[8, u32::MAX, 0])),
        (1113, Value::Texts(&["1\n", "2"])),
        (1080, Value::U32s(&[u32::MAX, 0])),
        (1081, Value::Texts(&["\u{1b}[31m"])),
        (1082, Value::Texts(&["x", "y"])),
        (1004, Value::Bytes(b"no text")),
    ]))
    .unwrap();
    let provides: Vec<_> = facts.provides.iter().map(|d| (d.name.as_str(), d.comparison, d.version.as_str())).collect();
    let equal = Some(Comparison::Equal);
    assert_eq!(provides, [("a\u{1}]]>", equal, "1\n"), ("b", None, ""), ("c", None, ""), ("a\u{1}]]>", None, "")]);
    assert_eq!(facts.changes, [Change { author: "\u{1b}[31m".into(), time: u32::MAX.into(), text: "x".into() }]);
    assert_eq!(facts.summary, "");

    let climbing = read(&with(vec![
        (1117, Value::Texts(&["passwd"])),
        (1118, Value::Texts(&["/usr/../../etc/"])),
        (1116, Value::U32s(&[0])),
    ]));
    assert!(matches!(climbing, Err(PackageError::UnsafeName { .. })), "{climbing:?}");

    let many: Vec<&str> = vec!["x"; usize::try_from(Limits::default().entries).unwrap() + 1];
    let mut values = named();
    values.push((1049, Value::Texts(&many)));
    let too_many = read(&values);
    assert!(matches!(too_many, Err(PackageError::Limit { .. })), "{:?}", too_many.map(|facts| facts.requires.len()));
}

#[test]
fn texts_that_share_bytes_are_bounded_by_the_budget() {
    // Eight lists of dependencies over one megabyte of names, and each name stands at the same place.
    let long = "x".repeat(1 << 20);
    let names = vec![long.as_str(); 40];
    let lists = [1047, 1049, 1054, 1090, 5046, 5049, 5052, 5055];
    let mut values = named();
    values.extend(lists.map(|tag| (tag, Value::Texts(names.get(..5).unwrap()))));
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("package");
    fs::write(&path, rpm(&values, b"")).unwrap();
    assert!(read_rpm_facts(&path).is_ok());
    let mut bytes = rpm(&[named(), vec![(1047, Value::Texts(&names))]].into_iter().flatten().collect::<Vec<_>>(), b"");
    // Further entries of the index with the same offset, where the first list's names are.
    let index = 96 + 16 + 16;
    let entry = bytes[index + 5 * 16..][..16].to_vec();
    let more: Vec<u8> =
        lists[1..].iter().flat_map(|tag| [u32::to_be_bytes(*tag).as_slice(), &entry[4..]].concat()).collect();
    bytes.splice(index + 6 * 16..index + 6 * 16, more);
    bytes[96 + 16 + 8..][..4].copy_from_slice(&13_u32.to_be_bytes());
    fs::write(&path, bytes).unwrap();
    let read = read_rpm_facts(&path);
    assert!(matches!(read, Err(PackageError::Limit { .. })), "{:?}", read.map(|facts| facts.provides.len()));
}

#[test]
fn a_control_file_that_is_too_large_or_missing_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("package");
    fs::write(&path, deb("data.tar", tar(&[]))).unwrap();
    let control = read_deb_control(&path);
    assert!(control.is_ok_and(|text| text.contains("Package:")), "the helper writes one");
    fs::write(&path, b"!<arch>\n").unwrap();
    assert!(read_deb_control(&path).is_err());
}
