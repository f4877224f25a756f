//! Real packages: dpkg-deb around freshly compiled programs.

use std::{io::Write as _, time::Duration};

use retrace_process::{Invocation, run};
use retrace_types::{Sha256, SignatureState};
use tempfile::TempDir;

use super::{place::name_elf, unpack::Reference, *};
use crate::{AltLink, PackageError};

/// A folder with `pkg.deb`, made of `/usr/bin/one`, `/usr/bin/two` and their debug files in the usual place.
struct Package {
    dir: TempDir,
    signature: SignatureState,
}

impl Package {
    /// `finish` is a script that may change the tree before it is packed.
    async fn build(finish: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            r#"
            set -e
            mkdir -p tree/DEBIAN tree/usr/bin tree/usr/lib/debug/.build-id
            printf 'Package: pkg\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@example.invalid>\nDescription: x\n' > tree/DEBIAN/control
            printf '#include <stdio.h>\nstruct shared {{ int a; char b[99]; struct shared *next; }};\nstatic struct shared list;\nint other(struct shared *s) {{ return s->a; }}\n' > common.h
            for name in one two; do
                printf '#include "common.h"\nint main(void) {{ puts("%s"); return other(&list); }}\n' $name > $name.c
                gcc -g -O1 -Wl,--build-id -o $name $name.c
                objcopy --only-keep-debug $name $name.debug
                strip -o tree/usr/bin/$name $name
                readelf -n $name | sed -n 's/.*Build ID: //p' > $name.id
            done
            {finish}
            for name in one two; do
                id=$(cat $name.id); first=$(echo $id | cut -c1-2); rest=$(echo $id | cut -c3-)
                mkdir -p tree/usr/lib/debug/.build-id/$first
                cp $name.debug tree/usr/lib/debug/.build-id/$first/$rest.debug
            done
            dpkg-deb --root-owner-group -Zxz -z1 -b tree pkg.deb
            sha256sum pkg.deb | cut -d " " -f 1 > pkg.sha256
            "#
        );
        let call = Invocation::new("/bin/sh")
            .args(["-c", &script])
            .working_dir(dir.path())
            .env("PATH", "/usr/bin:/bin")
            .time_limit(Duration::from_secs(120));
        run(&call).await.unwrap();
        Self { dir, signature: SignatureState::Package { fingerprint: "AA".repeat(20) } }
    }

    fn verified(&self) -> VerifiedPackage {
        let path = self.dir.path().join("pkg.deb");
        let size = fs::metadata(&path).unwrap().len();
        let sha256: Sha256 = fs::read_to_string(self.dir.path().join("pkg.sha256")).unwrap().trim().parse().unwrap();
        crate::recorded(&path, size, sha256, self.signature.clone()).unwrap()
    }

    fn build_id(&self, name: &str) -> BuildId {
        fs::read_to_string(self.dir.path().join(format!("{name}.id"))).unwrap().trim().parse().unwrap()
    }

    fn request(&self, name: &str, role: Role) -> FillRequest {
        FillRequest { package: self.verified(), build_id: self.build_id(name), role, member: None }
    }

    fn cache(&self) -> FileCache {
        FileCache::new(&self.dir.path().join("cache")).unwrap()
    }
}

