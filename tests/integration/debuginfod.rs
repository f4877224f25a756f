//! The debuginfod endpoint: what real clients ask for, hostile requests, packages that have to be fetched, other servers.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use retrace_tests::{Cli, Crash, DebianFixture, Lie, MirrorServer, RpmFixture, Running, debian, rpm};

use crate::{
    serve::{Answer, request, start},
    view::{fedora, line_of},
};

const LIMIT: Duration = Duration::from_secs(90);

/// A server on an index without packages: the mirror has them.
struct Site {
    cli: Cli,
    packages: MirrorServer,
    debuginfo: MirrorServer,
}

impl Site {
    fn fedora(settings: &[(&str, &str)]) -> Option<(Self, &'static RpmFixture)> {
        let (fixture, mut cli) = (rpm()?, Cli::new()?);
        cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0").set("RETRACE_LOG", "retrace_server=debug,info");
        // As long as the clients wait.
        cli.set("RETRACE_DEBUGINFOD_FETCH_WAIT_SECONDS", "80");
        for (name, value) in settings {
            cli.set(name, value);
        }
        let server = |name| MirrorServer::start(fixture.repository(name));
        let site = Self { cli, packages: server("base"), debuginfo: server("debuginfo") };
        let mirrors = fedora(site.packages.url().as_ref(), site.debuginfo.url().as_ref());
        site.cli.sync(["fedora", "40"], &mirrors, &[fixture.key()]).expect_code(0);
        Some((site, fixture))
    }

    /// Packages that the mirror was asked for.
    fn fetched(&self) -> usize {
        self.packages.hits(".rpm") + self.debuginfo.hits(".rpm")
    }

    /// `debuginfod-find ARGUMENTS` with a cache of its own; the path that it prints.
    fn find(&self, address: &str, arguments: &[&str]) -> Option<PathBuf> {
        let output = self.client(address, "debuginfod-find").args(arguments).output().expect("debuginfod-find");
        let path = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        output.status.success().then(|| path.into())
    }

    /// A client that asks this server alone.
    fn client(&self, address: &str, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("DEBUGINFOD_URLS", format!("http://{address}/")).env("HOME", self.cli.path("home"));
        command.env("DEBUGINFOD_CACHE_PATH", self.cli.path("client")).env("DEBUGINFOD_TIMEOUT", "90");
        command
    }
}

