//! What clients rely on: the checklist of the protocol, status by status.

use retrace_store::{NewPackage, NewRepository, Outcome};
use retrace_types::{
    Architecture, PackageFormat, PackageId, PackageKind, RepositoryContent, RepositoryLayout, RepositorySpec,
    SignaturePolicy, TaskStatus,
};

use super::*;
use crate::ApiError;

async fn index_package(store: &Store, release: &str, architecture: Architecture, id: PackageId) {
    let new = NewRepository {
        release: release.parse().unwrap(),
        architecture,
        spec: RepositorySpec {
            id: "releases".into(),
            title: "Releases".into(),
            layout: RepositoryLayout::RpmMd,
            content: RepositoryContent::Packages,
            mirrors: vec!["/srv".into()],
            signatures: SignaturePolicy { metadata: true, packages: true },
            keys: Vec::new(),
            config: Vec::new(),
        },
        keys_armored: String::new(),
    };
    let key = store.register_repository(&new).await.unwrap();
    let package = NewPackage {
        location: format!("{}.rpm", id.name),
        id,
        kind: PackageKind::Binary,
        format: PackageFormat::Rpm,
        size_bytes: None,
        sha256: None,
        source: None,
        exact_depends: Vec::new(),
        build_ids: Default::default(),
        complete: true,
    };
    store.replace_metadata(key, "1", &[package], &[]).await.unwrap();
}

