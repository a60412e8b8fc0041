//! A server that is asked with the very client that asks API servers: how well that measures can be tried on
//! servers whose outages are known.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::try_join_all;
use hyper::Method;
use recoup_model::observation::{Conn, Endpoint, Failure, FailureClass, Observed};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring, pki_types::CertificateDer};

use super::{
    api::{Call, Server},
    failure::while_doing,
    lane::{Ask, Lane},
};
use crate::{ClusterError, LoadRequest, LoadTarget};

/// An HTTP or HTTPS server, asked as an API server is: new connections speak HTTP/1.1, the kept one HTTP/2.
pub struct HttpTarget {
    server: Server,
}

impl HttpTarget {
    /// A server by its URL without path. `authority` is the certificate (DER) that an HTTPS server is trusted by.
    ///
    /// # Errors
    /// Where the certificate cannot be used.
    pub fn new(name: &str, base: &str, authority: Option<&[u8]>) -> Result<HttpTarget, ClusterError> {
        let tls = trusting(base, authority)?;
        Ok(HttpTarget { server: Server::new(Endpoint::Node(name.to_owned()), base, &tls)? })
    }

    /// One GET, one answer of 2xx, within `timeout`.
    ///
    /// # Errors
    /// As an API server's read fails.
    pub async fn observe(&self, conn: Conn, path: &str, timeout: Duration) -> Result<Observed, Failure> {
        self.server.call(conn, Call::get(path), timeout).await.map(|_| Observed::Answered)
    }
}

/// TLS that trusts that certificate alone.
fn trusting(base: &str, authority: Option<&[u8]>) -> Result<ClientConfig, ClusterError> {
    let unusable = |error: rustls::Error| ClusterError::Missing {
        missing: format!("a usable certificate for {base} ({error})"),
        remedy: "give the certificate that the server shows, as DER".into(),
    };
    super::credentials::install_ring();
    let mut roots = RootCertStore::empty();
    if let Some(der) = authority {
        roots.add(CertificateDer::from(der.to_vec())).map_err(unusable)?;
    }
    let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.resumption = Resumption::disabled();
    Ok(tls)
}

/// A load of GETs on an HTTPS server, over the very connections that a load on API servers takes.
pub struct HttpLoad(Vec<Lane>);

impl HttpLoad {
    /// Opens so many connections to it. `authority` is the certificate (DER) that it is trusted by.
    ///
    /// # Errors
    /// Where it does not answer, or the certificate cannot be used.
    pub async fn open(
        address: SocketAddr,
        authority: &[u8],
        connections: u32,
    ) -> Result<HttpLoad, ClusterError> {
        let tls = trusting(&address.to_string(), Some(authority))?;
        let lanes: Vec<Lane> = (0..connections).map(|_| Lane::new(address, &tls)).collect();
        try_join_all(lanes.iter().map(Lane::connect)).await.map_err(while_doing("connect for the load"))?;
        Ok(HttpLoad(lanes))
    }
}

#[async_trait]
impl LoadTarget for HttpLoad {
    async fn send(&self, request: LoadRequest) -> Result<(), Failure> {
        let index = usize::try_from(request.connection).unwrap_or_default() % self.0.len().max(1);
        let lane = self
            .0
            .get(index)
            .ok_or_else(|| Failure::new(FailureClass::Observer, "there is no connection for the load"))?;
        lane.exchange(Ask { method: Method::GET, path: "/".into(), body: None }).await
    }

    /// It makes nothing.
    async fn left(&self) -> Result<u64, Failure> {
        Ok(0)
    }
}
