//! The index as its users see it: filled, asked, replaced.

use std::sync::Arc;

use retrace_types::MemberBuildId;

use super::*;
use crate::{
    FileIdentity, IncidentKind, NewPackage,
    testing::{Test, on_both_databases, repository, scope},
};

on_both_databases!(
    build_ids_lead_to_packages_with_role_and_path,
    a_package_row_survives_the_round_trip,
    packages_that_upstream_dropped_stay,
    a_file_that_changed_under_its_name_is_an_incident_and_the_known_one_stays,
    another_version_at_the_same_location_is_an_update,
    paths_are_found_under_both_names_of_a_merged_usr,
    of_two_packages_with_one_location_the_later_one_counts,
    many_build_ids_are_asked_in_one_go
);

fn build_id(n: u32) -> BuildId {
    let mut bytes = [0x5a; 20];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    BuildId::from_bytes(&bytes).unwrap()
}

fn member(n: u32, role: Role, path: Option<&str>) -> MemberBuildId {
    MemberBuildId { build_id: build_id(n), role, path: path.map(ToOwned::to_owned) }
}

fn package(name: &str, version: &str, build_ids: Vec<MemberBuildId>) -> NewPackage {
    NewPackage {
        id: PackageId {
            name: name.into(),
            epoch: None,
            version: version.into(),
            release: Some("1".into()),
            arch: "x86_64".into(),
        },
        kind: PackageKind::Binary,
        format: PackageFormat::Rpm,
        location: format!("{name}-{version}.rpm"),
        size_bytes: Some(7),
        sha256: Some(Sha256::from_bytes([3; 32])),
        source: Some(format!("{name}-src")),
        exact_depends: vec![("dep".into(), "1-1".into())],
        build_ids: build_ids.into(),
        complete: true,
    }
}

async fn filled(
    test: Test,
    packages: &[NewPackage],
    paths: &[(PathKey, Arc<str>)],
) -> (tempfile::TempDir, Store, RepositoryKey) {
    let Test { dir, store, .. } = test;
    let new = repository();
    let key = store.register_repository(&new).await.unwrap();
    assert_eq!(store.register_repository(&new).await.unwrap(), key, "registering twice gives the same row");
    store.replace_metadata(key, "r1", packages, paths).await.unwrap();
    (dir, store, key)
}

async fn build_ids_lead_to_packages_with_role_and_path(test: Test) {
    let packages = [
        package("bash", "5", vec![member(1, Role::Executable, Some("/usr/bin/bash"))]),
        package("bash-debuginfo", "5", vec![member(1, Role::Debuginfo, None), member(2, Role::Debuginfo, None)]),
    ];
    let (_dir, store, _) = filled(test, &packages, &[]).await;
    let found = store.find_build_ids(Some(&scope()), &[build_id(1), build_id(9)]).await.unwrap();
    assert_eq!(found.len(), 1);
    let providers: Vec<_> =
        found[&build_id(1)].iter().map(|p| (p.package.id.name.as_str(), p.role, p.path.as_deref())).collect();
    assert_eq!(
        providers,
        [("bash", Role::Executable, Some("/usr/bin/bash")), ("bash-debuginfo", Role::Debuginfo, None)]
    );
    let other = Scope { release: "fedora-41".parse().unwrap(), ..scope() };
    assert!(store.find_build_ids(Some(&other), &[build_id(1)]).await.unwrap().is_empty());
    let counts = store.releases_of_build_ids(&[build_id(1), build_id(2), build_id(9)]).await.unwrap();
    assert_eq!(counts, [(scope().release, Architecture::X86_64, 2)]);
}

async fn a_package_row_survives_the_round_trip(test: Test) {
    let new = package("bash", "5", Vec::new());
    let (_dir, store, key) = filled(test, std::slice::from_ref(&new), &[]).await;
    let [found] = store.find_packages(&scope(), "bash").await.unwrap().try_into().unwrap();
    assert_eq!(found.repository, key);
    assert_eq!((&found.id, &found.kind, &found.location), (&new.id, &new.kind, &new.location));
    assert_eq!((found.size_bytes, found.sha256, &found.source), (new.size_bytes, new.sha256, &new.source));
    assert_eq!(found.exact_depends, new.exact_depends);
    assert_eq!(found.local, None);

    let signature = SignatureState::Package { fingerprint: "AB".into() };
    let (digest, replaced) = (Sha256::from_bytes([3; 32]), Sha256::from_bytes([2; 32]));
    store.record_local_copy(found.key, &digest, 7, &signature).await.unwrap();
    store.record_local_copy(found.key, &replaced, 9, &SignatureState::Off).await.unwrap();
    let [found] = store.find_by_source(&scope(), "bash-src").await.unwrap().try_into().unwrap();
    assert_eq!(found.local, Some(LocalCopy { sha256: digest, size_bytes: 7, signature }));
    assert_eq!(store.local_packages(&scope()).await.unwrap(), [found]);
}

