//! A GitHub for tests: an HTTP server on loopback that answers each request with the next line of a script.
//!
//! It is in this process, so a test knows every request that was made, and no more than one thread serves, so the
//! order is the script's. Nothing in it waits for time to pass.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

/// What one request is answered with; `{base}` stands for the stub's own URL.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// These bytes, then the end of the connection.
    Raw(String),
    /// These bytes, and then nothing more while the stub lives.
    Stalls(String),
}

/// An answer with headers and a body, `Content-Length` included.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let length = body.len();
    Answer::Raw(format!("{head}content-length: {length}\r\n\r\n{body}"))
}

/// A good page: JSON, and a next page if there is one.
pub(super) fn page(body: &str, next: Option<&str>) -> Answer {
    let json = ("content-type", "application/json; charset=utf-8");
    match next {
        None => answer(200, &[json], body),
        Some(next) => {
            let link = format!("<{{base}}/first>; rel=\"first\", <{next}>; rel=\"next\"");
            answer(200, &[json, ("link", &link)], body)
        }
    }
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Method, target and version.
    pub(super) line: String,
    /// All header lines, their names in lower case.
    headers: Vec<(String, String)>,
}

impl Request {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Path and query.
    pub(super) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// A running stub.
pub(super) struct Stub {
    base: String,
    requests: Receiver<Request>,
    thread: Option<JoinHandle<()>>,
}

impl Stub {
    /// Starts a stub that answers with `script`, and then with 418 for ever.
    pub(super) fn start(script: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        let own = base.clone();
        let serve = move || {
            let mut stalled = Vec::new();
            let mut script = script.into_iter();
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else {
                    return;
                };
                let Some(request) = read_request(&connection) else {
                    let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                    continue;
                };
                if request.line.starts_with("QUIT ") {
                    return;
                }
                let _ = sender.send(request);
                let spent = || answer(418, &[], r#"{"message":"the script is spent"}"#);
                // A client that is told enough may hang up early; that is its right.
                match script.next().unwrap_or_else(spent) {
                    Answer::Raw(text) => {
                        let _ = connection.write_all(text.replace("{base}", &own).as_bytes());
                    }
                    Answer::Stalls(text) => {
                        let _ = connection.write_all(text.replace("{base}", &own).as_bytes());
                        stalled.push(connection);
                    }
                }
            }
        };
        let thread = Some(std::thread::spawn(serve));
        Self {
            base,
            requests,
            thread,
        }
    }

    /// The URL of the stub's root.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The requests that have come since this was last asked.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.try_iter().collect()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let address = self.base.trim_start_matches("http://");
        if let Ok(mut connection) = TcpStream::connect(address) {
            let _ = connection.write_all(b"QUIT / HTTP/1.1\r\n\r\n");
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads a request without a body; `None` when it is none, as a TLS greeting is not.
fn read_request(connection: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(connection);
    // A TLS greeting may hold no newline to wait for.
    if !reader.fill_buf().ok()?.first()?.is_ascii_uppercase() {
        return None;
    }
    let mut lines = reader.lines();
    let line = lines.next()?.ok()?;
    let mut headers = Vec::new();
    loop {
        let header = lines.next()?.ok()?;
        if header.is_empty() {
            return Some(Request { line, headers });
        }
        let (name, value) = header.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}
