//! Real servers for tests: started on free ports, stopped by their process ids.
//!
//! They run `redis-server`, or the program that `REDIS_SERVER` names: `REDIS_SERVER=/path/to/valkey-server cargo test …`.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::collections::BTreeSet;
use std::env::{self, temp_dir};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// The program that servers run.
fn program() -> OsString {
    env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

const MISSING: &str = "these tests need a real Redis: no `redis-server` can be started. \
    scripts/test installs it; or install it yourself: `apt-get install redis-server` on Debian and Ubuntu, \
    `dnf install redis` on Fedora, `brew install redis` on macOS";

/// A redis-server of its own, which ends with this value.
pub struct Server {
    child: Child,
    pub port: u16,
    dir: PathBuf,
    args: Vec<String>,
}

impl Server {
    /// One that keeps everything in memory.
    pub fn start() -> Self {
        Self::with(&[])
    }

    pub fn with(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        // Another process may take the port before the server does.
        for _ in 0..20 {
            let (port, dir) = (free_port(), fresh_dir());
            let child = launch(port, &dir, &args);
            let args = args.clone();
            let mut server = Self {
                child,
                port,
                dir,
                args,
            };
            if server.is_up_in_the_end() {
                return server;
            }
        }
        panic!("no server starts");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn dir(&self) -> &PathBuf {
        &self.dir
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it was started here");
        self.child.wait().expect("it was started here");
    }

    /// Starts it again, where it was.
    pub fn restart(&mut self) {
        self.kill();
        self.start_again();
    }

    pub fn start_again(&mut self) {
        self.child = launch(self.port, &self.dir, &self.args);
        assert!(self.is_up_in_the_end(), "it does not start again");
    }

    pub fn pause(&self) {
        signal("-STOP", self.child.id());
    }

    pub fn resume(&self) {
        signal("-CONT", self.child.id());
    }

    /// Asks the server something, on a connection of its own.
    pub fn ask(&self, command: &[&str]) -> String {
        ask_at(self.port, command).expect("the server answers")
    }

    /// As [`ask`](Self::ask), for what is not text.
    pub fn ask_bytes(&self, command: &[&[u8]]) -> Vec<u8> {
        ask(self.port, command).expect("the server answers")
    }

    /// Whether it runs; false if it has ended. Who answers on its port may be another's.
    fn is_up_in_the_end(&mut self) -> bool {
        let own = format!("process_id:{}\r", self.child.id());
        let mut up = false;
        wait_until("the server is up", || {
            let info = ask_at(self.port, &["INFO", "server"]).unwrap_or_default();
            let answers = ask_at(self.port, &["PING"]).is_ok_and(|pong| pong == "PONG");
            up = answers && info.contains(&own);
            up || self.child.try_wait().is_ok_and(|ended| ended.is_some())
        });
        up
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A cluster that the tests of this process share, each under prefixes of its own, as it takes seconds to start one. Nobody stops,
/// pauses or fills it.
pub fn shared_cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| {
        let cluster = Cluster::start();
        // What is static is never dropped. When this process ends, however it ends, its pipe to the shell is closed.
        let mut guard = Command::new("sh");
        guard.args(["-c", "read -r never; kill -9 $PIDS; rm -rf $DIRS"]);
        let pids = cluster.nodes.iter().map(|node| node.child.id().to_string());
        guard.env("PIDS", pids.collect::<Vec<_>>().join(" "));
        let dirs = cluster
            .nodes
            .iter()
            .map(|node| node.dir.display().to_string());
        guard.env("DIRS", dirs.collect::<Vec<_>>().join(" "));
        let guard = guard
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        std::mem::forget(guard.spawn().expect("there is a shell").stdin);
        cluster
    })
}

/// Three primaries, and as many replicas of each as asked for.
pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    pub fn start() -> Self {
        Self::with_replicas(0)
    }

    /// The places of the primary that has `cache:k`, which is 1, and of its replica, which has that as well by now.
    pub fn primary_and_replica(&self) -> (usize, usize) {
        let holds = |node: &Server| {
            node.ask(&["ROLE"]).starts_with("master") && node.ask(&["GET", "cache:k"]) == "1"
        };
        let primary = self.nodes.iter().position(holds).unwrap();
        // The nodes were made so: see `join`.
        let replica = 3 + primary;
        wait_until("the replica has it", || {
            let keys = self.nodes[replica].ask(&["DBSIZE"]);
            let info = self.nodes[replica].ask(&["INFO", "replication"]);
            info.contains("master_link_status:up") && keys == "1"
        });
        (primary, replica)
    }

    pub fn with_replicas(replicas: usize) -> Self {
        let nodes: Vec<Server> = (0..3 * (replicas + 1))
            .map(|_| {
                let args = [
                    ["--cluster-enabled", "yes"],
                    ["--cluster-config-file", "nodes.conf"],
                    ["--cluster-node-timeout", "1000"],
                    ["--repl-diskless-sync-delay", "0"],
                    // No replica takes over unless a test says so.
                    ["--cluster-replica-no-failover", "yes"],
                ];
                Server::with(&args.concat())
            })
            .collect();
        let cluster = Self { nodes };
        cluster.join();
        cluster.stay_whole();
        cluster
    }

    /// Makes the nodes a cluster. Not by `redis-cli --cluster create`, which waits for ever should a handshake take too long.
    fn join(&self) {
        const SLOTS: usize = 16_384;
        let (primaries, replicas) = self.nodes.split_at(3);
        for (nth, primary) in primaries.iter().enumerate() {
            let slots = SLOTS * nth / 3..SLOTS * (nth + 1) / 3;
            let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
            let slots = slots.iter().map(String::as_str);
            let add: Vec<&str> = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots).collect();
            assert_eq!(primary.ask(&add), "OK");
        }
        for (nth, node) in self.nodes.iter().enumerate() {
            let epoch = (nth + 1).to_string();
            assert_eq!(node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]), "OK");
        }
        let mut met: Option<Instant> = None;
        wait_until("the nodes know each other", || {
            let knows_all = |node: &Server| {
                let known = node.ask(&["CLUSTER", "NODES"]);
                known.lines().count() == self.nodes.len() && !known.contains("handshake")
            };
            if self.nodes.iter().all(knows_all) {
                return true;
            }
            if met.is_none_or(|met| met.elapsed() > Duration::from_secs(5)) {
                met = Some(Instant::now());
                for (nth, node) in self.nodes.iter().enumerate() {
                    for other in &self.nodes[..nth] {
                        let port = other.port.to_string();
                        assert_eq!(node.ask(&["CLUSTER", "MEET", "127.0.0.1", &port]), "OK");
                    }
                }
            }
            false
        });
        for (replica, primary) in replicas.iter().zip(primaries.iter().cycle()) {
            let id = primary.ask(&["CLUSTER", "MYID"]);
            assert_eq!(replica.ask(&["CLUSTER", "REPLICATE", &id]), "OK");
        }
    }

    /// After how many milliseconds a node that does not answer is given up, for the nodes that run.
    pub fn set_node_timeout(&self, millis: u32) {
        let millis = millis.to_string();
        for node in &self.nodes {
            // One that was killed does not answer.
            let _ = ask_at(
                node.port,
                &["CONFIG", "SET", "cluster-node-timeout", &millis],
            );
        }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().take(3).map(Server::address).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Starts to move 500 hash slots from one primary to another, with their keys. Not by `redis-cli --cluster reshard`: what it
    /// leaves is seldom, but for ever, a slot that the others say is its new node's and the new node says is the old one's.
    pub fn reshard(&self, from: usize, to: usize) -> JoinHandle<()> {
        let mut ports: Vec<u16> = self.nodes.iter().map(|node| node.port).collect();
        // Who gets a slot is told first, that it is somebody's all the time.
        ports.sort_by_key(|port| (*port != self.nodes[to].port, *port != self.nodes[from].port));
        let to = self.nodes[to].ask(&["CLUSTER", "MYID"]);
        let from = self.nodes[from].ask(&["CLUSTER", "MYID"]);
        spawn(move || move_slots(&ports, &from, &to))
    }

    /// Waits until the cluster is whole. From then on a node is not given up because it stands still for a moment, unless a test
    /// wants that.
    pub fn stay_whole(&self) {
        loop {
            self.set_node_timeout(1_000);
            wait_until("the cluster is whole", || self.is_whole());
            self.set_node_timeout(60_000);
            // One may have stood still before it was told; the others would not believe for two minutes that it is back.
            if self.is_whole() {
                return;
            }
        }
    }

    /// Whether every node can be used, and none thinks that another one is down.
    fn is_whole(&self) -> bool {
        let says = |node: &Server, what| ask_at(node.port, &["CLUSTER", what]).unwrap_or_default();
        let is_ok = |node: &Server| {
            let nodes = says(node, "NODES");
            let mut flags = nodes.split([' ', ',']);
            says(node, "INFO").contains("cluster_state:ok")
                && !flags.any(|flag| ["fail", "fail?"].contains(&flag))
        };
        self.nodes.iter().all(is_ok)
    }
}

