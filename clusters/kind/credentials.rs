//! What the kubeconfig of a kind cluster says, as TLS settings that all connections share.

use std::sync::Arc;

use k8s_openapi::ByteString;
use kube::config::Kubeconfig;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;

use crate::ClusterError;

/// Address and identity of a cluster's administrator.
pub(super) struct Credentials {
    /// The API server's (or load balancer's) URL.
    pub server: String,
    /// TLS with the cluster's authority and the administrator's certificate; no ALPN yet.
    pub tls: ClientConfig,
}

impl Credentials {
    /// Reads the current context of a kubeconfig with embedded certificates, as kind writes it.
    pub fn read(kubeconfig: &str) -> Result<Credentials, ClusterError> {
        let config = Kubeconfig::from_yaml(kubeconfig).map_err(|error| unusable(&error.to_string()))?;
        // Through JSON: kube keeps the key in a type of its own that it opens only when it writes it.
        let config = serde_json::to_value(&config).map_err(|error| unusable(&error.to_string()))?;
        let current = text(&config["current-context"], "current-context")?;
        let context = named(&config, "contexts", current, "context")?;
        let cluster = named(&config, "clusters", text(&context["cluster"], "context.cluster")?, "cluster")?;
        let user = named(&config, "users", text(&context["user"], "context.user")?, "user")?;
        Ok(Credentials {
            server: text(&cluster["server"], "cluster.server")?.trim_end_matches('/').to_owned(),
            tls: client_tls(
                &data(&cluster["certificate-authority-data"], "certificate-authority-data")?,
                &data(&user["client-certificate-data"], "client-certificate-data")?,
                &data(&user["client-key-data"], "client-key-data")?,
            )?,
        })
    }
}

/// Makes ring the process's provider of cryptography, for clients that name none; nothing where there is one.
pub(super) fn install_ring() {
    let _ = ring::default_provider().install_default();
}

/// TLS settings from PEM texts. Sessions are never resumed: client-go does not either, and a new connection
/// shall cost what it costs a client.
pub(super) fn client_tls(
    authority: &[u8],
    certificate: &[u8],
    key: &[u8],
) -> Result<ClientConfig, ClusterError> {
    let wrong = |error: &dyn std::fmt::Display| unusable(&error.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        roots.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
    }
    let chain =
        CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(&e))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| wrong(&e))?;
    let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&e))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|e| wrong(&e))?;
    tls.resumption = Resumption::disabled();
    Ok(tls)
}

fn named<'a>(config: &'a Value, list: &str, name: &str, key: &str) -> Result<&'a Value, ClusterError> {
    config[list]
        .as_array()
        .and_then(|entries| entries.iter().find(|entry| entry["name"] == name))
        .map(|entry| &entry[key])
        .ok_or_else(|| unusable(&format!("{list} has no {name:?}")))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, ClusterError> {
    value.as_str().ok_or_else(|| unusable(&format!("{name} is missing")))
}

/// The bytes of a base64 field.
fn data(value: &Value, name: &str) -> Result<Vec<u8>, ClusterError> {
    serde_json::from_value::<ByteString>(value.clone())
        .map(|bytes| bytes.0)
        .map_err(|error| unusable(&format!("{name}: {error}")))
}

fn unusable(why: &str) -> ClusterError {
    ClusterError::Missing {
        missing: format!("a kubeconfig with embedded client certificates ({why})"),
        remedy: "look at what `kind get kubeconfig --name <cluster>` prints".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_that_lacks_something_is_refused_by_name() {
        let says = |text: &str| match Credentials::read(text) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(says("apiVersion: v1\nkind: Config\n").contains("current-context is missing"));
        let dangling = "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: []\n";
        assert!(says(dangling).contains("contexts has no \"a\""), "{}", says(dangling));
        assert!(says("a: [").contains("kubeconfig"));
    }
}
