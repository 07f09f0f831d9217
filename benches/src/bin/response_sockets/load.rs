//! The load: connections that are kept alive, each with one request on its way.

use hdrhistogram::Histogram;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

const REQUEST: &[u8] =
    b"GET /api/reports/monthly?page=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: load\r\n\r\n";

/// How many connections, and for how long.
pub struct Load {
    connections: usize,
    time: Duration,
    runtime: Runtime,
}

/// What was done.
pub struct Done {
    pub requests: u64,
    pub time: Duration,
}

impl Load {
    pub fn new(connections: usize, time: Duration) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Self {
            connections,
            time,
            runtime: runtime.expect("there is a runtime"),
        }
    }

    /// Asks from all connections at once, until the time is over.
    pub fn run(&self, address: SocketAddr, latency: &mut Histogram<u64>) -> Done {
        self.runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..self.connections {
                connections.push(Connection::open(address).await);
            }
            let start = Instant::now();
            let end = start + self.time;
            let mut tasks = JoinSet::new();
            for mut connection in connections {
                tasks.spawn(async move {
                    let mut nanos = Vec::with_capacity(1 << 16);
                    let mut before = Instant::now();
                    while before < end {
                        connection.ask().await;
                        let now = Instant::now();
                        nanos.push((now - before).as_nanos() as u64);
                        before = now;
                    }
                    nanos
                });
            }
            let all = tasks.join_all().await;
            let time = start.elapsed();
            let mut requests = 0;
            for nanos in all.into_iter().flatten() {
                latency.saturating_record(nanos);
                requests += 1;
            }
            Done { requests, time }
        })
    }

    /// The head of the second of two responses.
    pub fn ask_twice(&self, address: SocketAddr) -> String {
        self.runtime.block_on(async {
            let mut connection = Connection::open(address).await;
            connection.ask().await;
            // A store may be a little behind.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let end = connection.ask().await;
            String::from_utf8_lossy(&connection.buffer[..end]).to_lowercase()
        })
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("it can be set");
        Self {
            stream,
            buffer: vec![0; 16 * 1024],
        }
    }

    /// One request; returns where the head of the response ends.
    async fn ask(&mut self) -> usize {
        let sent = self.stream.write_all(REQUEST).await;
        sent.expect("it takes requests");
        let mut filled = 0;
        let mut whole = None;
        while whole.is_none_or(|(_, length)| filled < length) {
            let read = self.stream.read(&mut self.buffer[filled..]).await;
            let read = read.expect("it answers");
            assert!(read > 0, "it keeps connections alive");
            filled += read;
            whole = whole.or_else(|| measure(&self.buffer[..filled]));
        }
        let (head, length) = whole.expect("it is there");
        assert_eq!(filled, length, "one response for one request");
        assert!(self.buffer.starts_with(b"HTTP/1.1 200"), "it is well");
        head
    }
}

/// How long a response's head is, and the whole of it, once its head is there.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let name = b"\ncontent-length:";
    let line = bytes[..head]
        .windows(name.len())
        .position(|line| line.eq_ignore_ascii_case(name))
        .expect("it has a length");
    let text = &bytes[line + name.len()..head];
    let digits = text.trim_ascii_start().iter();
    let length = digits
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    Some((head, head + length))
}