/// Moves 500 hash slots. The first of the ports is that of the new node, the second that of the old one.
fn move_slots(ports: &[u16], from: &str, to: &str) {
    let connect = |port: &u16| Connection::to(*port).expect("the node listens");
    let mut nodes: Vec<Connection> = ports.iter().map(connect).collect();
    let new = ports[0].to_string();
    let moved: Vec<u16> = nodes[1].slots_of(from).into_iter().take(500).collect();
    for slot in moved.iter().map(u16::to_string) {
        nodes[0].set_slot(&slot, "IMPORTING", from);
        nodes[1].set_slot(&slot, "MIGRATING", to);
        loop {
            let keys = nodes[1].say(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            if keys.is_empty() {
                break;
            }
            let migrate = ["MIGRATE", "127.0.0.1", &new, "", "0", "60000", "KEYS"];
            let migrate: Vec<&str> = migrate.into_iter().chain(keys.lines()).collect();
            let answer = nodes[1].say(&migrate);
            assert!(["OK", "NOKEY"].contains(&answer.as_str()), "{answer}");
        }
        for node in &mut nodes {
            node.set_slot(&slot, "NODE", to);
        }
    }
    // Whoever says otherwise, as may be after a message that came late, is told again.
    wait_until("all nodes know whose the slots are", || {
        let mut agreed = true;
        for node in &mut nodes {
            let known = node.slots_of(to);
            for slot in moved.iter().filter(|slot| !known.contains(slot)) {
                agreed = false;
                node.set_slot(&slot.to_string(), "NODE", to);
            }
        }
        agreed
    });
}

/// A sentinel, which ends with this value.
pub struct Sentinel {
    child: Child,
    pub port: u16,
    dir: PathBuf,
}

impl Sentinel {
    /// One that gives nobody up by itself.
    pub fn start(primary: &Server) -> Self {
        let (port, dir) = (free_port(), fresh_dir());
        let file = dir.join("sentinel.conf");
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds main 3600000\n",
            primary.port
        );
        fs::write(&file, settings).unwrap();
        let child = Command::new(program())
            .arg(file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn();
        let child = child.unwrap();
        let sentinel = Self { child, port, dir };
        wait_until("the sentinel is up", || sentinel.ask(&["PING"]) == "PONG");
        sentinel
    }

    pub fn ask(&self, command: &[&str]) -> String {
        ask_at(self.port, command).unwrap_or_default()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A primary, a replica of it that is in step, and three sentinels that know both.
pub struct Sentinels {
    pub primary: Server,
    pub replica: Server,
    all: Vec<Sentinel>,
}

impl Sentinels {
    pub fn start() -> Self {
        let primary = Server::with(&["--repl-diskless-sync-delay", "0"]);
        let replica = Server::with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
        wait_until("the replica is in step", || {
            let info = replica.ask(&["INFO", "replication"]);
            info.contains("master_link_status:up")
        });
        let all: Vec<Sentinel> = (0..3).map(|_| Sentinel::start(&primary)).collect();
        wait_until("a sentinel knows the replica", || {
            let known = all[0].ask(&["SENTINEL", "MASTER", "main"]);
            known.contains("num-slaves\n1\n")
        });
        Self {
            primary,
            replica,
            all,
        }
    }

    /// That of the service `main`, or of one that the sentinels do not know.
    pub fn url_of(&self, service: &str) -> String {
        let hosts = self.all.iter().map(|it| format!("127.0.0.1:{}", it.port));
        let hosts: Vec<String> = hosts.collect();
        format!("redis+sentinel://{}/{service}", hosts.join(","))
    }

    pub fn url(&self) -> String {
        self.url_of("main")
    }

    /// Has them promote the replica: not when they have given the primary up, which is a matter of time, but now.
    pub fn fail_over(&self) {
        wait_until("a sentinel has promoted the replica", || {
            self.all[0].ask(&["SENTINEL", "FAILOVER", "main"]);
            // Whoever is promoted ends everybody's connections.
            let role = ask_at(self.replica.port, &["ROLE"]).unwrap_or_default();
            role.starts_with("master")
        });
    }
}

/// Waits for what happens in the end, under a watchdog.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    const PATIENCE: Duration = Duration::from_secs(300);
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(5));
    }
}

