//! A GitHub on loopback that answers every request with the same page of issues and counts what it is asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// What ends the stub.
const FAREWELL: &str = "QUIT";

/// A running stub.
#[derive(Debug)]
pub(crate) struct GitHub {
    address: String,
    requests: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl GitHub {
    /// Answers with `issues`, a JSON list.
    pub(crate) fn with(issues: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (sender, requests) = channel();
        let page = issues.to_owned();
        let thread = std::thread::spawn(move || serve(&listener, &page, &sender));
        Self {
            address,
            requests,
            thread: Some(thread),
        }
    }

    /// What `GITHUB_API_URL` is to be.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first line of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        if let Ok(mut connection) = TcpStream::connect(&self.address) {
            // A thread that has died does not listen, and is joined all the same.
            let _dead = connection.write_all(format!("{FAREWELL}\r\n\r\n").as_bytes());
        }
        if let Some(thread) = self.thread.take() {
            let _dead = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, page: &str, requests: &Sender<String>) {
    for connection in listener.incoming().filter_map(Result::ok) {
        let mut lines = BufReader::new(&connection).lines().map_while(Result::ok);
        let request = lines.next().unwrap_or_default();
        if request == FAREWELL {
            return;
        }
        let _headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        // The test may have ended.
        let _gone = requests.send(request);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{page}",
            page.len()
        );
        // So may the client.
        let _gone = (&connection).write_all(answer.as_bytes());
    }
}