/// Build-ids of the files that a core maps, by the last part of their path.
fn build_ids(crash: &Crash) -> BTreeMap<String, String> {
    let output = Command::new("eu-unstrip").arg("-n").arg(format!("--core={}", crash.core.display())).output();
    let text = String::from_utf8(output.expect("eu-unstrip").stdout).unwrap();
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, id, .., name] = words.as_slice() else { return None };
        Some((name.rsplit('/').next()?.to_owned(), id.split('@').next()?.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// What `eu-readelf -n` says of a file.
fn build_id_of(path: &Path) -> String {
    let output = Command::new("eu-readelf").arg("-n").arg(path).output().expect("eu-readelf");
    let text = String::from_utf8(output.stdout).unwrap();
    let id = text.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
    id.unwrap_or_else(|| panic!("no build-id in {}: {text}", path.display())).to_owned()
}

fn get(address: &str, path: &str) -> Answer {
    request(address, "GET", path, &[], b"")
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// How many searches of this server ended so.
fn searches(server: &Running, result: &str) -> usize {
    let log = fs::read_to_string(&server.log).unwrap();
    log.lines().filter(|line| line.contains("debuginfod searched") && line.contains(&format!("\"{result}\""))).count()
}

/// gdb knows the program, the debug information and the sources by the server alone. Libraries it takes by their names from a
/// folder, as older versions do not ask for them; what is in it comes from the server too.
fn gdb(site: &Site, address: &str, crash: &Crash, commands: &[&str]) -> String {
    let mut gdb = site.client(address, "gdb");
    gdb.args(["-nx", "-batch", "-iex", "set debuginfod enabled on", "-iex", "set sysroot /nonexistent"]);
    let libraries = site.cli.path("libraries");
    fs::create_dir_all(&libraries).unwrap();
    for (name, id) in build_ids(crash) {
        if let Some(path) = site.find(address, &["executable", &id]) {
            // The dynamic linker knows `libx.so.1`, the kernel the file behind it: `libx.so.1.2`.
            let short = name.split_once(".so.").map(|(stem, version)| {
                let major = version.split('.').next().unwrap_or_default();
                format!("{stem}.so.{major}")
            });
            for name in short.into_iter().chain([name]) {
                fs::copy(&path, libraries.join(name)).unwrap();
            }
        }
    }
    gdb.args(["-iex", &format!("set solib-search-path {}", libraries.display())]);
    gdb.args(["-iex", "set debug-file-directory /nonexistent", "-iex", "set auto-load no"]);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let Output { stdout, stderr, .. } = gdb.arg("-core").arg(&crash.core).output().expect("gdb");
    format!("{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
}

#[test]
fn real_clients_get_everything_of_a_crash_whose_packages_were_never_fetched() {
    let Some((site, fixture)) = Site::fedora(&[]) else { return };
    let (server, address) = start(&site.cli);
    let crash = fixture.crash("will-crash-segv");
    let ids = build_ids(&crash);
    let id = &ids["libwillcrash.so.1"];
    assert_eq!(site.fetched(), 0, "nothing is here");

    for kind in ["debuginfo", "executable"] {
        let path = site.find(&address, &[kind, id]).unwrap_or_else(|| panic!("no {kind}"));
        assert_eq!(&build_id_of(&path), id);
    }
    let section = site.find(&address, &["section", id, ".debug_info"]).expect("a section");
    assert!(fs::metadata(section).unwrap().len() > 100);
    let source = "/usr/src/debug/will-crash-1.0-1.fc40.x86_64/wcbuckets.c";
    let found = site.find(&address, &["source", id, source]).expect("a source file");
    let found = fs::read_to_string(found).unwrap();
    let line = line_of("will-crash/wcbuckets.c", "sum +=");
    assert!(found.lines().nth(usize::try_from(line).unwrap() - 1).is_some_and(|line| line.contains("sum +=")));
    assert!(site.find(&address, &["source", id, "/usr/src/debug/no/such.c"]).is_none());
    assert!(site.find(&address, &["debuginfo", "00112233445566778899"]).is_none());
    assert_eq!(site.fetched(), 3, "the library, its debug information, the sources");
    assert_eq!(searches(&server, "fetched"), 3);

    let shown = gdb(&site, &address, &crash, &["bt", "list"]);
    assert!(shown.contains("wc_sum_labels") && shown.contains("wcbuckets.c:"), "{shown}");
    assert!(shown.contains("main.c:"), "{shown}");
    assert!(shown.contains("while (*p++) n++;"), "the source: {shown}");
}

#[test]
fn debian_programs_are_looked_for_beside_their_debug_packages() {
    let (Some(fixture), Some(mut cli)) = (debian(), Cli::new()) else { return };
    let DebianFixture { crash, repository, key, version, .. } = fixture;
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    let mirror = MirrorServer::start(repository);
    cli.sync(["debian", version], &[mirror.url().to_owned()], std::slice::from_ref(key)).expect_code(0);
    let site = Site { cli, debuginfo: MirrorServer::start("/nonexistent"), packages: mirror };
    let (_server, address) = start(&site.cli);
    let id = &build_ids(crash)["gm"];
    for kind in ["executable", "debuginfo"] {
        let path = site.find(&address, &[kind, id]).unwrap_or_else(|| panic!("no {kind} of {id}"));
        assert_eq!(&build_id_of(&path), id);
    }
    let answer = get(&address, &format!("/buildid/{id}/executable"));
    assert_eq!((answer.status, answer.headers["x-retrace-verification"].as_str()), (200, "signed"));
    assert!(answer.headers["x-debuginfod-archive"].ends_with(".deb"), "{:?}", answer.headers);
    let source = get(&address, &format!("/buildid/{id}/source/build/magick/x.c"));
    assert!(source.status == 404 && text(&source).contains("Debian"), "{}", text(&source));
    let shown = gdb(&site, &address, crash, &["info threads", "thread apply all bt 20"]);
    assert!(shown.contains("magick") && shown.contains(".c:"), "{shown}");
}

#[test]
fn headers_ranges_and_conditions_are_as_clients_read_them() {
    let Some((site, fixture)) = Site::fedora(&[]) else { return };
    let (_server, address) = start(&site.cli);
    let id = &build_ids(&fixture.crash("will-crash-segv"))["will-crash"];
    let path = format!("/buildid/{id}/debuginfo");
    let whole = get(&address, &path);
    let size = whole.body.len();
    assert_eq!((whole.status, whole.headers["x-debuginfod-size"].clone()), (200, size.to_string()));
    assert_eq!(
        whole.headers["x-debuginfod-archive"],
        format!("will-crash-debuginfo-1.0-1.fc40.{}.rpm", std::env::consts::ARCH)
    );
    assert!(whole.headers["x-debuginfod-file"].ends_with(".debug"), "{:?}", whole.headers);
    assert_eq!(whole.headers["x-retrace-verification"], "signed");
    for name in ["last-modified", "cache-control", "etag", "accept-ranges"] {
        assert!(whole.headers.contains_key(name), "{name}: {:?}", whole.headers);
    }
    let head = request(&address, "HEAD", &path, &[], b"");
    assert_eq!((head.status, head.headers["content-length"].clone(), head.body.len()), (200, size.to_string(), 0));

    let part = request(&address, "GET", &path, &[("Range", "bytes=16-31")], b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &whole.body[16..32]));
    assert_eq!(part.headers["content-range"], format!("bytes 16-31/{size}"));
    let rest = format!("bytes={}-", size - 10);
    let etag = whole.headers["etag"].as_str();
    let rest = request(&address, "GET", &path, &[("Range", &rest), ("If-Range", etag)], b"");
    assert_eq!((rest.status, rest.body.as_slice()), (206, &whole.body[size - 10..]));
    assert_eq!(request(&address, "GET", &path, &[("Range", "bytes=99999999-")], b"").status, 416);
    assert_eq!(request(&address, "GET", &path, &[("If-None-Match", etag)], b"").status, 304);

    let section = get(&address, &format!("/buildid/{id}/section/.debug_info"));
    assert!(section.status == 200 && whole.body.windows(section.body.len()).any(|window| window == section.body));
    let code = get(&address, &format!("/buildid/{id}/section/.text"));
    assert_eq!(code.status, 200, "what the debug information left out the program has: {}", text(&code));
    assert_eq!(get(&address, &format!("/buildid/{id}/section/.nonsense")).status, 404);
}

#[test]
fn nonsense_is_refused_and_nothing_else_is_read() {
    let Some((site, fixture)) = Site::fedora(&[]) else { return };
    let (mut server, address) = start(&site.cli);
    let id = &build_ids(&fixture.crash("will-crash-segv"))["will-crash"];
    let long = "a".repeat(5000);
    let cases = [
        ("/buildid/".to_owned(), 404),
        ("/buildid/x".to_owned(), 400),
        ("/buildid/xyzxyz/debuginfo".to_owned(), 400),
        ("/buildid/../../etc/passwd".to_owned(), 400),
        (format!("/buildid/{}/debuginfo", "ab".repeat(65)), 400),
        (format!("/buildid/{id}/nonsense"), 400),
        (format!("/buildid/{id}/debuginfo/x"), 400),
        (format!("/buildid/{id}/source/%00"), 400),
        (format!("/buildid/{id}/source/%ff%fe"), 400),
        (format!("/buildid/{id}/source/{long}"), 400),
        (format!("/buildid/{id}/section/"), 400),
        (format!("/buildid/{id}/source/../../../../../../../etc/passwd"), 404),
        (format!("/buildid/{id}/source/usr/src/debug/%2e%2e/%2e%2e/%2e%2e/etc/passwd"), 404),
        (format!("/buildid/{id}/source/usr/src/debug"), 404),
        (format!("/buildid/{id}/section/..%2f..%2fetc%2fpasswd"), 404),
        ("/buildid/00112233/debuginfo".to_owned(), 404),
    ];
    for (path, status) in cases {
        let answer = get(&address, &path);
        assert_eq!(answer.status, status, "{path}: {}", text(&answer));
        assert!(!text(&answer).contains("root:"), "{path}");
        if status == 404 && path.contains(id.as_str()) {
            assert_eq!(answer.headers["cache-control"], "public, max-age=60", "{path}");
        }
    }
    let posted = request(&address, "POST", &format!("/buildid/{id}/debuginfo"), &[], b"x");
    assert_eq!((posted.status, posted.headers["allow"].as_str()), (405, "GET, HEAD"));
    assert!(server.wait(Duration::ZERO).is_none(), "it still runs");
    assert!(!fs::read_to_string(&server.log).unwrap().contains("panicked"));
    // The old protocol is next to it, as it was.
    assert_eq!(get(&address, "/settings").status, 200);
    assert_eq!(get(&address, "/123456789").status, 404);
}

#[test]
fn a_hundred_that_want_one_file_cost_one_fetch_and_one_unpacking() {
    let Some((site, fixture)) = Site::fedora(&[]) else { return };
    let (server, address) = start(&site.cli);
    let id = &build_ids(&fixture.crash("will-crash-segv"))["libc.so.6"];
    let path = format!("/buildid/{id}/debuginfo");
    let sizes: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..100).map(|_| scope.spawn(|| get(&address, &path))).collect();
        asking
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .map(|answer| (answer.status, answer.body.len()))
            .collect()
    });
    assert!(sizes.iter().all(|size| *size == sizes[0] && size.0 == 200 && size.1 > 100_000), "{sizes:?}");
    assert_eq!((site.fetched(), searches(&server, "fetched")), (1, 1));
    assert_eq!(searches(&server, "unpacked") + searches(&server, "cached"), 0, "the others waited for it");

    // Another server of this machine finds what this one unpacked.
    let (other, address) = start(&site.cli);
    assert_eq!(get(&address, &path).status, 200);
    assert_eq!((searches(&other, "cached"), searches(&other, "unpacked")), (1, 0));
}