async fn packages_that_upstream_dropped_stay(test: Test) {
    let (_dir, store, key) = filled(test, &[package("bash", "5", vec![member(1, Role::Executable, None)])], &[]).await;
    let new = package("bash", "6", vec![member(2, Role::Executable, None)]);
    store.replace_metadata(key, "r2", &[new], &[]).await.unwrap();
    assert_eq!(store.find_packages(&scope(), "bash").await.unwrap().len(), 2);
    assert_eq!(store.find_build_ids(None, &[build_id(1), build_id(2)]).await.unwrap().len(), 2);
    assert_eq!(store.repository(key).await.unwrap().revision.as_deref(), Some("r2"));
}

async fn a_file_that_changed_under_its_name_is_an_incident_and_the_known_one_stays(test: Test) {
    let mut new = package("bash", "5", Vec::new());
    new.complete = false;
    let (_dir, store, key) = filled(test, std::slice::from_ref(&new), &[]).await;
    let [found] = store.unscanned_packages(&scope(), 9).await.unwrap().try_into().unwrap();
    store.add_build_ids(found.key, &[member(1, Role::Executable, Some("/usr/bin/bash"))]).await.unwrap();
    store.record_local_copy(found.key, &Sha256::from_bytes([3; 32]), 7, &SignatureState::Off).await.unwrap();
    assert!(store.unscanned_packages(&scope(), 9).await.unwrap().is_empty());

    // The same file again, moved, and no longer with its digest: the scan and the pin are kept, nothing happened.
    let mut moved = NewPackage { location: format!("other/{}", new.location), ..new.clone() };
    let silent = NewPackage { sha256: None, ..new.clone() };
    for listed in [&new, &moved, &silent, &new] {
        let incidents = store.replace_metadata(key, "r2", std::slice::from_ref(listed), &[]).await.unwrap();
        assert_eq!(incidents, []);
        let found = store.find_packages(&scope(), "bash").await.unwrap();
        assert!(found.iter().all(|package| package.sha256 == Some(Sha256::from_bytes([3; 32]))), "{found:?}");
    }
    assert_eq!(store.find_build_ids(None, &[build_id(1)]).await.unwrap().len(), 1);
    let before = store.find_packages(&scope(), "bash").await.unwrap();

    // Other bytes, at the known place and at a new one.
    let other = FileIdentity { sha256: Some(Sha256::from_bytes([4; 32])), size_bytes: new.size_bytes };
    let mut changed = NewPackage { sha256: other.sha256, ..new.clone() };
    changed.build_ids = vec![member(2, Role::Executable, None)].into();
    moved = NewPackage { location: "elsewhere.rpm".into(), ..changed.clone() };
    for (revision, listed) in [("r3", &changed), ("r4", &moved), ("r5", &changed)] {
        let incidents = store.replace_metadata(key, revision, std::slice::from_ref(listed), &[]).await.unwrap();
        let [incident] = &incidents[..] else { panic!("{incidents:?}") };
        assert_eq!((incident.offered, &incident.location), (other, &listed.location));
        assert_eq!(incident.known.sha256, Some(Sha256::from_bytes([3; 32])));
        assert_eq!((incident.kind, &incident.finding), (IncidentKind::Changed, &None));
        assert_eq!(store.find_packages(&scope(), "bash").await.unwrap(), before, "{revision}");
        assert!(store.find_build_ids(None, &[build_id(2)]).await.unwrap().is_empty());
        assert_eq!(store.repository(key).await.unwrap().revision.as_deref(), Some(revision));
    }
    assert_eq!(store.incidents(key).await.unwrap().len(), 2, "one for each location");

    // What was found out stays as long as the same bytes are offered.
    let mut examined = store.incidents(key).await.unwrap().remove(0);
    (examined.kind, examined.finding) = (IncidentKind::Resigned, Some("the signature alone".into()));
    examined.location.clone_from(&new.location);
    store.record_incident(&examined).await.unwrap();
    let [again] = store.replace_metadata(key, "r6", &[changed.clone()], &[]).await.unwrap().try_into().unwrap();
    assert_eq!((again.kind, again.finding), (IncidentKind::Resigned, examined.finding));
    changed.sha256 = Some(Sha256::from_bytes([5; 32]));
    let [again] = store.replace_metadata(key, "r7", &[changed], &[]).await.unwrap().try_into().unwrap();
    assert_eq!((again.kind, again.finding), (IncidentKind::Changed, None));
    assert!(store.replace_metadata(key, "r8", &[new], &[]).await.unwrap().is_empty(), "upstream took it back");
}

