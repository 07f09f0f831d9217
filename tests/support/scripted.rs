//! A server in this process that does what a test tells it to: answers, keeps silent, or hangs up, each on cue.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Answers handshakes by itself; `answer` says what becomes of all else. Its threads end with their connections.
pub struct Scripted {
    port: u16,
    connections: Arc<AtomicU64>,
}

impl Scripted {
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicU64::new(0));
        let (answer, counter) = (Arc::new(answer), Arc::clone(&connections));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, answer) = (stream.unwrap(), Arc::clone(&answer));
                let connection = counter.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || serve(&stream, connection, &*answer));
            }
        });
        Self { port, connections }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(stream: &TcpStream, connection: u64, answer: &dyn Fn(&Asked) -> Reply) {
    let mut reader = BufReader::new(stream);
    // An error means that the other side has hung up.
    while let Ok(Some(words)) = command(&mut reader) {
        let asked = Asked { words, connection };
        let reply = match asked.name() {
            "HELLO" => Reply::Say(b"%1\r\n+proto\r\n:3\r\n".to_vec()),
            "CLIENT" | "SELECT" | "AUTH" => Reply::ok(),
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
    let _ = stream.shutdown(std::net::Shutdown::Both);
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