#[test]
fn a_package_that_cannot_be_had_is_an_answer_with_a_reason_for_a_while() {
    let settings =
        [("RETRACE_DEBUGINFOD_FETCH_WAIT_SECONDS", "1"), ("RETRACE_DEBUGINFOD_REMEMBER_FAILURE_SECONDS", "600")];
    let Some((mut site, fixture)) = Site::fedora(&settings) else { return };
    let ids = build_ids(&fixture.crash("will-crash-segv"));
    let path = |name: &str| format!("/buildid/{}/executable", ids[name]);
    let (server, address) = start(&site.cli);
    site.packages.lie(".rpm", Lie::Status(404));
    let deadline = Instant::now() + LIMIT;
    // The worker needs more than the second that clients wait: it may be loading plugins.
    let answer = loop {
        let answer = get(&address, &path("will-crash"));
        if answer.status != 504 {
            break answer;
        }
        assert_eq!(
            (answer.headers["cache-control"].as_str(), answer.headers["retry-after"].as_str()),
            ("no-store", "30")
        );
        assert!(Instant::now() < deadline, "{}", text(&answer));
    };
    assert!(answer.status == 404 && text(&answer).contains("will-crash-1.0-1.fc40"), "{}", text(&answer));
    let asked = site.fetched();
    assert_eq!(get(&address, &path("will-crash")).status, 404);
    assert_eq!(site.fetched(), asked, "the mirror is not asked again");

    // A mirror that stalls: the client does not wait for it, and hears so.
    site.packages.be_honest();
    site.packages.lie(".rpm", Lie::Stall);
    let begun = Instant::now();
    let answer = get(&address, &path("libwillcrash.so.1"));
    assert_eq!(answer.status, 504, "{}", text(&answer));
    assert!(text(&answer).contains("is being fetched") && begun.elapsed() < LIMIT);
    drop(server);

    // With the mirror mended, and nothing remembered, both come.
    site.packages.be_honest();
    site.cli.set("RETRACE_DEBUGINFOD_FETCH_WAIT_SECONDS", "80").set("RETRACE_DEBUGINFOD_REMEMBER_FAILURE_SECONDS", "0");
    site.cli.set("RETRACE_WORKER_LEASE_SECONDS", "1");
    let (_server, address) = start(&site.cli);
    assert_eq!(get(&address, &path("will-crash")).status, 200);
}

