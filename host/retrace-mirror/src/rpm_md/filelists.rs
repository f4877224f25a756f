//! `filelists.xml`: the files of the packages, of which only build-id links and mappable files are kept.

use std::{collections::HashSet, io::BufRead, sync::Arc};

use retrace_package::build_id_of_path;
use retrace_store::PathKey;
use retrace_types::{MemberBuildId, PackageKind, Role};

use crate::{
    MetadataError,
    mappable::is_mappable,
    rpm_md::{
        Index,
        repomd::push,
        xml::{self, Node},
    },
};

/// Adds build-ids and paths to the packages of an index.
pub(crate) fn read_filelists(input: impl BufRead, index: &mut Index) -> Result<(), MetadataError> {
    let mut position = None;
    let mut linked: Vec<MemberBuildId> = Vec::new();
    let mut mappable: Vec<PathKey> = Vec::new();
    let mut text = String::new();
    xml::read(input, |node, depth| {
        match node {
            Node::Start(element) => {
                text.clear();
                match depth {
                    1 if element.name() != "filelists" => return Err(MetadataError::Missing("the element filelists")),
                    2 => {
                        position = index.positions.get(&*element.required("pkgid")?).copied();
                        linked.clear();
                        mappable.clear();
                    }
                    _ => {}
                }
            }
            Node::Text(piece) if depth == 3 => push(&mut text, &piece)?,
            // Source packages list what is built, without folders.
            Node::End("file") if depth == 3 && position.is_some() && text.starts_with('/') => {
                if text.contains("/.build-id/") {
                    index.budget.text(&text)?;
                    linked.extend(build_id_of_path(&text));
                } else if is_mappable(&text) {
                    index.budget.path()?;
                    mappable.push(PathKey::of(&text));
                }
            }
            Node::End("package") if depth == 2 => {
                if let Some(position) = position.take() {
                    add_files(index, position, &mut linked, &mut mappable);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(())
}

fn add_files(index: &mut Index, position: usize, linked: &mut Vec<MemberBuildId>, mappable: &mut Vec<PathKey>) {
    let Some(package) = index.packages.get_mut(position) else { return };
    // The provides name some of the same, without a path.
    if !package.build_ids.is_empty() {
        let named: HashSet<_> = linked.iter().map(|member| (member.build_id.clone(), member.role)).collect();
        linked
            .extend(package.build_ids.iter().filter(|member| !named.contains(&(member.build_id.clone(), member.role))));
    }
    package.build_ids = linked.drain(..).collect();
    if package.kind == PackageKind::Binary {
        let has_links = package.build_ids.iter().any(|member| member.role == Role::Executable);
        package.complete = has_links || mappable.is_empty() || package.id.arch == "noarch";
        let name: Arc<str> = package.id.name.as_str().into();
        index.paths.extend(mappable.drain(..).map(|path| (path, name.clone())));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use retrace_types::PackageId;

    use super::*;
    use crate::{Limits, rpm_md::read_primary};

    fn primary(location: &str) -> String {
        let package = |name: &str, id: &str, location: &str, format: &str| {
            format!(
                r#"<package type="rpm"><name>{name}</name><arch>x86_64</arch><version epoch="0" ver="1.0" rel="2"/>
                <checksum type="sha256" pkgid="YES">{id}</checksum><size package="123" installed="1" archive="1"/>
                <location href="{location}"/><format><rpm:sourcerpm>x-1.0-2.src.rpm</rpm:sourcerpm>{format}</format></package>"#
            )
        };
        let debug = r#"<rpm:provides><rpm:entry name="debuginfo(build-id)" flags="EQ" epoch="0" ver="abcdef0123"/>
            <rpm:entry name="x-debuginfo" flags="EQ" epoch="0" ver="1.0" rel="2"/></rpm:provides>
            <rpm:requires><rpm:entry name="x-debugsource(x86-64)" flags="EQ" epoch="0" ver="1.0" rel="2"/>
            <rpm:entry name="rpmlib(CompressedFileNames)" flags="LE" epoch="0" ver="3" rel="1"/></rpm:requires>"#;
        format!(
            r#"<metadata xmlns="c" xmlns:rpm="r" packages="2">{}{}</metadata>"#,
            package("x", &"aa".repeat(32), location, "<file>/usr/bin/x</file>"),
            package("x-debuginfo", &"bb".repeat(32), "x-debuginfo.rpm", debug)
        )
    }

    fn filelists() -> String {
        let package =
            |id: &str, files: &str| format!(r#"<package pkgid="{id}" name="x" arch="x86_64">{files}</package>"#);
        format!(
            r#"<filelists packages="2">{}{}{}</filelists>"#,
            package(
                &"aa".repeat(32),
                r#"<version epoch="0" ver="1" rel="1"/><file>/usr/bin/x</file><file>/usr/share/x&amp;y</file>
                <file>/usr/lib/.build-id/ab/cdef0123</file><file type="dir">/usr/lib/.build-id</file>"#
            ),
            package(&"bb".repeat(32), "<file>/usr/lib/debug/.build-id/ab/cdef0123.debug</file>"),
            package(&"cc".repeat(32), "<file>/usr/bin/unknown</file>")
        )
    }

    fn index(primary: &str, filelists: &str, limits: &Limits) -> Result<Index, MetadataError> {
        let mut index = Index::new(limits);
        read_primary(primary.as_bytes(), &mut index)?;
        read_filelists(filelists.as_bytes(), &mut index)?;
        Ok(index)
    }

    #[test]
    fn packages_have_their_build_ids_from_links_and_provides() {
        let index = index(&primary("Packages/x.rpm"), &filelists(), &Limits::default()).unwrap();
        let [binary, debug] = index.packages.as_slice() else { panic!("{:?}", index.packages) };
        let want = PackageId {
            name: "x".into(),
            epoch: None,
            version: "1.0".into(),
            release: Some("2".into()),
            arch: "x86_64".into(),
        };
        assert_eq!(binary.id, want);
        assert_eq!((binary.kind.clone(), debug.kind.clone()), (PackageKind::Binary, PackageKind::DebugInfo));
        assert_eq!(binary.source.as_deref(), Some("x-1.0-2.src.rpm"));
        assert_eq!(binary.size_bytes, Some(123));
        assert!(binary.complete && debug.complete);
        assert_eq!(binary.build_ids.len(), 1);
        assert_eq!(binary.build_ids.iter().next().unwrap().role, Role::Executable);
        assert_eq!(debug.build_ids.len(), 1, "named by file and provide, counted once");
        assert!(debug.build_ids.iter().next().unwrap().path.is_some());
        assert_eq!(debug.exact_depends, [("x-debugsource".to_owned(), "1.0-2".to_owned())]);
        assert_eq!(index.paths, [(PathKey::of("/usr/bin/x"), "x".into())]);
    }

    #[test]
    fn a_location_outside_and_a_repository_over_the_limits_are_refused() {
        for location in ["../x.rpm", "/x.rpm", "http://h/x.rpm", "a/../../x.rpm"] {
            let error = index(&primary(location), &filelists(), &Limits::default()).unwrap_err();
            assert!(matches!(error, MetadataError::Invalid { what: "location", .. }), "{location}: {error}");
        }
        for limits in [Limits { packages: 1, ..Limits::default() }, Limits { index_bytes: 500, ..Limits::default() }] {
            let error = index(&primary("x.rpm"), &filelists(), &limits).unwrap_err();
            assert!(matches!(error, MetadataError::Limit { .. }), "{error}");
        }
    }

    proptest! {
        #[test]
        fn damaged_metadata_is_read_or_refused(at in 0_usize..2000, byte: u8) {
            let damage = |text: String| {
                let mut bytes = text.into_bytes();
                let at = at % bytes.len();
                bytes[at] = byte;
                bytes
            };
            let mut index = Index::new(&Limits::default());
            let _ = read_primary(damage(primary("x.rpm")).as_slice(), &mut index);
            let _ = read_filelists(damage(filelists()).as_slice(), &mut index);
        }
    }
}
