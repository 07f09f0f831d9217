//! Servers in this process that do what a test tells them to: answer, stand still, hang up, go away and come back, each on cue.
//! No clock is in it, so no outcome depends on how fast the machine is.

#![allow(dead_code, reason = "each test file uses its own part of it")]

// Not std's: its locks are precompiled, and the thread sanitizer would not see them.
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread;

/// What the server does about a command.
pub enum Reply {
    /// Sends this.
    Say(Vec<u8>),
    /// Sends this, and hangs up.
    SayAndHangUp(Vec<u8>),
    HangUp,
    /// Sends nothing, ever, and reads on.
    Silence,
}

impl Reply {
    pub fn ok() -> Self {
        Self::Say(b"+OK\r\n".to_vec())
    }

    pub fn nil() -> Self {
        Self::Say(b"_\r\n".to_vec())
    }

    pub fn integer(n: i64) -> Self {
        Self::Say(format!(":{n}\r\n").into_bytes())
    }

    pub fn text(text: &str) -> Self {
        Self::Say(format!("${}\r\n{text}\r\n", text.len()).into_bytes())
    }

    pub fn error(text: &str) -> Self {
        Self::Say(format!("-{text}\r\n").into_bytes())
    }

    pub fn list(parts: &[&str]) -> Self {
        let mut bytes = format!("*{}\r\n", parts.len());
        for part in parts {
            bytes.push_str(&format!("${}\r\n{part}\r\n", part.len()));
        }
        Self::Say(bytes.into_bytes())
    }

    /// What a server says that is well: every key is there, and is 1.
    pub fn well(asked: &Asked) -> Self {
        match asked.name() {
            "GET" => Self::text("1"),
            "MGET" => Self::list(&vec!["1"; asked.words.len() - 1]),
            "PTTL" => Self::integer(-1),
            "UNLINK" | "EVAL" | "EVALSHA" => Self::integer(1),
            "SCAN" => Self::Say(b"*2\r\n$1\r\n0\r\n*0\r\n".to_vec()),
            _ => Self::ok(),
        }
    }
}

/// A command's words, the first of them in capitals, and on which connection it came, counted from 0.
pub struct Asked {
    pub words: Vec<String>,
    pub connection: u64,
}

impl Asked {
    pub fn name(&self) -> &str {
        &self.words[0]
    }
}

/// How a server is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Up,
    /// Takes connections and commands, handshakes too, and answers when it is resumed.
    Paused,
    /// Hangs up on all there are, and on all who come.
    Stopped,
}

struct State {
    mood: Mood,
    connections: u64,
    commands: u64,
    /// Those that are open.
    streams: Vec<TcpStream>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits while the server is paused. Whether it is up then.
    fn is_up(&self) -> bool {
        let mut state = self.lock();
        let is_paused = |state: &mut State| state.mood == Mood::Paused;
        self.changed.wait_while(&mut state, is_paused);
        state.mood == Mood::Up
    }
}

/// Answers handshakes by itself; `answer` says what becomes of all else. Its threads end with their connections.
pub struct Scripted {
    port: u16,
    shared: Arc<Shared>,
}