#[test]
fn files_are_served_while_their_packages_are_pruned_and_after() {
    let Some((mut site, fixture)) = Site::fedora(&[]) else { return };
    let (_server, address) = start(&site.cli);
    let id = build_ids(&fixture.crash("will-crash-segv"))["libc.so.6"].clone();
    let path = format!("/buildid/{id}/debuginfo");
    let whole = get(&address, &path);
    assert_eq!(whole.status, 200);

    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut start_of_answer = vec![0; 1000];
    stream.read_exact(&mut start_of_answer).unwrap();
    site.cli.set("RETRACE_REPOSITORY", "[{ mode = 'filtered', include = ['nothing'] }]");
    site.cli.run(["mirror", "prune"]).expect_code(0);
    fs::remove_dir_all(site.cli.path(&format!("cache/files/{}", &id[..2]))).unwrap();
    fs::remove_dir_all(site.cli.path("state/artifacts/packages")).unwrap();
    stream.read_to_end(&mut start_of_answer).unwrap();
    assert!(start_of_answer.ends_with(&whole.body), "what was begun is sent to its end");

    let again = get(&address, &path);
    assert!(again.status == 200 && again.body == whole.body, "{}", again.status);
    assert_eq!(site.fetched(), 2, "it was fetched again");
}

#[test]
fn what_nobody_vouches_for_is_marked() {
    let (Some(fixture), Some(mut cli)) = (rpm(), Cli::new()) else { return };
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0").set("RETRACE_REPOSITORY", "[{ signatures = 'none' }]");
    let mirrors = fedora(&fixture.repository("unsigned"), &fixture.repository("debuginfo"));
    cli.sync(["fedora", "40"], &mirrors, &[fixture.key()]).expect_code(0);
    let (_server, address) = start(&cli);
    let id = &build_ids(&fixture.crash("will-crash-segv"))["will-crash"];
    let answer = get(&address, &format!("/buildid/{id}/executable"));
    assert_eq!((answer.status, answer.headers["x-retrace-verification"].as_str()), (200, "off"));
}