async fn another_version_at_the_same_location_is_an_update(test: Test) {
    let mut latest = package("tool", "1", vec![member(1, Role::Executable, None)]);
    latest.location = "tool-latest.rpm".into();
    let (_dir, store, key) = filled(test, std::slice::from_ref(&latest), &[]).await;
    let mut next = package("tool", "2", vec![member(2, Role::Executable, None)]);
    (next.location, next.sha256) = (latest.location.clone(), Some(Sha256::from_bytes([9; 32])));
    for (revision, listed) in [("r2", &next), ("r3", &latest), ("r4", &next)] {
        assert_eq!(store.replace_metadata(key, revision, std::slice::from_ref(listed), &[]).await.unwrap(), []);
        assert_eq!(store.find_packages(&scope(), "tool").await.unwrap().len(), 2);
        assert_eq!(store.find_build_ids(None, &[build_id(1), build_id(2)]).await.unwrap().len(), 2);
    }
}

async fn paths_are_found_under_both_names_of_a_merged_usr(test: Test) {
    let paths = [(PathKey::of("/lib/x86_64-linux-gnu/libc.so.6"), "libc6".into())];
    let (_dir, store, _) =
        filled(test, &[package("libc6", "1", Vec::new()), package("libc6", "2", Vec::new())], &paths).await;
    for path in ["/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6"] {
        assert_eq!(store.find_path(&scope(), path).await.unwrap().len(), 2, "{path}");
    }
    assert!(store.find_path(&scope(), "/opt/lib/libc.so.6").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_reader_sees_the_old_index_until_the_new_one_is_whole() {
    let (dir, store, key) =
        filled(Test::sqlite().await, &[package("bash", "5", vec![member(1, Role::Executable, None)])], &[]).await;
    let mut transaction = store.database.begin("test").await.unwrap();
    sqlx::query("DELETE FROM build_ids").execute(&mut *transaction).await.unwrap();
    let reader = Store::open(dir.path()).await.unwrap();
    assert_eq!(reader.find_build_ids(None, &[build_id(1)]).await.unwrap().len(), 1);
    drop(transaction);
    assert_eq!(store.find_build_ids(None, &[build_id(1)]).await.unwrap().len(), 1);
    assert_eq!(store.repository(key).await.unwrap().revision.as_deref(), Some("r1"));
}

#[tokio::test]
async fn a_replacement_that_breaks_in_the_middle_leaves_the_old_index() {
    let (_dir, store, key) =
        filled(Test::sqlite().await, &[package("bash", "5", vec![member(1, Role::Executable, None)])], &[]).await;
    let breaks_late = "CREATE TRIGGER break BEFORE INSERT ON paths BEGIN SELECT RAISE(ABORT, 'broken'); END";
    sqlx::query(breaks_late).execute(&store.database.pool).await.unwrap();
    let new = [package("bash", "6", vec![member(2, Role::Executable, None)])];
    let paths = [(PathKey::of("/bin/bash"), "bash".into())];
    let error = store.replace_metadata(key, "r2", &new, &paths).await.unwrap_err();
    assert!(matches!(error, StoreError::Database { .. }), "{error}");
    assert_eq!(store.repository(key).await.unwrap().revision.as_deref(), Some("r1"));
    let found = store.find_build_ids(None, &[build_id(1), build_id(2)]).await.unwrap();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [build_id(1)]);
    sqlx::query("DROP TRIGGER break").execute(&store.database.pool).await.unwrap();
    store.replace_metadata(key, "r2", &new, &paths).await.unwrap();
}

async fn of_two_packages_with_one_location_the_later_one_counts(test: Test) {
    let mut twice = [
        package("bash", "5", vec![member(1, Role::Executable, None)]),
        package("bash", "5", vec![member(2, Role::Executable, None)]),
    ];
    twice[1].source = Some("other".into());
    let (_dir, store, key) = filled(test, &twice, &[]).await;
    for revision in ["r2", "r3"] {
        let [found] = store.find_packages(&scope(), "bash").await.unwrap().try_into().unwrap();
        assert_eq!(found.source.as_deref(), Some("other"));
        let ids = store.find_build_ids(None, &[build_id(1), build_id(2)]).await.unwrap();
        assert_eq!(ids.into_keys().collect::<Vec<_>>(), [build_id(2)]);
        store.replace_metadata(key, revision, &twice, &[]).await.unwrap();
    }
}

async fn many_build_ids_are_asked_in_one_go(test: Test) {
    let members = (0..50_000).map(|n| member(n, Role::Executable, None)).collect();
    let (_dir, store, _) = filled(test, &[package("many", "1", members)], &[]).await;
    let wanted: Vec<_> = (0..60_000).map(build_id).collect();
    assert_eq!(store.find_build_ids(Some(&scope()), &wanted).await.unwrap().len(), 50_000);
}

#[tokio::test]
async fn an_index_of_the_first_schema_is_converted() {
    let dir = tempfile::tempdir().unwrap();
    let old =
        sqlx::SqlitePool::connect(&format!("sqlite://{}/retrace.db?mode=rwc", dir.path().display())).await.unwrap();
    let first = crate::database::SQLITE_MIGRATIONS.iter().take(1).cloned().collect();
    sqlx::migrate::Migrator::with_migrations(first).run(&old).await.unwrap();
    let hash = "cdef0123";
    for (id, location, source, file_build_id, path) in [
        (
            1,
            "'Packages/b/bash-5-1.x86_64.rpm'",
            "'bash-5-1.src.rpm'",
            "abcdef0123",
            format!("/usr/lib/.build-id/ab/{hash}"),
        ),
        (2, "'odd name.rpm'", "'other'", "bbcdef0123", "/usr/bin/bash".to_owned()),
        (3, "'bash-5-1.x86_64.rpm'", "NULL", "cbcdef0123", String::new()),
    ] {
        let statements = [
            "INSERT OR IGNORE INTO repositories VALUES (1, 'fedora-40', 'x86_64', 'releases', '{}', 'k', 'r1', 5)".to_owned(),
            format!(
                "INSERT INTO packages VALUES ({id}, 1, 'bash', 2, '5', '1', 'x86_64', '\"binary\"', '\"rpm\"', {location}, 7,
                 NULL, {source}, '[[\"dep\",\"1-1\"]]', {}, 1, NULL, NULL, NULL)",
                id % 2
            ),
            format!("INSERT INTO build_ids VALUES (x'{file_build_id}', {id}, 0, '{path}')"),
            format!("INSERT INTO paths VALUES ('/usr/bin/bash{id}', 1, 'bash')"),
        ];
        for statement in statements {
            sqlx::query(AssertSqlSafe(statement)).execute(&old).await.unwrap();
        }
    }
    old.close().await;

    let store = Store::open(dir.path()).await.unwrap();
    let mut found = store.find_packages(&scope(), "bash").await.unwrap();
    found.sort_by_key(|package| package.key);
    let rows: Vec<_> = found.iter().map(|p| (p.location.as_str(), p.source.as_deref(), p.complete)).collect();
    let want = [
        ("Packages/b/bash-5-1.x86_64.rpm", Some("bash-5-1.src.rpm"), true),
        ("odd name.rpm", Some("other"), false),
        ("bash-5-1.x86_64.rpm", None, true),
    ];
    assert_eq!(rows, want);
    assert_eq!(found[0].id.to_string(), "bash-2:5-1.x86_64");
    assert_eq!(found[0].exact_depends, [("dep".to_owned(), "1-1".to_owned())]);
    let ids: Vec<BuildId> = ["abcdef0123", "bbcdef0123", "cbcdef0123"].map(|id| id.parse().unwrap()).into();
    let providers = store.find_build_ids(Some(&scope()), &ids).await.unwrap();
    let paths: Vec<_> = ids.iter().map(|id| providers[id][0].path.as_deref()).collect();
    assert_eq!(paths, [Some("/usr/lib/.build-id/ab/cdef0123"), Some("/usr/bin/bash"), None]);
    assert_eq!(store.find_path(&scope(), "/bin/bash2").await.unwrap().len(), 3, "every package of the name");
    assert_eq!(store.find_by_source(&scope(), "bash-5-1.src.rpm").await.unwrap().len(), 1);
}
