//! The API servers, each by its own address, and the load balancer; each with a kept and a new connection.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use recoup_model::observation::{Conn, Endpoint, Failure, FailureClass};
use reqwest::{
    Client, ClientBuilder, Method,
    header::{ACCEPT, CONTENT_TYPE},
    redirect::Policy,
    retry,
};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;

use super::failure;
use crate::ClusterError;

/// client-go pings a kept connection that was silent for this long (`HTTP2_READ_IDLE_TIMEOUT_SECONDS`) …
pub(super) const PING_AFTER: Duration = Duration::from_secs(30);
/// … and gives it up when the ping is not answered for this long (`HTTP2_PING_TIMEOUT_SECONDS`).
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// client-go's `TLSHandshakeTimeout`; a connection that is not there by then is given up.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// The first request on a new kept connection.
const RECONNECT: Duration = Duration::from_secs(2);

/// JSON merge patch.
pub(super) const MERGE: &str = "application/merge-patch+json";
/// Server-side apply; JSON is YAML.
pub(super) const APPLY: &str = "application/apply-patch+yaml";
/// Plain JSON.
pub(super) const JSON: &str = "application/json";
/// Asks for an answer without spec and status: a write's answer is of no interest.
pub(super) const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// The same of a list.
pub(super) const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// One request, without address and deadline.
pub(super) struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<(&'static str, Vec<u8>)>,
    accept: &'static str,
}

/// Kept connections to the load balancer: it gives each another API server, so that whichever of three
/// is lost, one of the kept connections was with it.
const LB_LANES: usize = 3;

impl<'a> Call<'a> {
    /// Quorum reads, cached reads and writes each have a kept connection of their own where there are several.
    fn lane(&self) -> usize {
        match self.method {
            Method::GET if self.path.ends_with("resourceVersion=0") => 1,
            Method::PATCH => 2,
            _ => 0,
        }
    }

    pub fn get(path: &'a str) -> Call<'a> {
        Call { method: Method::GET, path, body: None, accept: JSON }
    }

    pub fn delete(path: &'a str) -> Call<'a> {
        Call { method: Method::DELETE, path, body: None, accept: JSON }
    }

    pub fn post(path: &'a str, body: &serde_json::Value) -> Call<'a> {
        Call { method: Method::POST, path, body: Some((JSON, body.to_string().into_bytes())), accept: JSON }
    }

    pub fn patch(path: &'a str, content: &'static str, body: impl Into<Vec<u8>>) -> Call<'a> {
        Call { method: Method::PATCH, path, body: Some((content, body.into())), accept: JSON }
    }

    /// Only the object's metadata shall be answered.
    pub fn metadata_only(self) -> Call<'a> {
        Call { accept: METADATA_ONLY, ..self }
    }
}

/// A client that asks once and at once: without retries, redirects and proxies.
pub(super) fn client(tls: &ClientConfig, alpn: &[u8]) -> ClientBuilder {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![alpn.to_vec()];
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent("recoup")
        .redirect(Policy::none())
        .retry(retry::never())
        .no_proxy()
        .tcp_nodelay(true)
}

pub(super) fn built(base: &str, client: reqwest::Result<Client>) -> Result<Client, ClusterError> {
    client.map_err(|error| ClusterError::Kubernetes {
        doing: format!("make a client for {base}"),
        source: Box::new(error),
    })
}

/// Clients of one kept connection each; they connect at their first request.
fn kept(endpoint: &Endpoint, base: &str, tls: &ClientConfig) -> Result<Vec<Client>, ClusterError> {
    let lanes = if *endpoint == Endpoint::Lb { LB_LANES } else { 1 };
    (0..lanes).map(|_| built(base, multiplexed(tls).build())).collect()
}

/// One HTTP/2 connection with client-go's health check.
fn multiplexed(tls: &ClientConfig) -> ClientBuilder {
    // Prior knowledge: the pool then never opens a second connection beside one under way.
    client(tls, b"h2")
        .http2_prior_knowledge()
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        .pool_idle_timeout(None)
}

/// One API server or the load balancer, as a client sees it.
pub(super) struct Server {
    /// Who it is.
    pub endpoint: Endpoint,
    base: String,
    tls: ClientConfig,
    /// By [`Call::lane`].
    reused: RwLock<Vec<Client>>,
    new: Client,
}

impl Server {
    /// Connects at the first request.
    pub fn new(endpoint: Endpoint, base: &str, tls: &ClientConfig) -> Result<Server, ClusterError> {
        let reused = RwLock::new(kept(&endpoint, base, tls)?);
        let new = client(tls, b"http/1.1").http1_only().pool_max_idle_per_host(0);
        Ok(Server {
            endpoint,
            base: base.to_owned(),
            tls: tls.clone(),
            reused,
            new: built(base, new.build())?,
        })
    }

