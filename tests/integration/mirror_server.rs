//! The test server itself: a helper that lies must lie in the way it says.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use retrace_tests::{Lie, MirrorServer};

/// The whole answer to a request; what came until the time-out if the server stalls.
fn ask(server: &MirrorServer, request: &str) -> (String, Vec<u8>) {
    let address = server.url().trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let (mut answer, mut buffer, started) = (Vec::new(), [0; 65536], Instant::now());
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..count]);
        if started.elapsed() > Duration::from_millis(300) {
            break;
        }
    }
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
    let body = answer.split_off(end);
    (String::from_utf8(answer).unwrap(), body)
}

fn get(server: &MirrorServer, path: &str) -> (String, Vec<u8>) {
    ask(server, &format!("GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn server() -> (tempfile::TempDir, MirrorServer) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/a+b file"), b"0123456789").unwrap();
    let server = MirrorServer::start(dir.path());
    (dir, server)
}

#[test]
fn an_honest_server_gives_files_ranges_and_counts() {
    let (_dir, server) = server();
    let (head, body) = get(&server, "sub/a%2Bb%20file");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Length: 10\r\n"), "{head}");
    assert_eq!(body, b"0123456789");
    let (head, body) = ask(&server, "GET /sub/a+b%20file HTTP/1.1\r\nrange: bytes=7-\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 206 ") && head.contains("Content-Range: bytes 7-9/10"), "{head}");
    assert_eq!(body, b"789");
    let (head, body) = ask(&server, "HEAD /sub/a+b%20file HTTP/1.1\r\n\r\n");
    assert!(head.contains("Content-Length: 10\r\n") && body.is_empty(), "{head}");
    assert_eq!(server.hits("file"), 3);
    assert_eq!(server.requests()[1].range_start, Some(7));
}

#[test]
fn nothing_outside_the_folder_is_given() {
    let (_dir, server) = server();
    for path in ["../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "sub/../../x", "/etc/passwd", "sub", ""] {
        let (head, _) = get(&server, path);
        assert!(head.starts_with("HTTP/1.1 404 "), "{path}: {head}");
    }
}

#[test]
fn each_lie_is_the_lie_it_says() {
    let cases: [(Lie, &str, &[u8]); 6] = [
        (Lie::Status(503), "HTTP/1.1 503 ", b"a lie\n"),
        (Lie::Truncate(3), "HTTP/1.1 200 ", b"012"),
        (Lie::Corrupt, "HTTP/1.1 200 ", b"01234\x346789"),
        (Lie::Replace(b"other".to_vec()), "HTTP/1.1 200 ", b"other"),
        (Lie::Stall, "HTTP/1.1 200 ", b"01234"),
        (Lie::HangUp, "", b""),
    ];
    for (lie, start, content) in cases {
        let (_dir, server) = server();
        server.lie("file", lie.clone());
        let (head, body) = get(&server, "sub/a+b%20file");
        assert!(head.starts_with(start), "{lie:?}: {head}");
        assert_eq!(body, content, "{lie:?}");
        server.be_honest();
        assert_eq!(get(&server, "sub/a+b%20file").1, b"0123456789");
    }
}

#[test]
fn an_endless_answer_has_no_length_and_no_end() {
    let (_dir, server) = server();
    server.lie("", Lie::Endless);
    let (head, body) = get(&server, "whatever");
    assert!(!head.contains("Content-Length"), "{head}");
    assert!(body.len() > 1 << 20, "{} bytes", body.len());
}

#[test]
fn a_redirect_names_its_target() {
    let (_dir, server) = server();
    server.lie("", Lie::Redirect("http://127.0.0.1:1/x".into()));
    assert!(get(&server, "y").0.contains("\r\nLocation: http://127.0.0.1:1/x\r\n"));
}