/// False, after saying so, if a tool is missing; fails where tools are required.
async fn has_tools(tools: &[&str]) -> bool {
    for tool in tools {
        if retrace_process::find_program(tool).await.is_none() {
            assert!(std::env::var_os("RETRACE_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "{tool} is missing");
            println!("skipped: {tool} is missing");
            return false;
        }
    }
    true
}

const TOOLS: [&str; 5] = ["gcc", "objcopy", "strip", "readelf", "dpkg-deb"];

fn find(cache: &FileCache, build_id: &BuildId, role: Role) -> Option<PathBuf> {
    cache.find(build_id, role, Trust::Verified).map(|cached| cached.path)
}

fn unnamed(cache: &FileCache) -> usize {
    fs::read_dir(cache.dir.join(UNNAMED)).unwrap().count()
}

#[tokio::test]
async fn files_are_unpacked_checked_and_found_again() {
    if !has_tools(&TOOLS).await {
        return;
    }
    let package = Package::build("").await;
    let cache = package.cache();
    assert_eq!(find(&cache, &package.build_id("one"), Role::Executable), None);
    let mut requests = vec![package.request("one", Role::Executable), package.request("two", Role::Debuginfo)];
    requests.push(FillRequest { member: Some("/bin/two".to_owned()), ..package.request("two", Role::Executable) });
    requests.push(package.request("one", Role::Executable)); // asked twice
    let results = cache.fill(&requests).await;
    let paths: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(Some(&paths[0]), find(&cache, &package.build_id("one"), Role::Executable).as_ref());
    assert_eq!(Some(&paths[1]), find(&cache, &package.build_id("two"), Role::Debuginfo).as_ref());
    assert_eq!(Some(&paths[2]), find(&cache, &package.build_id("two"), Role::Executable).as_ref());
    assert_eq!(paths[3], paths[0]);
    assert_eq!(fs::read(&paths[2]).unwrap(), fs::read(package.dir.path().join("tree/usr/bin/two")).unwrap());
    assert_eq!(unnamed(&cache), 0);

    // Nothing is unpacked again: the package is not even read.
    fs::remove_file(package.verified().path()).unwrap();
    assert!(cache.fill(&requests).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_file_with_another_build_id_never_gets_the_name() {
    if !has_tools(&TOOLS).await {
        return;
    }
    let package = Package::build("").await;
    let cache = package.cache();
    let wrong = FillRequest { member: Some("/usr/bin/two".to_owned()), ..package.request("one", Role::Executable) };
    let absent = FillRequest { build_id: "00112233".parse().unwrap(), ..package.request("one", Role::Executable) };
    let gone = FillRequest { member: Some("/usr/bin/three".to_owned()), ..package.request("two", Role::Executable) };
    let results = cache.fill(&[wrong, absent, gone]).await;
    assert!(
        matches!(&results[0], Err(CacheError::WrongBuildId { member, .. }) if member == "/usr/bin/two"),
        "{results:?}"
    );
    assert!(matches!(&results[1], Err(CacheError::NotInPackage { .. })), "{results:?}");
    assert!(matches!(&results[2], Err(CacheError::NotInPackage { .. })), "{results:?}");
    assert_eq!(find(&cache, &package.build_id("one"), Role::Executable), None);
    assert_eq!(unnamed(&cache), 0);
}

/// Whoever made the unverified one could have put anything under the build-id.
#[tokio::test]
async fn a_file_of_an_unverified_package_is_not_taken_for_one_of_a_verified_package() {
    if !has_tools(&TOOLS).await {
        return;
    }
    let package = Package { signature: SignatureState::Off, ..Package::build("").await };
    let (cache, build_id) = (package.cache(), package.build_id("one"));
    let unverified = cache.fill(&[package.request("one", Role::Debuginfo)]).await.pop().unwrap().unwrap();
    assert_eq!(find(&cache, &build_id, Role::Debuginfo), None);
    let found = cache.find(&build_id, Role::Debuginfo, Trust::Unverified).unwrap();
    assert_eq!(found.path, unverified);
}

#[tokio::test]
async fn source_files_are_unpacked_by_their_path() {
    if !has_tools(&TOOLS).await {
        return;
    }
    let package = Package::build("mkdir -p tree/usr/src/debug/pkg; cp one.c tree/usr/src/debug/pkg/one.c").await;
    let (cache, verified) = (package.cache(), package.verified());
    let path = "/usr/src/debug/pkg/one.c";
    assert!(cache.source(&verified.sha256(), path).is_none());
    let found = cache.fill_source(&verified, path).await.unwrap();
    assert_eq!(fs::read(found.path).unwrap(), fs::read(package.dir.path().join("one.c")).unwrap());
    assert!(cache.source(&verified.sha256(), path).is_some());
    let error = cache.fill_source(&verified, "/usr/src/debug/pkg/two.c").await.unwrap_err();
    assert!(matches!(error, CacheError::NoMember { .. }), "{error}");
    let error = cache.fill_source(&verified, "/usr/src/debug/pkg").await.unwrap_err();
    assert!(matches!(error, CacheError::NoMember { .. }), "{error}");
}

#[tokio::test]
async fn what_comes_from_elsewhere_needs_the_build_id_in_its_note() {
    let dir = tempfile::tempdir().unwrap();
    let cache = FileCache::new(dir.path()).unwrap();
    let program = std::env::current_exe().unwrap();
    let build_id = elf_build_id(&program).unwrap().unwrap();
    let incoming = |bytes: &[u8]| {
        let mut file = cache.unnamed().unwrap();
        file.write_all(bytes).unwrap();
        file
    };
    let whole = fs::read(&program).unwrap();
    let other: BuildId = "00112233".parse().unwrap();
    let half = whole.get(..whole.len() / 2).unwrap();
    for (bytes, wanted) in [(whole.as_slice(), &other), (half, &build_id), (b"<html>", &build_id)] {
        let error = cache.adopt(incoming(bytes), wanted, Role::Debuginfo, "http://h/").unwrap_err();
        assert!(matches!(error, CacheError::WrongBuildId { .. }), "{error}");
    }
    cache.adopt(incoming(&whole), &build_id, Role::Debuginfo, "http://h/").unwrap();
    assert_eq!(find(&cache, &build_id, Role::Debuginfo), None, "nobody vouches for it");
    assert!(cache.find(&build_id, Role::Debuginfo, Trust::Unverified).is_some());

    assert!(cache.find_beside(&build_id, "source/../../x").is_none());
    cache.adopt_beside(incoming(b"int x;"), &build_id, "source/../../x").unwrap();
    assert!(cache.find_beside(&build_id, "source/../../x").is_some());
    assert_eq!(unnamed(&cache), 0);
}

#[tokio::test]
async fn a_damaged_package_is_an_error_for_each_request() {
    if !has_tools(&TOOLS).await {
        return;
    }
    let package = Package::build("").await;
    let cache = package.cache();
    let path = package.verified().path().to_owned();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let results = cache.fill(&[package.request("one", Role::Debuginfo), package.request("two", Role::Debuginfo)]).await;
    assert_eq!(
        results.iter().filter(|result| matches!(result, Err(CacheError::Unpack { .. }))).count(),
        2,
        "{results:?}"
    );
    assert_eq!(unnamed(&cache), 0);
}

#[tokio::test]
async fn a_package_that_lost_a_bit_on_the_disk_is_not_unpacked() {
    if !has_tools(&TOOLS).await {
        return;
    }
    let package = Package::build("").await;
    let cache = package.cache();
    let request = package.request("one", Role::Executable);
    let path = package.verified().path().to_owned();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = cache.fill(&[request]).await.pop().unwrap().unwrap_err();
    let CacheError::Unpack { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, PackageError::DigestMismatch { .. }), "{source}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fills_at_the_same_time_end_in_the_same_files() {
    if !has_tools(&TOOLS).await {
        return;
    }
    let package = Package::build("").await;
    let requests: Vec<_> = ["one", "two"]
        .into_iter()
        .flat_map(|name| [package.request(name, Role::Executable), package.request(name, Role::Debuginfo)])
        .collect();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (cache, requests) = (package.cache(), requests.clone());
            tokio::spawn(async move { cache.fill(&requests).await.into_iter().map(Result::unwrap).collect::<Vec<_>>() })
        })
        .collect();
    for task in tasks {
        for (request, path) in requests.iter().zip(task.await.unwrap()) {
            assert_eq!(elf_build_id(&path).unwrap().as_ref(), Some(&request.build_id));
        }
    }
    assert_eq!(unnamed(&package.cache()), 0);
}

/// Whoever links a file must not find it replaced.
#[test]
fn the_first_of_two_equal_files_keeps_the_name_unless_it_was_cut() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let program = fs::read("/proc/self/exe").unwrap();
    let place = dir.path().join("aa/bb/executable");
    let store = |bytes: &[u8]| {
        let mut file = NamedTempFile::new_in(dir.path()).unwrap();
        file.write_all(bytes).unwrap();
        name_elf(file, std::slice::from_ref(&place)).unwrap();
        fs::metadata(&place).unwrap().ino()
    };
    let first = store(&program);
    assert_eq!(store(&program), first);
    fs::write(&place, program.get(..1_000).unwrap()).unwrap();
    store(&program);
    assert_eq!(fs::metadata(&place).unwrap().len(), u64::try_from(program.len()).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[tokio::test]
async fn supplementary_debug_information_comes_along() {
    if !has_tools(&[&TOOLS[..], &["dwz"]].concat()).await {
        return;
    }
    let finish = "mkdir -p tree/usr/lib/debug/.dwz
        dwz -m tree/usr/lib/debug/.dwz/pkg -M /usr/lib/debug/.dwz/pkg one.debug two.debug";
    let package = Package::build(finish).await;
    let cache = package.cache();
    let results = cache.fill(&[package.request("one", Role::Debuginfo), package.request("two", Role::Debuginfo)]).await;
    for (name, result) in ["one", "two"].into_iter().zip(results) {
        let link = crate::gnu_debugaltlink(&result.unwrap()).unwrap().expect("a link");
        let supplementary =
            cache.supplementary(&package.build_id(name), Trust::Verified).expect("the supplementary file").path;
        assert_eq!(elf_build_id(&supplementary).unwrap().as_ref(), Some(&link.build_id));
        assert!(find(&cache, &link.build_id, Role::Debuginfo).is_some(), "it is found by its own build-id");
    }
}

#[test]
fn a_relative_reference_starts_at_the_debug_file() {
    let cases = [
        ("/usr/lib/debug/usr/bin/a.debug", "../../.dwz/pkg", "/usr/lib/debug/.dwz/pkg"),
        ("/usr/lib/debug/a.debug", "/usr/lib/debug/.dwz/pkg", "/usr/lib/debug/.dwz/pkg"),
        ("/a.debug", "../../../../x", "/x"),
    ];
    for (member, path, want) in cases {
        let link = AltLink { path: path.to_owned(), build_id: "aabbcc".parse().unwrap() };
        let reference = Reference { from: "aabbcc".parse().unwrap(), member: member.to_owned(), link };
        assert_eq!(reference.target(), want, "input: {member} {path}");
    }
}
