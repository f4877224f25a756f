//! Machines that share a database and a bucket, a load on them, and what has to be true afterwards.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpStream,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use retrace_tests::{Cli, Crash, Postgres, Running, S3, rpm};

use super::psql;
use crate::{
    serve::{archive, get, try_request},
    view::sync_rpm,
};

/// Until everything has ended; the long form takes minutes.
const LIMIT: Duration = Duration::from_secs(900);

/// Clients that send at once.
const CLIENTS: usize = 4;

/// One in so many crashes is a real one; the others are files that are no cores, which fail at once and honestly.
const REAL: usize = 4;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `retrace serve --no-worker`.
    Server,
    /// `retrace worker`.
    Worker,
}

/// A machine: state and cache are its own.
pub(super) struct Node {
    kind: Kind,
    cli: Mutex<Cli>,
    running: Mutex<Option<Running>>,
    /// Of a server; it comes back there.
    address: String,
}

impl Node {
    fn start(kind: Kind, mut cli: Cli) -> Self {
        let (mut running, mut address) = (Self::launch(kind, &cli), String::new());
        if kind == Kind::Server {
            let line = running.wait_for_log("Listening on http://", LIMIT);
            address = line.split("http://").nth(1).expect("an address").trim().to_owned();
            cli.set("RETRACE_SERVER_LISTEN", &address);
        }
        Self { kind, cli: Mutex::new(cli), running: Mutex::new(Some(running)), address }
    }

    fn launch(kind: Kind, cli: &Cli) -> Running {
        match kind {
            Kind::Server => cli.start(["serve", "--no-worker"]),
            Kind::Worker => cli.start(["worker"]),
        }
    }

    /// SIGKILL.
    pub(super) fn kill(&self) {
        drop(self.running.lock().unwrap().take());
    }

    fn restart(&self) {
        self.kill();
        *self.running.lock().unwrap() = Some(Self::launch(self.kind, &self.cli.lock().unwrap()));
    }

    /// A node that ended by itself gives its log.
    fn is_well(&self) -> Result<(), String> {
        let mut running = self.running.lock().unwrap();
        let Some(node) = running.as_mut() else { return Ok(()) };
        match node.wait(Duration::ZERO) {
            None => Ok(()),
            Some(status) => Err(format!("{status:?}: {}", fs::read_to_string(&node.log).unwrap_or_default())),
        }
    }
}

/// A task that a client was told of.
pub(super) struct Sent {
    pub(super) id: String,
    password: String,
    is_real: bool,
}

/// How the acknowledged tasks ended.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) success: usize,
    pub(super) failure: usize,
    /// Real crashes whose workers were killed each time.
    pub(super) failed_after_tries: usize,
}

pub(super) struct Site {
    database: Postgres,
    pub(super) s3: S3,
    servers: Vec<Node>,
    workers: Vec<Node>,
    real: Vec<u8>,
    noise: Vec<u8>,
    /// Where clients keep nothing but their archives.
    _client: Cli,
}

