//! A small HTTP/1.1 server: GET only, keep-alive, one thread per connection up to a limit.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// A request's head may be this long.
const HEAD_LIMIT: u64 = 8 * 1024;
/// A kept connection is closed after this long without a request; longer than any client keeps it idle.
const IDLE: Duration = Duration::from_secs(120);
/// A client that does not take its answer is dropped.
const WRITE: Duration = Duration::from_secs(5);
/// Handlers are shallow, and there may be hundreds of threads.
const STACK: usize = 256 * 1024;

/// A request's line, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// Before the `?`.
    pub path: String,
    /// Names and decoded values after it.
    pub query: Vec<(String, String)>,
    /// The client keeps the connection.
    pub keep_alive: bool,
}

impl Request {
    /// The first value of that name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer in JSON.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Answers connections for ever; more than `limit` at a time are told 503 and closed.
pub fn serve(
    listener: &TcpListener,
    limit: usize,
    handler: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> io::Result<()> {
    let handler = Arc::new(handler);
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // Out of descriptors, or the client has gone again: neither may end the server.
            Err(error) if error.kind() != ErrorKind::InvalidInput => {
                thread::sleep(Duration::from_millis(10));
                continue;
            }
            Err(error) => return Err(error),
        };
        if open.fetch_add(1, Ordering::SeqCst) >= limit {
            let busy = Answer { status: 503, body: "{\"message\":\"too many connections\"}".into() };
            let _ = write_answer(&mut stream, &busy, false);
            open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (handler, counter) = (Arc::clone(&handler), Arc::clone(&open));
        let spawned = thread::Builder::new().stack_size(STACK).spawn(move || {
            // A broken connection is the client's affair.
            let _ = converse(stream, handler.as_ref());
            counter.fetch_sub(1, Ordering::SeqCst);
        });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn converse(stream: TcpStream, handler: &impl Fn(&Request) -> Answer) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(WRITE))?;
    // Both ways by one descriptor.
    let mut writer = &stream;
    let mut reader = BufReader::new(&stream);
    while let Some(request) = read_request(&mut reader)? {
        match request {
            Ok(request) => {
                write_answer(&mut writer, &handler(&request), request.keep_alive)?;
                if !request.keep_alive {
                    break;
                }
            }
            Err(wrong) => {
                let body = format!("{{\"message\":{}}}", crate::json::string(wrong));
                return write_answer(&mut writer, &Answer { status: 400, body }, false);
            }
        }
    }
    Ok(())
}

/// The next request; none where the client closed the connection between two.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Result<Request, &'static str>>> {
    let mut head = reader.take(HEAD_LIMIT);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target, version) = (words.next(), words.next(), words.next());
    let mut keep_alive = version == Some("HTTP/1.1");
    let target = match (method, target) {
        (Some("GET"), Some(target)) => target.to_owned(),
        _ => return Ok(Some(Err("only GET is understood"))),
    };
    loop {
        let mut header = String::new();
        if head.read_line(&mut header)? == 0 {
            return Ok(Some(Err("the request's head has no end")));
        }
        let header = header.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("connection")
        {
            keep_alive = !value.trim().eq_ignore_ascii_case("close");
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decode(value)))
        .collect();
    Ok(Some(Ok(Request { path: path.to_owned(), query, keep_alive })))
}

/// Undoes percent-encoding; what is no valid escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Head and body in one segment.
fn write_answer(writer: &mut impl Write, answer: &Answer, keep_alive: bool) -> io::Result<()> {
    let reason = match answer.status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        _ => "Service Unavailable",
    };
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let whole = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{}",
        answer.status,
        answer.body.len(),
        answer.body
    );
    writer.write_all(whole.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Result<Request, &'static str>> {
        read_request(&mut text.as_bytes()).unwrap()
    }

    #[test]
    fn a_request_is_taken_apart() {
        let request =
            read("GET /fetch?addr=10.0.0.1%3A80&path=%2Fa HTTP/1.1\r\nHost: x\r\n\r\n").unwrap().unwrap();
        assert_eq!((request.path.as_str(), request.keep_alive), ("/fetch", true));
        assert_eq!((request.query("addr"), request.query("path")), (Some("10.0.0.1:80"), Some("/a")));
        assert_eq!(request.query("none"), None);
        assert!(!read("GET / HTTP/1.1\r\nconnection: Close\r\n\r\n").unwrap().unwrap().keep_alive);
        assert!(!read("GET / HTTP/1.0\r\n\r\n").unwrap().unwrap().keep_alive);
    }

    #[test]
    fn broken_requests_are_refused() {
        assert!(read("").is_none());
        assert!(read("POST / HTTP/1.1\r\n\r\n").unwrap().is_err());
        assert!(read("GET / HTTP/1.1\r\nHost: x\r\n").unwrap().is_err());
        let endless = format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(10_000));
        assert!(read(&endless).unwrap().is_err());
        assert_eq!(decode("100%-a%zz%2"), "100%-a%zz%2");
    }

    fn ask(stream: &mut TcpStream, path: &str) -> io::Result<String> {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
    }

    #[test]
    fn one_connection_serves_many_requests_and_too_many_are_told_so() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            serve(&listener, 1, |request| Answer { status: 200, body: format!("{:?}", request.path) })
        });
        let mut first = TcpStream::connect(address).unwrap();
        for path in ["/a", "/b", "/c"] {
            let answer = ask(&mut first, path).unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(&format!("\r\n\r\n{path:?}")),
                "{answer}"
            );
        }
        let mut second = TcpStream::connect(address).unwrap();
        // It is closed unread, so that the 503 may be lost in the reset.
        let refused = ask(&mut second, "/").map_or(true, |answer| answer.starts_with("HTTP/1.1 503"));
        assert!(refused, "the limit is one connection");
        drop(first);
        let freed = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(10));
            let mut third = TcpStream::connect(address).unwrap();
            ask(&mut third, "/").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        assert!(freed, "a closed connection makes room for another");
    }
}