fn launch(port: u16, dir: &PathBuf, args: &Vec<String>) -> Child {
    Command::new(program())
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(dir)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect(MISSING)
}

fn signal(which: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([which, &pid.to_string()])
        .status();
    assert!(sent.expect("kill is there").success());
}

/// A port that nobody listens at just now, with room for the bus of a cluster, 10,000 ports higher. Both are below what
/// systems give out by themselves, so that nobody takes them while a server is away; each process starts elsewhere.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let from = std::process::id() * 64;
    let ports = (0..).map(|_| from + NEXT.fetch_add(1, Ordering::Relaxed));
    let mut ports = ports.map(|nth| 12_000 + (nth % 8_000) as u16);
    let found = ports.find(|&port| is_free(port) && is_free(port + 10_000));
    found.expect("there are free ports")
}

/// One that nobody else has: not even another copy of this file in the same process.
pub fn fresh_dir() -> PathBuf {
    let names = (0..).map(|nth| format!("nori-cache-redis-{}-{nth}", std::process::id()));
    let mut dirs = names.map(|name| temp_dir().join(name));
    let made = dirs.find(|dir| match fs::create_dir(dir) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
            false
        }
    });
    made.expect("there are enough names")
}

/// Asks whoever listens at a port.
pub fn ask_at(port: u16, command: &[&str]) -> std::io::Result<String> {
    let bytes: Vec<&[u8]> = command.iter().map(|part| part.as_bytes()).collect();
    ask(port, &bytes).map(|answer| String::from_utf8_lossy(&answer).into_owned())
}

