//! As much of a Redis server as a near tier needs: SET, GET and PTTL, and yes to all else that it is asked.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

type Entries = Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>;

/// Starts one, which ends with the process, and returns its URL.
pub fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has one");
    let entries = Entries::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let entries = Arc::clone(&entries);
            thread::spawn(move || serve(&stream, &entries));
        }
    });
    format!("redis://{address}")
}

fn serve(mut stream: &TcpStream, entries: &Entries) {
    let mut reader = BufReader::new(stream);
    while let Some(words) = command(&mut reader) {
        let answer = answer(&words, entries);
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

fn answer(words: &[Vec<u8>], entries: &Entries) -> Vec<u8> {
    let mut entries = entries.lock().expect("nothing panics with the lock");
    match (words[0].to_ascii_uppercase().as_slice(), &words[1..]) {
        (b"HELLO", _) => b"%1\r\n+proto\r\n:3\r\n".to_vec(),
        (b"PTTL", _) => b":-1\r\n".to_vec(),
        (b"GET", [key]) => bulk(entries.get(key)),
        (b"MGET", keys) => {
            let mut all = format!("*{}\r\n", keys.len()).into_bytes();
            keys.iter()
                .for_each(|key| all.extend(bulk(entries.get(key))));
            all
        }
        (b"SET", [key, value, ..]) => {
            entries.insert(key.clone(), value.clone());
            b"+OK\r\n".to_vec()
        }
        // What is made where there is nothing: the version of a tag.
        (b"EVALSHA" | b"EVAL", [_, _, key, new, ..]) => {
            entries.insert(key.clone(), new.clone());
            b":1\r\n".to_vec()
        }
        _ => b"+OK\r\n".to_vec(),
    }
}

fn bulk(value: Option<&Vec<u8>>) -> Vec<u8> {
    let Some(value) = value else {
        return b"_\r\n".to_vec();
    };
    let mut bytes = format!("${}\r\n", value.len()).into_bytes();
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The next command; none if the client has hung up.
fn command(reader: &mut impl BufRead) -> Option<Vec<Vec<u8>>> {
    let words = (0..number(reader, '*')?).map(|_| {
        let mut word = vec![0; number(reader, '$')? + 2];
        reader.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        Some(word)
    });
    words.collect()
}

/// A line with a number behind this sign.
fn number(reader: &mut impl BufRead, sign: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.strip_prefix(sign)?.trim_end().parse().ok()
}
