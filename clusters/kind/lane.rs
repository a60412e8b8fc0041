//! One kept HTTP/2 connection to one server, for many requests at a time: what a load is sent over.
//!
//! hyper without a pool around it: a request costs the machine that it shares with the cluster as little as it can,
//! and which connection it takes is known.

use std::{net::SocketAddr, sync::Arc};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, Uri,
    body::{Bytes, Incoming},
    client::conn::http2::{Builder, SendRequest},
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use recoup_model::observation::{Failure, FailureClass};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    api::{CONNECT, JSON, PING_AFTER, PING_TIMEOUT},
    failure,
};

/// A refusal's text is kept as far as this; an answer is passed over whatever its length.
const REFUSAL: usize = 1 << 12;

/// A connection that is opened at its first request, and anew once it is broken.
pub(super) struct Lane {
    address: SocketAddr,
    tls: TlsConnector,
    open: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// One request.
pub(super) struct Ask {
    pub method: Method,
    pub path: String,
    /// With its type; none is empty.
    pub body: Option<(&'static str, Bytes)>,
}

impl Lane {
    pub fn new(address: SocketAddr, tls: &ClientConfig) -> Lane {
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Lane { address, tls: TlsConnector::from(Arc::new(tls)), open: Mutex::default() }
    }

    /// Opens the connection, so that the first request does not wait for it.
    pub async fn connect(&self) -> Result<(), Failure> {
        self.sender().await.map(drop)
    }

    /// A handle to the open connection. Whoever finds it broken opens it; the others wait for that.
    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let mut open = self.open.lock().await;
        if let Some(sender) = open.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let made = timeout(CONNECT, self.make()).await.map_err(|_| failure::timed_out(CONNECT))??;
        *open = Some(made.clone());
        Ok(made)
    }

    async fn make(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| failure::of_transport(&error))?;
        stream.set_nodelay(true).map_err(|error| failure::of_transport(&error))?;
        let name = ServerName::from(self.address.ip());
        let stream = self.tls.connect(name, stream).await.map_err(|error| failure::of_transport(&error))?;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| failure::of_transport(&error))?;
        // It ends with the last handle to it; its error is told to the requests that it carried.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    /// Sends a request and waits for the beginning of a good answer.
    pub async fn begin(&self, ask: Ask) -> Result<Incoming, Failure> {
        let uri = Uri::builder()
            .scheme("https")
            .authority(self.address.to_string())
            .path_and_query(ask.path)
            .build()
            .map_err(|error| Failure::new(FailureClass::Observer, error))?;
        let request = Request::builder()
            .method(ask.method)
            .uri(uri)
            .header(ACCEPT, JSON)
            .header(USER_AGENT, "recoup-load");
        let (request, body) = match ask.body {
            Some((content, body)) => (request.header(CONTENT_TYPE, content), body),
            None => (request, Bytes::new()),
        };
        let request =
            request.body(Full::new(body)).map_err(|error| Failure::new(FailureClass::Observer, error))?;
        let mut sender = self.sender().await?;
        let answer = sender.send_request(request).await.map_err(|error| failure::of_transport(&error))?;
        let status = answer.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(answer.into_body());
        }
        let said = beginning(answer).await?;
        let strange = || Failure::new(FailureClass::Malformed, format!("{status}"));
        Err(failure::of_status(status, &said).unwrap_or_else(strange))
    }

    /// Sends a request and takes all of a good answer, without looking at it.
    pub async fn exchange(&self, ask: Ask) -> Result<(), Failure> {
        let mut body = self.begin(ask).await?;
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| failure::of_transport(&error))?;
        }
        Ok(())
    }
}

/// The beginning of an answer's body.
async fn beginning(answer: Response<Incoming>) -> Result<Vec<u8>, Failure> {
    let mut said = Vec::new();
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failure::of_transport(&error))?;
        if let Some(data) = frame.data_ref() {
            said.extend_from_slice(&data[..data.len().min(REFUSAL.saturating_sub(said.len()))]);
        }
    }
    Ok(said)
}