/// Sends a command and reads one simple answer; arrays come as their lines.
fn ask(port: u16, command: &[&[u8]]) -> std::io::Result<Vec<u8>> {
    Connection::to(port)?.ask(command)
}

/// A connection for several questions.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn to(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn ask(&mut self, command: &[&[u8]]) -> std::io::Result<Vec<u8>> {
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            request.extend(format!("${}\r\n", part.len()).into_bytes());
            request.extend_from_slice(part);
            request.extend(b"\r\n");
        }
        self.0.get_mut().write_all(&request)?;
        answer(&mut self.0)
    }

    fn say(&mut self, command: &[&str]) -> String {
        let bytes: Vec<&[u8]> = command.iter().map(|part| part.as_bytes()).collect();
        let answer = self.ask(&bytes).expect("the server answers");
        String::from_utf8(answer).expect("a text")
    }

    fn set_slot(&mut self, slot: &str, state: &str, node: &str) {
        let answer = self.say(&["CLUSTER", "SETSLOT", slot, state, node]);
        assert_eq!(answer, "OK");
    }

    /// The hash slots of a node, as the one at the other end knows them.
    fn slots_of(&mut self, id: &str) -> BTreeSet<u16> {
        let nodes = self.say(&["CLUSTER", "NODES"]);
        let node = nodes.lines().find(|line| line.starts_with(id));
        let ranges = node.into_iter().flat_map(|line| line.split(' ').skip(8));
        // Beside them are those that are being moved, in brackets.
        let settled = ranges.filter(|range| !range.starts_with('['));
        let all = settled.flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let bound = |slot: &str| slot.parse::<u16>().expect("a slot");
            bound(first)..=bound(last)
        });
        all.collect()
    }
}

fn answer(from: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at(1.min(line.len()));
    let len = rest.parse::<i64>().unwrap_or(0);
    match kind {
        "$" if len >= 0 => {
            let mut bytes = vec![0; len as usize + 2];
            from.read_exact(&mut bytes)?;
            bytes.truncate(len as usize);
            Ok(bytes)
        }
        "$" => Ok(b"(nil)".to_vec()),
        "*" => {
            let mut all = Vec::new();
            for nth in 0..len {
                if nth > 0 {
                    all.push(b'\n');
                }
                all.extend(answer(from)?);
            }
            Ok(all)
        }
        _ => Ok(rest.as_bytes().to_vec()),
    }
}
