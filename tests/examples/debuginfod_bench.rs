//! `debuginfod_bench`: how fast `retrace serve` hands out files that are unpacked already. `make bench NAME=service` runs it.
//!
//! The load comes from this process, on the same processors as the server: connections that are kept, one thread each, one
//! request after the other.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use retrace_tests::{Cli, rpm};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const FIRST_BYTE_MS: f64 = 2.0;
const REQUESTS_PER_SECOND: f64 = 5000.0;
const SAMPLES: usize = 5000;
const CONNECTIONS: usize = 16;
const LOAD: Duration = Duration::from_secs(5);

/// A connection that is kept.
struct Connection {
    reader: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { reader: BufReader::new(stream), line: String::new(), body: Vec::new() })
    }

    /// Time to the first byte, and the size of the body of an answer that must be 200.
    fn get(&mut self, path: &str) -> Result<(Duration, usize), Failure> {
        let begun = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.reader.get_mut().write_all(request.as_bytes())?;
        self.reader.fill_buf()?;
        let first_byte = begun.elapsed();
        let mut length = 0;
        for number in 0.. {
            self.line.clear();
            self.reader.read_line(&mut self.line)?;
            let line = self.line.trim_end();
            if number == 0 && !line.starts_with("HTTP/1.1 200") {
                return Err(format!("{path}: {line:?}").into());
            }
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        self.body.resize(length, 0);
        self.reader.read_exact(&mut self.body)?;
        Ok((first_byte, length))
    }
}

fn report(name: &str, value: f64, unit: &str, goal: &str, limit: f64, met: bool) {
    println!("bench {name}: {value:.2} {unit}, goal {goal} {limit} {unit}: {}", if met { "met" } else { "missed" });
}

/// Build-id of the crashed library.
fn build_id(core: &std::path::Path) -> Result<String, Failure> {
    let output = Command::new("eu-unstrip").arg("-n").arg(format!("--core={}", core.display())).output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find(|line| line.contains("libwillcrash")).ok_or("the core maps no libwillcrash")?;
    let id = line.split_whitespace().nth(1).and_then(|id| id.split('@').next());
    Ok(id.ok_or("no build-id")?.to_owned())
}

fn main() -> Result<(), Failure> {
    let (fixture, mut cli) = rpm().zip(Cli::new()).ok_or("the fixtures or the command are missing")?;
    cli.set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
    let folder = |name: &str, path: &str| format!("{name}={}", fixture.repository(path).display());
    let mirrors = [folder("releases", "base"), folder("releases-debuginfo", "debuginfo")];
    cli.sync(["fedora", "40"], &mirrors, &[fixture.key()]).expect_code(0);
    let mut server = cli.start(["serve"]);
    let line = server.wait_for_log("Listening on http://", Duration::from_secs(60));
    let address = line.split("http://").nth(1).ok_or("no address")?.trim().trim_end_matches('/').to_owned();

    let id = build_id(&fixture.crash("will-crash-segv").core)?;
    let source = format!("source/usr/src/debug/will-crash-1.0-1.fc40.{}/wcbuckets.c", std::env::consts::ARCH);
    let kinds = ["debuginfo".to_owned(), "executable".to_owned(), "section/.debug_info".to_owned(), source];
    let paths = kinds.map(|kind| format!("/buildid/{id}/{kind}"));
    let mut connection = Connection::open(&address)?;
    for path in &paths {
        // The first one fetches and unpacks.
        let (_, size) = connection.get(path)?;
        println!("{path}: {size} bytes");
    }

    let mut times = Vec::with_capacity(SAMPLES);
    for path in paths.iter().cycle().take(SAMPLES) {
        times.push(connection.get(path)?.0);
    }
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    println!("first byte: median {:.3} ms, 99 of 100 below {:.3} ms", at(50), at(99));
    report("debuginfod-first-byte", at(50), "ms", "<=", FIRST_BYTE_MS, at(50) <= FIRST_BYTE_MS);

    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    let client = |first: usize| {
        let mut connection = Connection::open(&address)?;
        for path in paths.iter().cycle().skip(first % paths.len()) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            connection.get(path)?;
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, Failure>(())
    };
    std::thread::scope(|scope| -> Result<(), Failure> {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|first| {
                scope.spawn({
                    let client = &client;
                    move || client(first)
                })
            })
            .collect();
        std::thread::sleep(LOAD);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client panicked")?)
    })?;
    let rate = answered.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    report("debuginfod-requests", rate, "1/s", ">=", REQUESTS_PER_SECOND, rate >= REQUESTS_PER_SECOND);
    Ok(())
}