impl Site {
    /// None where something is missing.
    pub(super) fn start(name: &str, servers: usize, workers: usize) -> Option<Self> {
        let (fixture, client) = (rpm()?, Cli::new()?);
        let (database, s3) = (Postgres::start(name)?, S3::start(name)?);
        let node = || {
            let mut cli = Cli::new()?;
            cli.set("RETRACE_DATABASE_URL", database.url()).set("RETRACE_SERVER_LISTEN", "127.0.0.1:0");
            cli.set("RETRACE_WORKER_LEASE_SECONDS", "3").set("RETRACE_SERVER_MAX_PARALLEL_TASKS", "6");
            cli.set("RETRACE_WORKER_PARALLEL_TASKS", "2").set("RETRACE_SERVER_MIN_STORAGE_LEFT_MIB", "16");
            s3.use_for(&mut cli);
            Some(cli)
        };
        sync_rpm(&node()?, fixture, "base", "debuginfo").expect_code(0);
        // Whatever happens to a task from now on is written down by the database itself.
        let watched = psql(
            database.url(),
            "CREATE TABLE ends (task BIGINT NOT NULL, what TEXT NOT NULL);
             CREATE FUNCTION note_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF OLD.finished_at IS NULL THEN INSERT INTO ends VALUES (NEW.id, 'finished');
                 ELSE INSERT INTO ends VALUES (NEW.id, 'changed'); END IF;
                 RETURN NULL; END $$;
             CREATE TRIGGER note_end AFTER UPDATE ON tasks FOR EACH ROW
                 WHEN ((OLD.finished_at, OLD.status, OLD.results, OLD.message)
                    IS DISTINCT FROM (NEW.finished_at, NEW.status, NEW.results, NEW.message) AND
                    (NEW.finished_at IS NOT NULL OR OLD.finished_at IS NOT NULL))
                 EXECUTE FUNCTION note_end()",
        );
        watched.expect("the database takes a trigger");
        let real = archive(&fixture.crash("will-crash-segv"), &client.path("real"));
        let core = client.path("noise-core");
        fs::write(&core, vec![7; 20_000]).unwrap();
        let noise = Crash { core, ..fixture.crash("will-crash-segv") };
        let noise = archive(&noise, &client.path("noise"));
        let servers = (0..servers).map(|_| Some(Node::start(Kind::Server, node()?))).collect::<Option<_>>()?;
        let workers = (0..workers).map(|_| Some(Node::start(Kind::Worker, node()?))).collect::<Option<_>>()?;
        Some(Self { database, s3, servers, workers, real, noise, _client: client })
    }

    pub(super) fn server(&self, n: usize) -> &Node {
        &self.servers[n]
    }

    pub(super) fn worker(&self, n: usize) -> &Node {
        &self.workers[n]
    }

