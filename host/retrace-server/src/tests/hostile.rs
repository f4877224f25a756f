//! Clients that are slow, broken or malicious.

use super::*;

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
    server.expect_tasks(0).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_drips_loses_its_place() {
    let server = TestServer::start(PLAIN).await;
    let address = server.address;
    let dripping = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("POST /create HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n{TAR}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let started = std::time::Instant::now();
        // Never silent for long, and never done.
        while started.elapsed() < Duration::from_secs(20) && stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
        started.elapsed()
    });
    let lasted = dripping.await.unwrap();
    assert!(lasted < Duration::from_secs(10), "it held its place for {lasted:?}");
    server.expect_tasks(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_no_answer_loses_its_connection() {
    let server = TestServer::start(PLAIN).await;
    let (id, auth) = created(&server).await;
    // More than the buffers of the system hold.
    server.finish(&[("backtrace", &vec![b'x'; 48 << 20])], &Outcome::Success).await;
    let address = server.address;
    let received = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = format!("GET /{id}/backtrace HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{auth}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        std::thread::sleep(PLAIN.idle_timeout * 2);
        let mut bytes = Vec::new();
        // Whether the end or a reset: it comes before the whole.
        let _ = stream.read_to_end(&mut bytes);
        bytes.len()
    });
    let received = received.await.unwrap();
    assert!(received < 48 << 20, "{received} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_uploads_at_once_as_many_get_in_as_there_are_places() {
    let server = TestServer::start(PLAIN).await;
    let body = good_archive();
    let replies = futures_util::future::join_all((0..12).map(|_| server.create(TAR, &body))).await;
    let mut counts = std::collections::BTreeMap::<u16, usize>::new();
    for reply in &replies {
        *counts.entry(reply.status()).or_default() += 1;
    }
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(201, 3), (503, 9)]);
    server.expect_tasks(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_left_takes_no_place_and_is_removed() {
    let server = TestServer::start(PLAIN).await;
    let dir = server.stop().await;
    let orphan = dir.path().join("tasks/123456789/crash");
    std::fs::create_dir_all(&orphan).unwrap();
    std::fs::write(orphan.join("coredump"), b"secret").unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let running = tokio::spawn(serve(listener, AppState::new(store, PLAIN), None, std::future::pending()));
    for _ in 0..250 {
        if !orphan.exists() {
            running.abort();
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the folder is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_request_are_refused_and_the_server_goes_on() {
    let server = TestServer::start(PLAIN).await;
    let garbage: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello over TLS\r\n\r\n",
        b"GET /settings HTTP/9.9\r\n\r\n",
        b"POST /create HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /create HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /create HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /create HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ];
    for bytes in garbage {
        let reply = server.send(bytes).await;
        assert!((400..600).contains(&reply.status()), "{reply:?}");
    }
    for path in ["/%ff", "/%00", "/1%2f2", "//", "/123456789/%ff", "/?x=1&x"] {
        let status = server.get(path, "").await.status();
        assert!(matches!(status, 200 | 403 | 404), "{path}: {status}");
    }
    assert_eq!(server.get("/%ff", "").await.status(), 404);
    assert_eq!(server.get("/settings", "").await.status(), 200);
    server.expect_tasks(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_passwords_is_refused_without_a_look_after_some() {
    let server = TestServer::start(PLAIN).await;
    let created = server.create(TAR, &good_archive()).await;
    let (id, password) = (created.header("X-Task-Id").unwrap(), created.header("X-Task-Password").unwrap());
    let (path, right) = (format!("/{id}"), format!("X-Task-Password: {password}\r\n"));
    let allowed = usize::try_from(PLAIN.api.failures_per_minute).unwrap();
    let mut statuses = Vec::new();
    for guess in 0..allowed {
        statuses.push(server.get(&path, &format!("X-Task-Password: guess-{guess}\r\n")).await.status());
    }
    assert_eq!(statuses, vec![403; allowed]);
    let refused = server.get(&path, &right).await;
    assert_eq!(refused.status(), 429, "even the right one: else guessing would go on");
    let wait: u64 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(server.get("/settings", "").await.status(), 200);
    let api = server.get(&format!("/api/v1/tasks/{id}"), &right).await;
    assert_eq!(api.status(), 429, "both protocols count together");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_headers_are_refused() {
    let server = TestServer::start(PLAIN).await;
    let many: String = (0..100_000).map(|number| format!("X-{number}: x\r\n")).collect();
    let address = server.address;
    let refused = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The server may close while they are still on their way.
        let _ = stream.write_all(format!("GET /settings HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    let answer = refused.await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(server.get("/settings", "").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_a_hundred_thousand_entries_is_refused() {
    let server = TestServer::start(ServerOptions { max_packed_bytes: 128 << 20, ..PLAIN }).await;
    let mut header = tar::Header::new_gnu();
    header.set_path("./").unwrap();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_cksum();
    // Folders that are skipped: nothing else would count them.
    let archive = header.as_bytes().repeat(100_000);
    let reply = server.create(TAR, &archive).await;
    assert_eq!((reply.status(), reply.body.as_str()), (403, "The archive has too many members"));
    server.expect_tasks(0).await;
}