fn package(name: &str, arch: &str) -> PackageId {
    PackageId {
        name: name.into(),
        epoch: Some(1),
        version: "5.2".into(),
        release: Some("3.fc40".into()),
        arch: arch.into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_goes_in_and_its_result_comes_out() {
    let server = TestServer::start(PLAIN).await;
    let reply = server.create(&format!("{TAR}X-Task-Type: 0\r\n"), &good_archive()).await;
    assert_eq!((reply.status(), reply.body.as_str()), (201, ""));
    assert_eq!(reply.header("Content-Length"), Some("0"));
    let id: TaskId = reply.header("X-Task-Id").unwrap().parse().unwrap();
    let password = reply.header("X-Task-Password").unwrap().to_owned();
    let auth = format!("X-Task-Password: {password}\r\n");

    let pending = server.get(&format!("/{id}"), &auth).await;
    assert_eq!(pending.header("X-Task-Status"), Some("PENDING"));
    assert_eq!(pending.body, "Analyzing crash data");
    let early = server.get(&format!("/{id}/backtrace"), &auth).await;
    assert_eq!((early.status(), early.body.as_str()), (404, "There is no backtrace for the specified task"));

    let lease = server.store.lease_next("test", Duration::from_secs(9), u64::MAX).await.unwrap().unwrap();
    assert_eq!(std::fs::read(server.store.task_dir(id).join("crash/coredump")).unwrap(), b"core");
    server.store.set_status(&lease, TaskStatus::Backtrace).await.unwrap();
    assert_eq!(server.get(&format!("/{id}/"), &auth).await.body, "Generating backtrace");
    server.store.put_task_result(&lease, "backtrace", b"#0 main ()\n").await.unwrap();
    server.store.put_task_result(&lease, "log", b"story").await.unwrap();
    server.store.finish(&lease, &Outcome::Success).await.unwrap();

    let done = server.get(&format!("/{id}"), &auth).await;
    assert_eq!(done.header("X-Task-Status"), Some("FINISHED_SUCCESS"));
    assert_eq!(done.body, "Retrace job finished successfully");
    assert_eq!(server.get(&format!("/{id}/backtrace"), &auth).await.body, "#0 main ()\n");
    assert_eq!(server.get(&format!("/{id}/log"), &auth).await.body, "story");
    assert_eq!(server.get(&format!("/{id}/exploitable"), &auth).await.status(), 404);
    assert_eq!(server.task_dirs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_survive_a_restart() {
    let server = TestServer::start(PLAIN).await;
    let (id, auth) = created(&server).await;
    let dir = server.stop().await;
    let store = Store::open(dir.path()).await.unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let running = tokio::spawn(serve(listener, AppState::new(store.clone(), PLAIN), None, std::future::pending()));
    let request = format!("GET /{id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{auth}\r\n");
    let reply = tokio::task::spawn_blocking(move || exchange(address, request.as_bytes())).await.unwrap();
    assert_eq!(reply.header("X-Task-Status"), Some("PENDING"));
    assert_eq!(store.lease_next("w", Duration::from_secs(1), u64::MAX).await.unwrap().unwrap().task, id);
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_uploads_have_their_status_code_and_leave_nothing() {
    let server = TestServer::start(PLAIN).await;
    let good = good_archive();
    let missing = archive(&[("coredump", b"core"), ("executable", b"x")]);
    let forbidden = archive(&[("coredump", b"core"), ("evil", b"x")]);
    let large = vec![0; (4 << 20) + 1];
    let cases: [(&str, String, &[u8], u16); 12] = [
        ("no type", String::new(), &good, 415),
        ("zip", "Content-Type: application/zip\r\n".into(), &good, 415),
        ("too large", TAR.into(), &large, 413),
        ("external", format!("{TAR}X-CoreFileDirectory: /srv\r\n"), &good, 403),
        ("type is no number", format!("{TAR}X-Task-Type: abc\r\n"), &good, 400),
        ("interactive", format!("{TAR}X-Task-Type: 3\r\n"), &good, 409),
        ("a file is missing", TAR.into(), &missing, 403),
        ("a file is not allowed", TAR.into(), &forbidden, 403),
        ("not xz", "Content-Type: application/x-xz-compressed-tar\r\n".into(), &good, 500),
        ("not gzip", "Content-Type: application/x-gzip\r\n".into(), &good, 500),
        ("vmcore is missing", format!("{TAR}X-Task-Type: 2\r\n"), &good, 403),
        ("empty", TAR.into(), b"", 403),
    ];
    for (case, headers, body, status) in cases {
        let reply = server.create(&headers, body).await;
        assert_eq!(reply.status(), status, "{case}: {reply:?}");
        assert!(!reply.body.is_empty() && !reply.body.contains(['%', '\n']), "{case}: {:?}", reply.body);
        assert_eq!(reply.header("Content-Length"), Some(reply.body.len().to_string().as_str()), "{case}");
    }
    assert_eq!(server.get("/create", "").await.status(), 405);
    let chunked = format!(
        "POST /create HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{TAR}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    );
    assert_eq!(server.send(chunked).await.status(), 411);

    server.expect_tasks(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_types_out_of_range_mean_a_core() {
    let server = TestServer::start(PLAIN).await;
    for kind in ["7", "-1", "300"] {
        let reply = server.create(&format!("{TAR}X-Task-Type: {kind}\r\n"), &good_archive()).await;
        assert_eq!(reply.status(), 201, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_wait_until_the_queue_is_full_then_503_says_when_to_come_back() {
    let server = TestServer::start(PLAIN).await;
    for _ in 0..3 {
        created(&server).await;
    }
    assert_eq!(server.create(TAR, &good_archive()).await.status(), 503);
    let settings = server.get("/settings", "").await.body;
    assert!(settings.starts_with("running_tasks 3\nmax_running_tasks 3\n"), "{settings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_shown_to_its_password_alone() {
    let server = TestServer::start(PLAIN).await;
    let (id, auth) = created(&server).await;
    for item in ["", "/", "/backtrace", "/log", "/exploitable"] {
        let path = format!("/{id}{item}");
        assert_eq!(server.get(&path, "").await.status(), 403, "{path} without");
        assert_eq!(server.get(&path, "X-Task-Password: wrong\r\n").await.status(), 403, "{path} wrong");
    }
    for path in ["/100000000", "/1", "/99999999999999999999", "/abc", "/1/nothing", "/../etc/passwd"] {
        let reply = server.get(path, &auth).await;
        assert_eq!(reply.status(), 404, "{path}");
        assert!(!reply.body.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_required_where_the_operator_asks_for_it() {
    let server = TestServer::start(ServerOptions { require_https: true, ..PLAIN }).await;
    assert_eq!(server.create(TAR, &good_archive()).await.status(), 403);
    assert_eq!(server.get("/123456789", "").await.status(), 403);
    assert_eq!(server.get("/123456789", "X-Forwarded-Proto: https\r\n").await.status(), 403, "an untrusted header");
    assert_eq!(server.get("/settings", "").await.status(), 200);
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let proxied = TestServer::start(ServerOptions { require_https: true, trusted_proxies, ..PLAIN }).await;
    assert_eq!(proxied.get("/123456789", "X-Forwarded-Proto: https\r\n").await.status(), 404);
    assert_eq!(proxied.get("/123456789", "X-Forwarded-Proto: http\r\n").await.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_six_lines_without_carriage_returns() {
    let server = TestServer::start(PLAIN).await;
    index_package(&server.store, "fedora-40", Architecture::X86_64, package("bash", "x86_64")).await;
    index_package(&server.store, "fedora-40", Architecture::I686, package("bash", "i686")).await;
    for version in 41..80 {
        index_package(&server.store, &format!("fedora-{version}"), Architecture::X86_64, package("bash", "x86_64"))
            .await;
    }
    let reply = server.get("/settings", "").await;
    assert_eq!(reply.header("Content-Type"), Some("text/plain"));
    assert!(!reply.body.contains('\r') && !reply.body.ends_with('\n'));
    let releases = reply.body.lines().last().unwrap().split(' ').skip(1).count();
    assert_eq!(releases, 32, "an old client stores no more");
    let (head, releases) = reply.body.rsplit_once('\n').unwrap();
    assert!(releases.starts_with("supported_releases fedora-40-i386 fedora-40-x86_64 fedora-41-x86_64"), "{releases}");
    insta::assert_snapshot!(head, @r"
    running_tasks 0
    max_running_tasks 3
    max_packed_size 4
    max_unpacked_size 8
    supported_formats application/x-xz-compressed-tar application/x-gzip application/x-tar application/x-rar-compressed application/zstd
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpackage_answers_302_without_a_location_or_404() {
    let server = TestServer::start(PLAIN).await;
    index_package(&server.store, "fedora-40", Architecture::X86_64, package("will-crash", "x86_64")).await;
    index_package(&server.store, "fedora-41", Architecture::X86_64, package("docs", "noarch")).await;
    let check = |nvr: &str, arch: &str, release: &str| {
        let header = |name: &str, value: &str| match value {
            "-" => String::new(),
            value => format!("{name}: {value}\r\n"),
        };
        header("X-Package-NVR", nvr) + &header("X-Package-Arch", arch) + &header("X-OS-Release", release)
    };
    let cases = [
        ("will-crash-5.2-3.fc40", "x86_64", "fedora-40-x86_64", 302),
        ("will-crash-1:5.2-3.fc40", "x86_64", "fedora-40-x86_64", 302),
        ("will-crash-5.2-3.fc40", "x86_64", "-", 302),
        ("docs-5.2-3.fc40", "x86_64", "fedora-41-x86_64", 302),
        ("will-crash-5.2-4.fc40", "x86_64", "fedora-40-x86_64", 404),
        ("will-crash-5.2-3.fc40", "aarch64", "fedora-40-x86_64", 404),
        ("will-crash-5.2-3.fc40", "x86_64", "fedora-41-x86_64", 404),
        ("will-crash-5.2-3.fc40", "x86_64", "fedora-99-x86_64", 404),
        ("-", "x86_64", "fedora-40-x86_64", 403),
        ("will crash", "x86_64", "fedora-40-x86_64", 403),
        ("will-crash-5.2-3.fc40", "-", "fedora-40-x86_64", 403),
        ("will-crash-5.2-3.fc40", "x86 64", "fedora-40-x86_64", 403),
        ("will-crash-5.2-3.fc40", "x86_64", "Red Hat Enterprise Linux 8-8.4-x86_64", 403),
    ];
    for (nvr, arch, release, status) in cases {
        let reply = server.get("/checkpackage", &check(nvr, arch, release)).await;
        assert_eq!(reply.status(), status, "{nvr} {arch} {release}: {reply:?}");
        assert_eq!(reply.header("Location"), None);
        assert!(reply.header("Content-Length").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_headers_of_old_clients_are_no_reason_to_refuse() {
    let server = TestServer::start(PLAIN).await;
    let odd = [
        "Accept-Charset: \r\n",
        "Accept-Charset: UTF-8;LC_NUMERIC=C;LC_TIME=C\r\nAccept-Language: LC_CTYPE=C.UTF-8;LC_NUMERIC=C\r\n",
        "Content-Length: 0\r\n",
        "Accept-Encoding: gzip, deflate, br\r\n",
    ];
    for headers in odd {
        let reply = server.get("/settings", headers).await;
        assert_eq!(reply.status(), 200, "{headers}");
        assert_eq!(reply.header("Transfer-Encoding"), None);
        assert_eq!(reply.header("Connection"), Some("close"));
    }
    assert_eq!(server.send("DELETE /settings HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.status(), 200);
    assert_eq!(server.get("/", "").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_is_served_while_the_first_stays_open() {
    let server = TestServer::start(PLAIN).await;
    let address = server.address;
    let open = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /settings HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream
    });
    let _open = open.await.unwrap();
    created(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_the_same_to_the_byte() {
    let server = TestServer::start(PLAIN).await;
    let redacted = |reply: Reply| {
        let lines = reply.head.lines().filter(|line| !line.starts_with("Date: "));
        lines.chain([""]).map(|line| format!("{line}\n")).collect::<String>() + &reply.body
    };
    let (id, auth) = created(&server).await;
    insta::assert_snapshot!(redacted(server.get(&format!("/{id}"), &auth).await), @r"
    HTTP/1.1 200 OK
    Content-Type: text/plain
    X-Task-Status: PENDING
    Content-Length: 20
    Connection: close

    Analyzing crash data
    ");
    insta::assert_snapshot!(redacted(server.get(&format!("/{id}/backtrace"), &auth).await), @r"
    HTTP/1.1 404 Not Found
    Content-Type: text/plain
    Content-Length: 44
    Connection: close

    There is no backtrace for the specified task
    ");
    let check = "X-Package-NVR: a-1-1\r\nX-Package-Arch: x86_64\r\n";
    insta::assert_snapshot!(redacted(server.get("/checkpackage", check).await), @r"
    HTTP/1.1 404 Not Found
    Connection: close
    Content-Length: 0
    ");
    let reply = server.create(TAR, &good_archive()).await;
    let (id, password) = (reply.header("X-Task-Id").unwrap(), reply.header("X-Task-Password").unwrap());
    assert_eq!((id.len(), password.len()), (9, 32));
    let text = redacted(Reply { head: reply.head.replace(id, "ID").replace(password, "PASSWORD"), body: reply.body });
    insta::assert_snapshot!(text, @r"
    HTTP/1.1 201 Created
    X-Task-Id: ID
    X-Task-Password: PASSWORD
    Connection: close
    Content-Length: 0
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_task_says_so_and_has_a_log_even_if_its_worker_wrote_none() {
    let server = TestServer::start(PLAIN).await;
    let (id, auth) = created(&server).await;
    assert_eq!(server.get(&format!("/{id}/log"), &auth).await.status(), 404, "not finished, no log");
    let failed = Outcome::Failure { message: "no package has build-id abcd".into() };
    server.finish(&[("backtrace", b"")], &failed).await;
    let status = server.get(&format!("/{id}"), &auth).await;
    assert_eq!(status.header("X-Task-Status"), Some("FINISHED_FAILURE"));
    assert_eq!(status.body, "Retrace job failed");
    let log = server.get(&format!("/{id}/log"), &auth).await;
    assert_eq!((log.status(), log.body.as_str()), (200, "Task failed: no package has build-id abcd\n"));
    assert_eq!(server.get(&format!("/{id}/backtrace"), &auth).await.status(), 404, "an empty body crashes a client");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_is_sent_whole_with_its_length() {
    let server = TestServer::start(PLAIN).await;
    let (id, auth) = created(&server).await;
    let text: String = (0..400_000).map(|n| format!("#{n} frame ()\n")).collect();
    server.finish(&[("backtrace", text.as_bytes())], &Outcome::Success).await;
    let reply = server.get(&format!("/{id}/backtrace"), &auth).await;
    assert_eq!(reply.header("Content-Length"), Some(text.len().to_string().as_str()));
    assert_eq!(reply.header("Transfer-Encoding"), None);
    assert!(reply.body == text, "{} of {} bytes", reply.body.len(), text.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn content_types_are_compared_without_case_and_parameters() {
    let server = TestServer::start(PLAIN).await;
    for (content_type, status) in [
        ("application/x-tar; charset=binary", 201),
        ("Application/X-TAR", 201),
        ("application/x-tar2", 415),
        ("text/html; application/x-tar", 415),
    ] {
        let reply = server.create(&format!("Content-Type: {content_type}\r\n"), &good_archive()).await;
        assert_eq!(reply.status(), status, "{content_type}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_would_fill_the_disk_is_answered_with_507() {
    let server = TestServer::start(ServerOptions { min_storage_left_bytes: u64::MAX, ..PLAIN }).await;
    let reply = server.create(TAR, &good_archive()).await;
    assert_eq!((reply.status(), reply.body.as_str()), (507, "There is not enough free space on the server"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_ask_before_it_sends() {
    let server = TestServer::start(PLAIN).await;
    let body = good_archive();
    let head = format!(
        "POST /create HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {}\r\n{TAR}\r\n",
        body.len()
    );
    let reply = server.send([head.as_bytes(), &body].concat()).await;
    assert_eq!(reply.status(), 100);
    assert!(reply.body.starts_with("HTTP/1.1 201 Created\r\n"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_for_those_who_want_it() {
    let server = TestServer::start(PLAIN).await;
    let twice =
        "GET /settings HTTP/1.1\r\nHost: x\r\n\r\nGET /settings HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let reply = server.send(twice).await;
    assert_eq!(reply.body.matches("HTTP/1.1 200 OK").count(), 1, "the second answer follows the first: {reply:?}");
    let old = server.send("GET /settings HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status(), 200);
    assert_eq!(old.header("Transfer-Encoding"), None);
}

/// Every reason that a client can be given, with its status; the archive's reasons are in a table of their own.
#[test]
fn each_error_has_its_status() {
    let cases = [
        (ApiError::InvalidTaskType, 400),
        (ApiError::HttpsRequired, 403),
        (ApiError::ExternalDirectory, 403),
        (ApiError::MissingFile("coredump"), 403),
        (ApiError::InvalidHeader("X-Package-NVR"), 403),
        (ApiError::WrongPassword, 403),
        (ApiError::NoSuchTask, 404),
        (ApiError::NoBacktrace, 404),
        (ApiError::NoLog, 404),
        (ApiError::NoExploitable, 404),
        (ApiError::NoSuchPage, 404),
        (ApiError::NotPost, 405),
        (ApiError::UploadStopped, 408),
        (ApiError::Interactive, 409),
        (ApiError::LengthRequired, 411),
        (ApiError::TooManyGuesses { wait: Duration::ZERO }, 429),
        (ApiError::ArchiveTooLarge { limit_mib: 1 }, 413),
        (ApiError::UnsupportedFormat, 415),
        (ApiError::Store(retrace_store::StoreError::NoFreeTaskId), 500),
        (ApiError::from(std::io::Error::other("/secret/path")), 500),
        (ApiError::QueueFull, 503),
        (ApiError::NoSpace, 507),
        (ApiError::from(std::io::Error::from(std::io::ErrorKind::StorageFull)), 507),
    ];
    for (error, status) in cases {
        let text = error.to_string();
        assert_eq!(error.status().as_u16(), status, "{text}");
        // An old client prints the text as a format; nobody is told paths of the server.
        assert!(!text.is_empty() && !text.contains(['%', '\n', '\r']) && !text.contains("secret"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_deleted_by_who_knows_its_password_if_that_is_allowed() {
    let server = TestServer::start(PLAIN).await;
    let (id, password) = created(&server).await;
    assert_eq!(server.get(&format!("/{id}/delete"), &password).await.status(), 403, "off by default");
    let server = TestServer::start(ServerOptions { allow_delete: true, ..PLAIN }).await;
    let (id, password) = created(&server).await;
    assert_eq!(server.get("/999999999/delete", &password).await.status(), 404);
    assert_eq!(server.get(&format!("/{id}/delete"), "").await.status(), 403);
    assert_eq!(server.get(&format!("/{id}/delete"), "X-Task-Password: x\r\n").await.status(), 403);
    server.expect_tasks(1).await;
    assert_eq!(server.get(&format!("/{id}/delete"), &password).await.status(), 200);
    server.expect_tasks(0).await;
    assert_eq!(server.get(&format!("/{id}"), &password).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_whether_it_lives_and_is_ready() {
    let server = TestServer::start(PLAIN).await;
    assert_eq!((server.get("/healthz", "").await.status(), server.get("/readyz", "").await.status()), (200, 200));
    assert_eq!(server.get("/metrics", "").await.status(), 403, "nothing counts in this process");
    let full = TestServer::start(ServerOptions { min_storage_left_bytes: u64::MAX, ..PLAIN }).await;
    let answer = full.get("/readyz", "").await;
    assert_eq!((answer.status(), answer.body.as_str()), (503, "not ready: the disk is nearly full"));
    server.store.close().await;
    assert_eq!(server.get("/readyz", "").await.status(), 503);
    assert_eq!(server.get("/healthz", "").await.status(), 200, "restarting it would not help");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_on_the_server_is_taken_from_an_allowed_folder_alone() {
    let dir = tempfile::tempdir().unwrap();
    let allowed = dir.path().join("allowed");
    for name in ["good", "two", "link", "empty", "other"] {
        std::fs::create_dir_all(allowed.join(name)).unwrap();
    }
    std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
    for file in ["allowed/good/a.tar", "allowed/two/a.tar", "allowed/two/b.tar", "elsewhere/a.tar"] {
        std::fs::write(dir.path().join(file), good_archive()).unwrap();
    }
    std::fs::write(allowed.join("other/a.tar"), b"\x1f\x8b is gzip").unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere/a.tar"), allowed.join("link/a.tar")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), allowed.join("out")).unwrap();
    let header = |path: &std::path::Path| format!("{TAR}X-CoreFileDirectory: {}\r\n", path.display());

    let closed = TestServer::start(PLAIN).await;
    assert_eq!(closed.create(&header(&allowed.join("good")), b"").await.status(), 403, "off by default");
    let server = TestServer::start(ServerOptions { external_dirs: vec![allowed.clone()], ..PLAIN }).await;
    for (name, status) in [
        ("good", 201),
        ("missing", 404),
        ("two", 501),
        ("empty", 501),
        ("link", 501),
        ("other", 409),
        ("out", 403),
        ("../elsewhere", 403),
    ] {
        let reply = server.create(&header(&allowed.join(name)), b"what the body holds does not count").await;
        assert_eq!(reply.status(), status, "{name}: {reply:?}");
    }
    assert!(allowed.join("good/a.tar").exists(), "it is not ours to remove");
    server.expect_tasks(1).await;
}