    /// Opens the kept connections anew, one right after the other: after an API server's loss all of them may
    /// be with the others, and a balancer that goes round gives three in a row to three servers.
    pub async fn reconnect(&self) -> Result<(), ClusterError> {
        let fresh = kept(&self.endpoint, &self.base, &self.tls)?;
        for client in &fresh {
            // Whether it answers is for the probes to say.
            let asked = client.get(format!("{}/readyz", self.base)).timeout(RECONNECT).send().await;
            tracing::debug!(endpoint = %self.endpoint, well = asked.is_ok(), "a kept connection was opened");
        }
        *self.reused.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// A client with one connection of its own, for an answer that goes on and on.
    pub fn streaming(&self) -> Result<Client, Failure> {
        let client = multiplexed(&self.tls).connect_timeout(CONNECT).build();
        client.map_err(|error| failure::of_transport(&error))
    }

    /// Where that path is.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn kept(&self, lane: usize) -> Client {
        let kept = self.reused.read().unwrap_or_else(PoisonError::into_inner);
        kept[lane % kept.len()].clone()
    }

    /// One request, one answer of 2xx, within `timeout`.
    pub async fn call(&self, conn: Conn, call: Call<'_>, timeout: Duration) -> Result<Vec<u8>, Failure> {
        let client = match conn {
            Conn::New => self.new.clone(),
            Conn::Reused => self.kept(call.lane()),
        };
        let mut request =
            client.request(call.method, format!("{}{}", self.base, call.path)).header(ACCEPT, call.accept);
        if let Some((content, body)) = call.body {
            request = request.header(CONTENT_TYPE, content).body(body);
        }
        let exchange = async {
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        };
        match tokio::time::timeout(timeout, exchange).await {
            Err(_) => Err(failure::timed_out(timeout)),
            Ok(Err(error)) => Err(failure::of_transport(&error)),
            Ok(Ok((status, body))) => failure::of_status(status, &body).map_or_else(|| Ok(body.into()), Err),
        }
    }

    /// The same on the kept connection, read as JSON.
    pub async fn read<T: DeserializeOwned>(&self, call: Call<'_>, timeout: Duration) -> Result<T, Failure> {
        parse(&self.call(Conn::Reused, call, timeout).await?)
    }
}

/// An answer's JSON.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::new(FailureClass::Malformed, error))
}

/// All of them: the load balancer, and each API server.
pub(super) struct Api {
    lb: Server,
    servers: Vec<Server>,
}

impl Api {
    pub fn new(lb: Server, servers: Vec<Server>) -> Api {
        Api { lb, servers }
    }

    /// The one of that name.
    pub fn at(&self, endpoint: &Endpoint) -> Result<&Server, Failure> {
        match endpoint {
            Endpoint::Lb => Ok(&self.lb),
            Endpoint::Node(_) => {
                self.servers.iter().find(|server| server.endpoint == *endpoint).ok_or_else(|| {
                    Failure::new(FailureClass::Observer, format!("{endpoint} has no API server"))
                })
            }
        }
    }

    /// The load balancer, or the only API server.
    pub fn lb(&self) -> &Server {
        &self.lb
    }