impl Scripted {
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            mood: Mood::Up,
            connections: 0,
            commands: 0,
            streams: Vec::new(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let (answer, accepting) = (Arc::new(answer), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                // Small answers are not to wait for the acknowledgement of others.
                stream.set_nodelay(true).unwrap();
                let mut state = accepting.lock();
                if state.mood == Mood::Stopped {
                    continue;
                }
                let connection = state.connections;
                state.connections += 1;
                state.streams.push(stream.try_clone().unwrap());
                accepting.changed.notify_all();
                drop(state);
                let (answer, shared) = (Arc::clone(&answer), Arc::clone(&accepting));
                thread::spawn(move || serve(&stream, connection, &*answer, &shared));
            }
        });
        Self { port, shared }
    }

    /// One that answers whatever it is asked.
    pub fn well() -> Self {
        Self::start(Reply::well)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// From now on it answers nothing, not even a handshake, until it is resumed.
    pub fn pause(&self) {
        self.turn(Mood::Paused);
    }

    pub fn resume(&self) {
        self.turn(Mood::Up);
    }

    /// From now on it is not there, as far as clients can tell, until it is started again.
    pub fn stop(&self) {
        self.turn(Mood::Stopped);
    }

    pub fn start_again(&self) {
        self.turn(Mood::Up);
    }

    fn turn(&self, mood: Mood) {
        let mut state = self.shared.lock();
        state.mood = mood;
        if mood == Mood::Stopped {
            for stream in state.streams.drain(..) {
                // It may have been closed by the client.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> u64 {
        self.shared.lock().connections
    }

    /// How many commands have come so far, handshakes not counted; those that wait for an answer are.
    pub fn commands(&self) -> u64 {
        self.shared.lock().commands
    }

    /// Waits until so many commands have come in all.
    pub fn wait_for_commands(&self, count: u64) {
        let mut state = self.shared.lock();
        let are_fewer = |state: &mut State| state.commands < count;
        self.shared.changed.wait_while(&mut state, are_fewer);
    }
}

fn serve(stream: &TcpStream, connection: u64, answer: &dyn Fn(&Asked) -> Reply, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    // An error means that the other side has hung up.
    while let Ok(Some(words)) = command(&mut reader) {
        let asked = Asked { words, connection };
        let is_handshake = matches!(asked.name(), "HELLO" | "CLIENT" | "SELECT" | "AUTH");
        if !is_handshake {
            shared.lock().commands += 1;
            shared.changed.notify_all();
        }
        if !shared.is_up() {
            break;
        }
        let reply = match asked.name() {
            "HELLO" => Reply::Say(b"%1\r\n+proto\r\n:3\r\n".to_vec()),
            _ if is_handshake => Reply::ok(),
            _ => answer(&asked),
        };
        let (bytes, goes_on) = match reply {
            Reply::Say(bytes) => (bytes, true),
            Reply::SayAndHangUp(bytes) => (bytes, false),
            Reply::HangUp => (Vec::new(), false),
            Reply::Silence => (Vec::new(), true),
        };
        let mut writer = stream;
        if writer.write_all(&bytes).is_err() || !goes_on {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn command(reader: &mut impl BufRead) -> std::io::Result<Option<Vec<String>>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let number = |line: &str| {
        let number = line.trim_end().get(1..).and_then(|n| n.parse().ok());
        number.ok_or_else(|| std::io::Error::from(ErrorKind::InvalidData))
    };
    let mut words = Vec::new();
    for _ in 0..number(&line)? {
        line.clear();
        reader.read_line(&mut line)?;
        let mut word = vec![0; number(&line)? + 2];
        reader.read_exact(&mut word)?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    if let Some(name) = words.first_mut() {
        name.make_ascii_uppercase();
    }
    Ok(Some(words))
}

/// Nodes that say of themselves that they are a cluster, and share its hash slots evenly.
pub struct ScriptedCluster {
    pub nodes: Vec<Scripted>,
}

impl ScriptedCluster {
    /// Each node asks `answer`, with its own number, what to do about a command; it answers `CLUSTER SLOTS` by itself.
    pub fn start(
        nodes: usize,
        answer: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        let ports: Arc<OnceLock<Vec<u16>>> = Arc::default();
        let start = |nth: usize| {
            let (answer, ports) = (Arc::clone(&answer), Arc::clone(&ports));
            Scripted::start(move |asked| match asked.name() {
                "CLUSTER" => Reply::Say(slots(ports.wait())),
                _ => answer(nth, asked),
            })
        };
        let nodes: Vec<Scripted> = (0..nodes).map(start).collect();
        let all = nodes.iter().map(Scripted::port).collect();
        ports.set(all).expect("they are set once");
        Self { nodes }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(Scripted::address).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }
}

/// What `CLUSTER SLOTS` answers where the nodes at these ports have as many hash slots each.
fn slots(ports: &[u16]) -> Vec<u8> {
    const COUNT: usize = 16_384;
    let mut text = format!("*{}\r\n", ports.len());
    for (nth, port) in ports.iter().enumerate() {
        let first = COUNT * nth / ports.len();
        let last = COUNT * (nth + 1) / ports.len() - 1;
        text.push_str(&format!("*3\r\n:{first}\r\n:{last}\r\n"));
        text.push_str(&format!("*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n"));
    }
    text.into_bytes()
}
