//! The servers: processes of their own, on free ports of the loopback interface, ended by their ids.

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use nori_cache::MemoryCacheBackend;
use nori_cache::response::CacheResponse;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

/// A server under load.
pub struct Server {
    name: &'static str,
    address: SocketAddr,
    /// What the head of a hit has in it.
    mark: &'static str,
    process: Option<Child>,
    /// Removed at the end.
    folder: Option<PathBuf>,
}

impl Server {
    /// Those that are installed. The first one is the handler without a layer, and the origin of nginx and Varnish.
    pub fn start_all() -> Vec<Self> {
        let bare = Self::start_own("axum handler, no layer", "bare", "200 ok");
        let layer = Self::start_own("nori-cache around it", "layer", "nori-cache; hit");
        let origin = bare.address;
        let others = [start_nginx(origin), start_varnish(origin)];
        let others = others.into_iter().flatten();
        [bare, layer].into_iter().chain(others).collect()
    }

    /// Stands where another was taken from.
    pub fn none() -> Self {
        Self {
            name: "none",
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            mark: "",
            process: None,
            folder: None,
        }
    }

    /// This program, as a server.
    fn start_own(name: &'static str, what: &str, mark: &'static str) -> Self {
        let program = std::env::current_exe().expect("it has a path");
        let mut command = Command::new(program);
        command.args(["--serve", what]).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("it is piped");
        let read = BufReader::new(output).read_line(&mut line);
        read.expect("it says where it listens");
        Self {
            name,
            address: line.trim().parse().expect("it is an address"),
            mark,
            process: Some(process),
            folder: None,
        }
    }

    /// A program from elsewhere; `None` if it is not installed.
    fn start_other(
        name: &'static str,
        mark: &'static str,
        folder: PathBuf,
        address: SocketAddr,
        command: &mut Command,
    ) -> Option<Self> {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(process) = command.spawn() else {
            eprintln!("{name} is not installed: left out");
            let _ = fs::remove_dir_all(folder);
            return None;
        };
        let server = Self {
            name,
            address,
            mark,
            process: Some(process),
            folder: Some(folder),
        };
        for _ in 0..100 {
            if TcpStream::connect(address).is_ok() {
                return Some(server);
            }
            sleep(Duration::from_millis(100));
        }
        eprintln!("{name} does not start: left out");
        None
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn is_hit(&self, head: &str) -> bool {
        head.contains(self.mark)
    }

    /// The processor time that it has taken so far; 0 where there is no `/proc`.
    pub fn processor_nanos(&self) -> u64 {
        self.process
            .as_ref()
            .map_or(0, |process| processor_nanos(process.id()))
    }
}

/// Of all threads of a process and of its children.
fn processor_nanos(process: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return 0;
    };
    let mut sum = 0;
    for thread in threads.flatten() {
        let read = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let own = read("schedstat");
        let own = own.split(' ').next().and_then(|nanos| nanos.parse().ok());
        sum += own.unwrap_or(0);
        let children = read("children");
        let children = children
            .split_whitespace()
            .filter_map(|child| child.parse().ok());
        sum += children.map(processor_nanos).sum::<u64>();
    }
    sum
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // First as it wants to be ended, so that it ends its children.
            let id = process.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &id]).status();
            for _ in 0..50 {
                match process.try_wait() {
                    Ok(None) => sleep(Duration::from_millis(50)),
                    _ => break,
                }
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Is the server that `--serve` asks for, until it is ended.
pub fn serve(what: &str) {
    let body = Bytes::from(vec![b'x'; 1024]);
    let handler = get(move || {
        let body = body.clone();
        async move {
            let headers = [
                ("cache-control", "max-age=3600"),
                ("content-type", "application/json"),
            ];
            (headers, body)
        }
    });
    let layer = CacheResponse::ttl(Duration::from_secs(3600))
        .backend(Arc::new(MemoryCacheBackend::new(10_000)));
    let handler = match what {
        "layer" => handler.layer(layer),
        _ => handler,
    };
    let app = Router::new().route("/api/reports/monthly", handler);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("there is a runtime").block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("there is a free port");
        println!("{}", listener.local_addr().expect("it has an address"));
        std::io::stdout().flush().expect("it is read");
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, app).await.expect("it serves");
    });
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.expect("there is a free port")
}

fn new_folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("nori-cache-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("it can be made");
    folder
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("it can be written");
    path
}

fn start_nginx(origin: SocketAddr) -> Option<Server> {
    let (address, folder) = (free_address(), new_folder("nginx"));
    let at = folder.display();
    let config = format!(
        "daemon off; user root; worker_processes 1; pid {at}/pid; error_log {at}/error.log;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000000;
            client_body_temp_path {at}/1; fastcgi_temp_path {at}/2; uwsgi_temp_path {at}/3; scgi_temp_path {at}/4;
            proxy_temp_path {at}/5; proxy_cache_path {at}/cache keys_zone=all:1m inactive=1h;
            open_file_cache max=100 inactive=1h; open_file_cache_valid 1h;
            server {{
                listen {address};
                location / {{
                    proxy_pass http://{origin}; proxy_cache all; proxy_cache_valid 200 1h;
                    add_header X-Cache $upstream_cache_status;
                }}
            }}
        }}"
    );
    let config = write(&folder, "nginx.conf", &config);
    let mut command = Command::new("nginx");
    command.arg("-c").arg(config).arg("-p").arg(&folder);
    Server::start_other(
        "nginx, proxy_cache",
        "x-cache: hit",
        folder,
        address,
        &mut command,
    )
}

fn start_varnish(origin: SocketAddr) -> Option<Server> {
    let (address, folder) = (free_address(), new_folder("varnish"));
    let port = origin.port();
    let config = format!(
        "vcl 4.1; backend origin {{ .host = \"127.0.0.1\"; .port = \"{port}\"; }}
        sub vcl_deliver {{ if (obj.hits > 0) {{ set resp.http.X-Cache = \"hit\"; }} }}"
    );
    let config = write(&folder, "vcl", &config);
    let mut command = Command::new("varnishd");
    command.args(["-F", "-j", "none", "-s", "malloc,64m", "-a"]);
    command
        .arg(address.to_string())
        .arg("-f")
        .arg(config)
        .arg("-n")
        .arg(folder.join("work"));
    for setting in ["thread_pools=1", "thread_pool_min=100", "timeout_idle=60"] {
        command.args(["-p", setting]);
    }
    Server::start_other("Varnish", "x-cache: hit", folder, address, &mut command)
}