/// A folder as another debuginfod server gives it, with one file.
fn upstream(dir: &Path, id: &str, name: &str, content: &[u8]) -> MirrorServer {
    let path = dir.join("buildid").join(id).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    MirrorServer::start(dir)
}

/// A server that knows nothing by itself.
fn empty_server(upstreams: &[&str], settings: &[(&str, &str)]) -> Option<(Cli, Running, String)> {
    let mut cli = Cli::new()?;
    let list: Vec<_> = upstreams.iter().map(|url| format!("'{url}'")).collect();
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0")
        .set("RETRACE_DEBUGINFOD_UPSTREAMS", format!("[{}]", list.join(",")));
    for (name, value) in settings {
        cli.set(name, value);
    }
    let (server, address) = start(&cli);
    Some((cli, server, address))
}

#[test]
fn other_servers_are_asked_in_order_checked_and_not_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let program = fs::read("/bin/true").unwrap();
    let id = build_id_of(Path::new("/bin/true"));
    let nothing = MirrorServer::start(dir.path().join("nothing"));
    let all = upstream(&dir.path().join("all"), &id, "debuginfo", &program);
    upstream(&dir.path().join("all"), &id, "source/usr/src/a b+.c", b"int x;\n");
    let Some((_cli, _server, address)) = empty_server(&[nothing.url(), all.url()], &[]) else { return };

    let path = format!("/buildid/{id}/debuginfo");
    let answer = get(&address, &path);
    assert_eq!((answer.status, answer.headers["x-retrace-verification"].as_str()), (200, "upstream"));
    assert!(answer.body == program);
    let source = get(&address, &format!("/buildid/{id}/source/usr/./src/x/../a%20b%2B.c"));
    assert_eq!((source.status, source.headers["x-retrace-verification"].as_str()), (200, "upstream-unchecked"));
    assert_eq!(source.body, b"int x;\n");
    let asked = (nothing.requests().len(), all.requests().len());
    assert_eq!(asked, (2, 2));
    assert_eq!(get(&address, &path).status, 200);
    assert_eq!(get(&address, &format!("/buildid/{id}/executable")).status, 404);
    assert_eq!(get(&address, &format!("/buildid/{id}/executable")).status, 404);
    assert_eq!((nothing.requests().len(), all.requests().len()), (3, 3), "both answers are remembered");

    // As debuginfod counts, from a request that came through eight servers.
    let hops = ["10.0.0.1"; 9].join(", ");
    let far = request(&address, "GET", "/buildid/aabbccdd/debuginfo", &[("X-Forwarded-For", &hops)], b"");
    assert_eq!((far.status, all.hits("buildid/aabbccdd/debuginfo")), (404, 0));
    assert_eq!(get(&address, "/buildid/aabbccdd/debuginfo").status, 404);
    assert_eq!(all.hits("buildid/aabbccdd/debuginfo"), 1);
}