    /// Clients that send crashes until `count` were acknowledged, trying again, elsewhere, what was not. `told` learns how many
    /// there are.
    pub(super) fn load(&self, count: usize, told: impl Fn(usize) + Sync) -> Vec<Sent> {
        let (next, sent) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let client = || {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                let is_real = n.is_multiple_of(REAL);
                let (id, password) = self.send(n, if is_real { &self.real } else { &self.noise });
                let mut sent = sent.lock().unwrap();
                sent.push(Sent { id, password, is_real });
                told(sent.len());
            }
        };
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(client);
            }
        });
        sent.into_inner().unwrap()
    }

    fn send(&self, n: usize, archive: &[u8]) -> (String, String) {
        let headers = [("Content-Type", "application/x-xz-compressed-tar"), ("X-Task-Type", "0")];
        let deadline = Instant::now() + LIMIT;
        for turn in n.. {
            let address = &self.servers[turn % self.servers.len()].address;
            match try_request(address, "POST", "/create", &headers, archive) {
                Ok(answer) if answer.status == 201 => {
                    let header = |name| answer.header(name).expect("a header of the protocol").to_owned();
                    return (header("x-task-id"), header("x-task-password"));
                }
                Ok(answer) if answer.status == 503 => {
                    assert!(answer.header("retry-after").is_some());
                }
                Ok(answer) => panic!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
                // The server was killed.
                Err(_) => {}
            }
            assert!(Instant::now() < deadline, "no server takes a task any more");
            thread::sleep(Duration::from_millis(100));
        }
        unreachable!("numbers do not end")
    }

    /// Waits until all of these have ended.
    pub(super) fn await_ends(&self, sent: &[Sent]) -> Ends {
        let deadline = Instant::now() + LIMIT;
        let ids = sent.iter().map(|sent| sent.id.as_str()).collect::<Vec<_>>().join(",");
        let open = format!("SELECT count(*) FROM tasks WHERE id IN ({ids}) AND finished_at IS NULL");
        // Not while the database is being killed.
        while self.ask(&open) != "0" {
            if Instant::now() >= deadline {
                let open = format!("SELECT * FROM tasks WHERE id IN ({ids}) AND finished_at IS NULL");
                panic!("not finished: {}", self.ask(&open));
            }
            thread::sleep(Duration::from_millis(200));
        }
        let count = |condition: &str| {
            let counted = self.ask(&format!("SELECT count(*) FROM tasks WHERE id IN ({ids}) AND {condition}"));
            counted.parse().expect("a number")
        };
        Ends {
            success: count("status = 6"),
            failure: count("status = 7"),
            failed_after_tries: count("message LIKE 'gave up after%'"),
        }
    }

    /// Asks the database, again if it was killed meanwhile.
    fn ask(&self, question: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(answer) = psql(self.database.url(), question) {
                return answer;
            }
            assert!(Instant::now() < deadline, "the database does not answer: {question}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// What must hold for every task that was acknowledged: it ended once, nothing touched it afterwards, and what it came to
    /// can be read.
    pub(super) fn check(&self, sent: &[Sent]) {
        for node in self.servers.iter().chain(&self.workers) {
            assert_eq!(node.is_well(), Ok(()), "a {:?} ended by itself", node.kind);
        }
        let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in self.ask("SELECT task, what FROM ends").lines() {
            let (task, what) = line.split_once('|').expect("two columns");
            ends.entry(task.to_owned()).or_default().push(what.to_owned());
        }
        let address = self.answering_server();
        for Sent { id, password, is_real } in sent {
            assert_eq!(ends.get(id).map(Vec::as_slice), Some(["finished".to_owned()].as_slice()), "task {id}");
            let status = get(&address, &format!("/{id}"), password);
            let state = status.header("x-task-status").expect("a status").to_owned();
            let log = get(&address, &format!("/{id}/log"), password);
            assert!(log.status == 200 && !log.body.is_empty(), "task {id}, {state}: {}", log.status);
            let log = String::from_utf8_lossy(&log.body);
            let backtrace = get(&address, &format!("/{id}/backtrace"), password);
            match (*is_real, state.as_str()) {
                (true, "FINISHED_SUCCESS") => {
                    assert!(String::from_utf8_lossy(&backtrace.body).contains("wc_sum_labels"), "task {id}");
                }
                (true, _) => assert!(log.contains("gave up after"), "task {id} failed: {log}"),
                (false, state) => assert!(state == "FINISHED_FAILURE" && backtrace.status == 404, "task {id}: {log}"),
            }
        }
        let twice = self.ask("SELECT count(*) FROM (SELECT task FROM ends GROUP BY task HAVING count(*) > 1) twice");
        assert_eq!(twice, "0", "tasks ended twice, or changed after their end");
    }

    /// The address of a server that takes connections.
    fn answering_server(&self) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            for server in &self.servers {
                if TcpStream::connect(&server.address).is_ok() {
                    return server.address.clone();
                }
            }
            assert!(Instant::now() < deadline, "no server answers");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills a server, a worker or the database at random instants, and starts it again, until it has done so `count` times.
    /// While there is load; then what is left, one after the other.
    pub(super) fn kill_at_random(&self, count: usize, over: &AtomicBool) -> BTreeMap<usize, String> {
        let seed = std::env::var("CLUSTER_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::from(now.subsec_nanos()) | 1
        });
        println!("kills by CLUSTER_SEED={seed}");
        let mut state: u64 = seed;
        // xorshift64: any sequence will do, if it can be had again.
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut killed = BTreeMap::new();
        for n in 0..count {
            thread::sleep(Duration::from_millis(100 + random(1400)));
            let during = if over.load(Ordering::Relaxed) { "after the load" } else { "under load" };
            let what = match random(5) {
                0 | 1 => {
                    let n = usize::try_from(random(self.workers.len() as u64)).unwrap();
                    self.workers[n].restart();
                    format!("worker {n}")
                }
                2 | 3 => {
                    let n = usize::try_from(random(self.servers.len() as u64)).unwrap();
                    self.servers[n].restart();
                    format!("server {n}")
                }
                _ => {
                    self.database.kill_and_restart();
                    "database".to_owned()
                }
            };
            killed.insert(n, format!("{what} {during}"));
        }
        killed
    }
}
