//! A server that is asked with the very client that asks API servers: how well that measures can be tried on
//! servers whose outages are known.

use std::{sync::Arc, time::Duration};

use recoup_model::observation::{Conn, Endpoint, Failure, Observed};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring, pki_types::CertificateDer};

use super::api::{Call, Server};
use crate::ClusterError;

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