    /// The API servers.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// API server number `turn` modulo their count.
    pub fn in_turn(&self, turn: u64) -> &Server {
        let index = usize::try_from(turn).unwrap_or_default().checked_rem(self.servers.len());
        index.and_then(|index| self.servers.get(index)).unwrap_or(&self.lb)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpListener},
        sync::Arc,
        thread,
    };

    use rustls::{RootCertStore, crypto::ring};
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;

    fn server(base: &str) -> Server {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Server::new(Endpoint::Lb, base, &tls).unwrap()
    }

    /// A listener that does something to every connection.
    fn listener(each: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || listener.incoming().flatten().for_each(each));
        address
    }

    async fn class(base: &str, conn: Conn) -> FailureClass {
        let answer = server(base).call(conn, Call::get("/"), Duration::from_millis(500)).await;
        answer.map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_err().class
    }

    #[tokio::test]
    async fn both_kinds_of_connection_tell_failures_apart() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let closes = listener(|mut stream| drop(stream.read(&mut [0; 1024])));
        let hangs =
            listener(|stream| thread::sleep(Duration::from_secs(5 + u64::from(stream.nodelay().is_err()))));
        let babbles = listener(|mut stream| {
            drop(stream.read(&mut [0; 1024]));
            drop(stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n"));
        });
        for conn in [Conn::New, Conn::Reused] {
            assert_eq!(class(&format!("http://{nobody}"), conn).await, FailureClass::Refused);
            assert_eq!(class(&format!("http://{closes}"), conn).await, FailureClass::Reset);
            assert_eq!(class(&format!("http://{hangs}"), conn).await, FailureClass::Timeout);
            assert_eq!(class(&format!("https://{babbles}"), conn).await, FailureClass::Tls);
        }
        assert_eq!(class(&format!("http://{babbles}"), Conn::New).await, FailureClass::Malformed);
    }

    #[tokio::test]
    async fn an_answer_is_returned_once_and_a_refusal_is_not_tried_again() {
        let mock = MockServer::start().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(429))
            .expect(1)
            .up_to_n_times(1)
            .mount(&mock)
            .await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_string("yes")).mount(&mock).await;
        let server = server(&mock.uri());
        let ask = || server.call(Conn::New, Call::get("/"), Duration::from_secs(2));
        assert_eq!(ask().await.unwrap_err().class, FailureClass::Throttled);
        assert_eq!(ask().await.unwrap(), b"yes");
        assert_eq!(mock.received_requests().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn overlapping_requests_share_one_kept_connection_and_a_new_one_replaces_it_when_it_breaks() {
        let (opened, count) = std::sync::mpsc::channel();
        // Enough of HTTP/2 to accept a request (empty SETTINGS), then the end.
        let address = listener(move |mut stream| {
            let _ = opened.send(());
            drop(stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]));
            thread::sleep(Duration::from_millis(200));
        });
        let server = server(&format!("http://{address}"));
        let ask = || server.call(Conn::Reused, Call::get("/"), Duration::from_secs(2));
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        for answer in [one, two, three] {
            assert_eq!(answer.unwrap_err().class, FailureClass::Reset);
        }
        assert_eq!(count.try_iter().count(), 1, "three requests, one connection");
        assert_eq!(ask().await.unwrap_err().class, FailureClass::Reset);
        assert_eq!(count.try_iter().count(), 1, "the broken connection was not used again");
    }

    #[tokio::test]
    async fn the_servers_are_asked_in_turn() {
        let api = Api::new(server("http://lb"), vec![server("http://a"), server("http://b")]);
        let asked: Vec<&str> = (0..3).map(|turn| api.in_turn(turn).base.as_str()).collect();
        assert_eq!(asked, ["http://a", "http://b", "http://a"]);
        assert_eq!(Api::new(server("http://lb"), Vec::new()).in_turn(7).base, "http://lb");
        let stranger = api.at(&Endpoint::Node("c".into())).map(|_| ()).unwrap_err();
        assert_eq!(stranger.class, FailureClass::Observer);
    }
}
