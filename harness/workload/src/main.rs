//! The workload beside an experiment, and the prober that watches it from each node.
//!
//! `recoup-workload serve` answers on port 8080 who it is; `recoup-workload vantage` runs in a node's own
//! network and makes one HTTP request per request that it gets, so that the harness sees a route as the node
//! sees it. Standard library only: the program is built statically into recoup itself and becomes an image
//! of one file.

mod fetch;
mod http;
mod json;

use std::{
    env,
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    time::Duration,
};

use http::{Answer, Request};

/// Where the workload answers.
const SERVE_PORT: u16 = 8080;
/// Where the prober answers, on its node's own address.
const VANTAGE_PORT: u16 = 10900;
/// Connections at a time. The harness keeps one per request under way: when routes hang for 3 s and two streams ask every
/// 20 ms, 300. With as many that ask, they are less than the 1024 open files that a container may have at least.
const CONNECTIONS: usize = 480;

fn main() -> ExitCode {
    let outcome = match env::args().nth(1).as_deref() {
        Some("serve") => serve(),
        Some("vantage") => vantage(),
        _ => Err("usage: recoup-workload serve|vantage".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Answers every request with this pod's name, node and app.
fn serve() -> Result<(), String> {
    let identity = json::object(&[
        ("pod", json::string(&variable("POD_NAME"))),
        ("node", json::string(&variable("NODE_NAME"))),
        ("app", json::string(&variable("APP"))),
    ]);
    let listener = listen(SocketAddr::from(([0, 0, 0, 0], SERVE_PORT)))?;
    http::serve(&listener, CONNECTIONS, move |request: &Request| match request.path.as_str() {
        "/" => Answer { status: 200, body: identity.clone() },
        _ => not_found(),
    })
    .map_err(|error| format!("accept: {error}"))
}

/// Fetches on request, from this node's own network.
fn vantage() -> Result<(), String> {
    let host = variable("HOST_IP");
    let address = host.parse().map_err(|_| format!("HOST_IP is {host:?}, not an address"))?;
    let listener = listen(SocketAddr::new(address, VANTAGE_PORT))?;
    http::serve(&listener, CONNECTIONS, answer_vantage).map_err(|error| format!("accept: {error}"))
}

fn answer_vantage(request: &Request) -> Answer {
    match request.path.as_str() {
        "/" => Answer { status: 200, body: json::object(&[("node", json::string(&variable("NODE_NAME")))]) },
        "/fetch" => fetch_for(request).unwrap_or_else(|wrong| Answer {
            status: 400,
            body: json::object(&[("message", json::string(&wrong))]),
        }),
        _ => not_found(),
    }
}

/// `GET /fetch?addr=IP:PORT&path=/…&timeoutMs=N`
fn fetch_for(request: &Request) -> Result<Answer, String> {
    let wanted = |name: &str| request.query(name).ok_or_else(|| format!("{name} is missing"));
    let address: SocketAddr = wanted("addr")?.parse().map_err(|_| "addr is not IP:PORT".to_owned())?;
    let millis: u64 = wanted("timeoutMs")?.parse().map_err(|_| "timeoutMs is not a number".to_owned())?;
    let path = request.query("path").unwrap_or("/");
    if !path.starts_with('/') || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("path must begin with / and hold no spaces".to_owned());
    }
    let timeout = Duration::from_millis(millis.clamp(1, 60_000));
    Ok(Answer { status: 200, body: fetch::fetch(address, path, timeout).json() })
}

fn not_found() -> Answer {
    Answer { status: 404, body: json::object(&[("message", json::string("there is no such path"))]) }
}

fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).map_err(|error| format!("listen on {address}: {error}"))
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: &[(&str, &str)]) -> Request {
        Request {
            path: "/fetch".into(),
            query: query.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            keep_alive: true,
        }
    }

    #[test]
    fn the_prober_fetches_what_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            http::serve(&listener, 4, |request| Answer { status: 200, body: request.path.clone() })
        });
        let answer =
            answer_vantage(&request(&[("addr", &address), ("path", "/healthz"), ("timeoutMs", "2000")]));
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains(r#""ok":true,"status":200,"body":"/healthz""#), "{}", answer.body);
    }

    #[test]
    fn the_prober_says_what_is_wrong_with_a_request() {
        for (query, says) in [
            (vec![("timeoutMs", "1")], "addr is missing"),
            (vec![("addr", "localhost:80"), ("timeoutMs", "1")], "addr is not IP:PORT"),
            (vec![("addr", "127.0.0.1:1"), ("timeoutMs", "soon")], "timeoutMs is not a number"),
            (vec![("addr", "127.0.0.1:1"), ("timeoutMs", "1"), ("path", "/a\r\nX: 1")], "path must"),
        ] {
            let answer = answer_vantage(&request(&query));
            assert_eq!(answer.status, 400);
            assert!(answer.body.contains(says), "{}", answer.body);
        }
    }
}
