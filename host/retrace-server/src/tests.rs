//! The protocol on the wire, spoken by a client that shows every byte.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use retrace_store::{NewPackage, NewRepository, Outcome, Store};
use retrace_types::{
    Architecture, PackageFormat, PackageId, PackageKind, RepositoryContent, RepositoryLayout, RepositorySpec,
    SignaturePolicy, TaskId, TaskStatus,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{AppState, ServerOptions, serve};

const PLAIN: ServerOptions = ServerOptions {
    require_https: false,
    trust_forwarded_proto: false,
    max_parallel_tasks: 3,
    max_packed_bytes: 4 << 20,
    max_unpacked_bytes: 8 << 20,
    min_storage_left_bytes: 0,
    idle_timeout: Duration::from_secs(2),
    max_connections: 16,
};

struct TestServer {
    address: SocketAddr,
    store: Store,
    dir: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    async fn start(options: ServerOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let state = AppState::new(store.clone(), options);
        let done = tokio::spawn(serve(listener, state, async {
            let _ = stopped.await;
        }));
        Self { address, store, dir, stop: Some(stop), done }
    }

    async fn send(&self, request: impl Into<Vec<u8>>) -> Reply {
        let (address, request) = (self.address, request.into());
        tokio::task::spawn_blocking(move || exchange(address, &request)).await.unwrap()
    }

    async fn get(&self, path: &str, headers: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")).await
    }

    async fn create(&self, headers: &str, body: &[u8]) -> Reply {
        let head = format!(
            "POST /create HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.send([head.as_bytes(), body].concat()).await
    }

    async fn stop(mut self) -> tempfile::TempDir {
        let _ = self.stop.take().unwrap().send(());
        self.done.await.unwrap().unwrap();
        self.store.close().await;
        self.dir
    }

    /// Files of tasks that the server keeps.
    fn task_dirs(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("tasks")).unwrap().count()
    }
}

#[derive(Debug)]
struct Reply {
    head: String,
    body: String,
}

impl Reply {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// Sends everything, reads to the end of the stream as the strictest client does.
fn exchange(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Reply { head: head.to_owned(), body: body.to_owned() }
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o640);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn good_archive() -> Vec<u8> {
    archive(&[
        ("coredump", b"core"),
        ("executable", b"/usr/bin/x"),
        ("package", b"x-1-1"),
        ("os_release", b"Fedora 40"),
    ])
}

const TAR: &str = "Content-Type: application/x-tar\r\n";

async fn created(server: &TestServer) -> (TaskId, String) {
    let reply = server.create(TAR, &good_archive()).await;
    assert_eq!(reply.status(), 201, "{reply:?}");
    let id = reply.header("X-Task-Id").unwrap().parse().unwrap();
    (id, format!("X-Task-Password: {}\r\n", reply.header("X-Task-Password").unwrap()))
}

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
        build_ids: Vec::new(),
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

    let lease = server.store.lease_next("test", Duration::from_secs(9)).await.unwrap().unwrap();
    assert_eq!(std::fs::read(server.store.task_dir(id).join("crash/coredump")).unwrap(), b"core");
    server.store.set_status(&lease, TaskStatus::Backtrace).await.unwrap();
    assert_eq!(server.get(&format!("/{id}/"), &auth).await.body, "Generating backtrace");
    server.store.put_task_result(id, "backtrace", b"#0 main ()\n").await.unwrap();
    server.store.put_task_result(id, "log", b"story").await.unwrap();
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
    let running = tokio::spawn(serve(listener, AppState::new(store.clone(), PLAIN), std::future::pending()));
    let request = format!("GET /{id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{auth}\r\n");
    let reply = tokio::task::spawn_blocking(move || exchange(address, request.as_bytes())).await.unwrap();
    assert_eq!(reply.header("X-Task-Status"), Some("PENDING"));
    assert_eq!(store.lease_next("w", Duration::from_secs(1)).await.unwrap().unwrap().task, id);
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
        ("rar", "Content-Type: application/x-rar-compressed\r\n".into(), &good, 415),
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

    for _ in 0..100 {
        if server.task_dirs() == 0 && server.store.active_tasks().await.unwrap() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a refused upload left {} folders behind", server.task_dirs());
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
async fn more_than_the_allowed_tasks_are_refused_with_503() {
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
    let proxied = TestServer::start(ServerOptions { require_https: true, trust_forwarded_proto: true, ..PLAIN }).await;
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
    supported_formats application/x-xz-compressed-tar application/x-gzip application/x-tar
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
async fn a_client_that_breaks_off_leaves_nothing_and_a_silent_one_is_dropped() {
    let server = TestServer::start(PLAIN).await;
    let address = server.address;
    let request = format!("POST /create HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n{TAR}\r\npart");
    let silent = tokio::task::spawn_blocking(move || {
        let mut broken = TcpStream::connect(address).unwrap();
        broken.write_all(request.as_bytes()).unwrap();
        drop(broken);
        let mut silent = TcpStream::connect(address).unwrap();
        silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        silent.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        silent.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    });
    let answer = silent.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    for _ in 0..100 {
        if server.task_dirs() == 0 && server.store.active_tasks().await.unwrap() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("an upload that broke off left its folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_cut_off() {
    let server = TestServer::start(PLAIN).await;
    let address = server.address;
    let cut = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"GET /settings HTTP/1.1\r\nX-Endless: ").unwrap();
        let chunk = [b'a'; 16 * 1024];
        let mut sent = 0;
        while sent < 64 << 20 && stream.write_all(&chunk).is_ok() {
            sent += chunk.len();
        }
        sent
    });
    assert!(cut.await.unwrap() < 16 << 20, "the server read on");
    assert_eq!(server.get("/settings", "").await.status(), 200);
}

#[test]
fn no_path_of_this_machine_is_in_a_reply() {
    let text = crate::ApiError::Io(std::io::Error::other("/secret/path")).to_string();
    assert!(!text.contains("/secret"), "{text}");
    assert!(Path::new("/").exists());
}