#[test]
fn servers_that_lie_or_fail_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let program = fs::read("/bin/true").unwrap();
    let id = build_id_of(Path::new("/bin/true"));
    // What each does, and how often it is asked then.
    let lies = [
        (Lie::Replace(b"<html>sign in</html>".to_vec()), 1),
        (Lie::Replace(fs::read("/bin/false").unwrap()), 1),
        (Lie::Endless, 1),
        (Lie::Truncate(10_000), 3),
        (Lie::HangUp, 3),
        (Lie::Status(500), 3),
    ];
    let servers = lies.clone().map(|(lie, _)| {
        let server = upstream(dir.path(), &id, "debuginfo", &program);
        server.lie("", lie);
        server
    });
    let urls: Vec<_> = servers.iter().map(MirrorServer::url).collect();
    let settings = [("RETRACE_DEBUGINFOD_MAX_UPSTREAM_FILE_MIB", "16")];
    let Some((_cli, _server, address)) = empty_server(&urls, &settings) else { return };
    let path = format!("/buildid/{id}/debuginfo");
    for _ in 0..5 {
        let answer = get(&address, &path);
        assert_eq!(answer.status, 404, "{}", text(&answer));
    }
    for ((lie, asked), server) in lies.iter().zip(&servers) {
        assert_eq!(server.requests().len(), *asked, "{lie:?}");
        server.be_honest();
    }
    assert_eq!(get(&address, &path).status, 404, "for ten minutes");
}

/// By way of a server that redirects, it comes back to where it began.
#[test]
fn a_server_that_is_its_own_upstream_does_not_wait_for_itself() {
    let around = MirrorServer::start("/nonexistent");
    let Some((_cli, _server, address)) = empty_server(&[around.url()], &[]) else { return };
    around.lie("", Lie::Redirect(format!("http://{address}/buildid/aabbccdd/debuginfo")));
    let begun = Instant::now();
    assert_eq!(get(&address, "/buildid/aabbccdd/debuginfo").status, 404);
    assert!(begun.elapsed() < LIMIT);
    assert_eq!(around.requests().len(), 1);
}
