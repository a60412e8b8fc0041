//! One HTTP GET on a connection of its own, with one deadline over everything.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::json;

/// An answer's head and body together may be this long.
const ANSWER_LIMIT: usize = 64 * 1024;
/// This much of the body is passed on.
const BODY_LIMIT: usize = 1024;

/// What came of a request.
#[derive(Debug, Default)]
pub struct Outcome {
    /// An answer came, whatever its status.
    ok: bool,
    status: u16,
    body: String,
    /// `refused`, `reset`, `timeout`, `malformed`, or `local` where this program could not even ask; empty where it is
    /// ok.
    class: &'static str,
    message: String,
    micros: u128,
}

impl Outcome {
    /// As the prober answers it.
    pub fn json(&self) -> String {
        json::object(&[
            ("ok", self.ok.to_string()),
            ("status", self.status.to_string()),
            ("body", json::string(&self.body)),
            ("class", json::string(self.class)),
            ("message", json::string(&self.message)),
            ("micros", self.micros.to_string()),
        ])
    }
}

/// Requests `path` of `address` on a new connection.
pub fn fetch(address: SocketAddr, path: &str, timeout: Duration) -> Outcome {
    let began = Instant::now();
    let outcome = match exchange(address, path, began + timeout) {
        Ok(answer) => read_answer(&answer),
        Err((doing, error)) => {
            Outcome { class: class(&error), message: format!("{doing}: {error}"), ..Outcome::default() }
        }
    };
    Outcome { micros: began.elapsed().as_micros(), ..outcome }
}

fn exchange(
    address: SocketAddr,
    path: &str,
    deadline: Instant,
) -> Result<Vec<u8>, (&'static str, io::Error)> {
    let during = |doing: &'static str| move |error| (doing, error);
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        // A timeout of zero would mean none.
        if left.is_zero() { Err(io::Error::from(ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut stream = TcpStream::connect_timeout(&address, left().map_err(during("connect"))?)
        .map_err(during("connect"))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    left()
        .and_then(|left| stream.set_write_timeout(Some(left)))
        .and_then(|()| stream.write_all(request.as_bytes()))
        .map_err(during("send"))?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = left()
            .and_then(|left| stream.set_read_timeout(Some(left)))
            .and_then(|()| stream.read(&mut buffer))
            .map_err(during("receive"))?;
        answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if complete(&answer) {
            return Ok(answer);
        }
        if read == 0 {
            // An end without an answer: the peer went away. One in the middle is judged by what came.
            return if has_head(&answer).is_some() {
                Ok(answer)
            } else {
                Err(("receive", io::Error::new(ErrorKind::UnexpectedEof, "closed before the answer")))
            };
        }
        if answer.len() > ANSWER_LIMIT {
            return Ok(answer);
        }
    }
}

/// Where the body begins.
fn has_head(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The length that the head promises.
fn promised(head: &str) -> Option<usize> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

fn complete(answer: &[u8]) -> bool {
    has_head(answer).is_some_and(|body| {
        let head = String::from_utf8_lossy(answer.get(..body).unwrap_or_default());
        promised(&head).is_some_and(|length| answer.len() - body >= length)
    })
}

fn read_answer(answer: &[u8]) -> Outcome {
    let malformed =
        |message: &str| Outcome { class: "malformed", message: message.to_owned(), ..Outcome::default() };
    let Some(body) = has_head(answer) else { return malformed("the answer's head has no end") };
    let (head, body) = answer.split_at(body);
    let head = String::from_utf8_lossy(head);
    let mut words = head.split_whitespace();
    let status = match (words.next(), words.next().map(str::parse)) {
        (Some(version), Some(Ok(status))) if version.starts_with("HTTP/1.") => status,
        _ => return malformed("the answer is not HTTP/1.1"),
    };
    if promised(&head).is_some_and(|length| body.len() < length) {
        let message = "receive: closed in the middle of the answer".to_owned();
        return Outcome { class: "reset", message, ..Outcome::default() };
    }
    let body = String::from_utf8_lossy(body.get(..BODY_LIMIT).unwrap_or(body)).into_owned();
    Outcome { ok: true, status, body, ..Outcome::default() }
}

/// What this process or its machine has run out of, by Linux' numbers: processes' and the system's open files, memory,
/// addresses, buffers.
const RUN_OUT: [i32; 5] = [24, 23, 12, 99, 105];

/// The failure's class. An address that cannot be reached counts as refused: somebody said no at once.
fn class(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if error.raw_os_error().is_some_and(|number| RUN_OUT.contains(&number)) => "local",
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "timeout",
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof
        | ErrorKind::NotConnected => "reset",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// A server of one connection that says `answer` and then waits.
    fn server(answer: &'static [u8], wait: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            thread::sleep(wait);
        });
        address
    }

    fn fetched(address: SocketAddr) -> Outcome {
        fetch(address, "/", Duration::from_millis(500))
    }

    #[test]
    fn an_answer_is_passed_on_without_waiting_for_the_end_of_the_connection() {
        let outcome =
            fetched(server(b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno", Duration::from_secs(5)));
        assert!(outcome.ok, "{outcome:?}");
        assert_eq!((outcome.status, outcome.body.as_str()), (503, "no"));
        assert!(outcome.micros < 400_000, "{outcome:?}");
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let outcome = fetched(server(b"HTTP/1.1 200 OK\r\n\r\nhello", Duration::ZERO));
        assert_eq!((outcome.ok, outcome.body.as_str()), (true, "hello"));
    }

    #[test]
    fn failures_are_told_apart() {
        let nobody = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        assert_eq!(fetched(nobody).class, "refused");
        assert_eq!(fetched(server(b"", Duration::from_secs(5))).class, "timeout");
        assert_eq!(fetched(server(b"", Duration::ZERO)).class, "reset");
        assert_eq!(
            fetched(server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal", Duration::ZERO)).class,
            "reset"
        );
        assert_eq!(fetched(server(b"SSH-2.0-x\r\n\r\n", Duration::ZERO)).class, "malformed");
        // EMFILE: the service has said nothing.
        assert_eq!(class(&io::Error::from_raw_os_error(24)), "local");
    }

    #[test]
    fn the_deadline_holds_for_an_answer_that_trickles() {
        let began = Instant::now();
        let outcome =
            fetched(server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal", Duration::from_secs(5)));
        assert_eq!(outcome.class, "timeout");
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}
