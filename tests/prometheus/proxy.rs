//! A proxy that counts the requests of clients to a Prometheus.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Hands on to one server. Its threads end with the connections, and the one that accepts with the process.
pub struct Proxy {
    pub url: String,
    requests: Arc<AtomicUsize>,
}

impl Proxy {
    /// A proxy before the server at `url`.
    pub fn before(url: &str) -> Self {
        let server = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<AtomicUsize> = Arc::default();
        let counter = requests.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&server).unwrap();
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || hand_on(from, to, &AtomicUsize::default()));
                let counter = counter.clone();
                thread::spawn(move || hand_on(client, server, &counter));
            }
        });
        Self { url, requests }
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Counts what begins as a request does. A query is form-encoded, and so cannot hold a line that does.
fn hand_on(mut from: TcpStream, mut to: TcpStream, counter: &AtomicUsize) {
    let (mut chunk, mut tail) = ([0; 16 * 1024], Vec::new());
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        tail.extend_from_slice(&chunk[..read]);
        let found = tail.windows(9).filter(|bytes| *bytes == b" HTTP/1.1").count();
        counter.fetch_add(found, Ordering::SeqCst);
        tail.drain(..tail.len().saturating_sub(8));
        if to.write_all(&chunk[..read]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
