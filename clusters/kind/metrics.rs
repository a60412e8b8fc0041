//! The components' own metrics, each asked on a connection apart from the probes'.
//!
//! A member is asked on its client port with its health check's certificate, an API server with the administrator's.
//! kubeadm has controller-managers and schedulers listen on their node's loopback address alone; in clusters that
//! recoup makes they listen on all, and show their metrics to anybody ([`super::config`]).

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::future::join_all;
use recoup_model::{
    action::StaticPod,
    metrics::Reader,
    observation::{Failure, FailureClass, Observed},
};
use reqwest::{Client, Url, redirect::Policy, retry};
use rustls::ClientConfig;

use super::{
    Container, KindCluster,
    api::{built, client},
    cluster::{API_PORT, observer},
    etcd::Member,
    failure,
};
use crate::ClusterError;

/// `--secure-port` of controller-managers …
const CONTROLLER_MANAGER: u16 = 10257;
/// … and of schedulers.
const SCHEDULER: u16 = 10259;
/// An answer is looked for this long when the cluster is connected to.
const TRIAL: Duration = Duration::from_secs(3);

/// Where one instance tells its metrics.
struct Endpoint {
    client: Client,
    url: Url,
}

/// Where all do, by component and node.
pub(super) struct Meters {
    endpoints: BTreeMap<(StaticPod, String), Endpoint>,
    /// Controller-managers and schedulers answer from outside of their nodes.
    pub open: bool,
}

impl Meters {
    /// Clients for all instances; asks controller-managers and schedulers once, to learn whether they answer.
    ///
    /// # Errors
    /// Where a client cannot be made.
    pub async fn new(
        planes: &[&Container],
        members: &[Member],
        tls: &ClientConfig,
    ) -> Result<Meters, ClusterError> {
        let mut endpoints = BTreeMap::new();
        for plane in planes {
            let mut add = |component, client, base: &str| {
                let url =
                    Url::parse(&format!("{base}/metrics")).map_err(|error| ClusterError::Kubernetes {
                        doing: format!("read the metrics of {base}"),
                        source: Box::new(error),
                    })?;
                endpoints.insert((component, plane.name.clone()), Endpoint { client, url });
                Ok::<_, ClusterError>(())
            };
            let base = |port| base(plane.address, port);
            if let Some(member) = members.iter().find(|member| member.node == plane.name) {
                add(StaticPod::Etcd, known(&member.url, &member.tls)?, &member.url)?;
            }
            let server = base(API_PORT);
            add(StaticPod::KubeApiserver, known(&server, tls)?, &server)?;
            for (component, port) in [
                (StaticPod::KubeControllerManager, CONTROLLER_MANAGER),
                (StaticPod::KubeScheduler, SCHEDULER),
            ] {
                add(component, anybody(&base(port))?, &base(port))?;
            }
        }
        let mut meters = Meters { endpoints, open: false };
        let closed =
            |component| matches!(component, StaticPod::KubeControllerManager | StaticPod::KubeScheduler);
        let asked = meters.endpoints.iter().filter(|((component, _), _)| closed(*component));
        let told = join_all(asked.map(|((component, _), endpoint)| read(endpoint, *component, TRIAL))).await;
        meters.open = told.iter().all(Result::is_ok);
        tracing::debug!(open = meters.open, failures = ?told.iter().flat_map(|t| t.as_ref().err()).collect::<Vec<_>>(), "metrics");
        Ok(meters)
    }
}

fn base(address: IpAddr, port: u16) -> String {
    format!("https://{}", SocketAddr::new(address, port))
}

/// A client of somebody whose authority is known.
fn known(base: &str, tls: &ClientConfig) -> Result<Client, ClusterError> {
    built(base, client(tls, b"http/1.1").http1_only().build())
}

/// A client that takes any certificate: controller-managers and schedulers sign their own at every start. Nothing is
/// sent to them but the question.
fn anybody(base: &str) -> Result<Client, ClusterError> {
    let client = Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .user_agent("recoup")
        .redirect(Policy::none())
        .retry(retry::never())
        .no_proxy()
        .http1_only();
    built(base, client.build())
}

async fn read(endpoint: &Endpoint, component: StaticPod, timeout: Duration) -> Result<Observed, Failure> {
    let exchange = async {
        let transport = |error: reqwest::Error| failure::of_transport(&error);
        let mut answer = endpoint.client.get(endpoint.url.clone()).send().await.map_err(transport)?;
        let status = answer.status().as_u16();
        if !(200..300).contains(&status) {
            let said = answer.bytes().await.map_err(transport)?;
            let other = || Failure::new(FailureClass::Malformed, format!("an answer of {status}"));
            return Err(failure::of_status(status, &said).unwrap_or_else(other));
        }
        let mut reader = Reader::new(component);
        while let Some(piece) = answer.chunk().await.map_err(transport)? {
            reader.feed(&piece);
        }
        Ok(reader.finish())
    };
    let values = tokio::time::timeout(timeout, exchange).await.map_err(|_| failure::timed_out(timeout))??;
    if values.is_empty() {
        return Err(Failure::new(
            FailureClass::Malformed,
            "none of the series that are read is in the answer",
        ));
    }
    Ok(Observed::Metrics { values })
}

impl KindCluster {
    pub(super) async fn metrics(
        &self,
        component: StaticPod,
        node: &str,
        timeout: Duration,
    ) -> Result<Observed, Failure> {
        let lacks = || observer(format!("{node} has no {}", component.process()));
        let endpoint = self.meters.endpoints.get(&(component, node.to_owned())).ok_or_else(lacks)?;
        if !self.meters.open
            && matches!(component, StaticPod::KubeControllerManager | StaticPod::KubeScheduler)
        {
            let process = component.process();
            return Err(observer(format!(
                "{process} does not tell its metrics outside of its node: make the cluster anew"
            )));
        }
        read(endpoint, component, timeout).await
    }
}

#[cfg(test)]
mod tests {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

    use super::*;

    async fn told(answer: ResponseTemplate) -> Result<Observed, Failure> {
        super::super::credentials::install_ring();
        let mock = MockServer::start().await;
        Mock::given(path("/metrics")).respond_with(answer).mount(&mock).await;
        let url = Url::parse(&format!("{}/metrics", mock.uri())).unwrap();
        let endpoint = Endpoint { client: anybody(&mock.uri()).unwrap(), url };
        read(&endpoint, StaticPod::KubeScheduler, Duration::from_secs(2)).await
    }

    #[tokio::test]
    async fn what_is_wanted_is_kept_and_a_refusal_is_told_apart() {
        let filler = "# HELP other\nother{a=\"b\"} 1\n".repeat(20_000);
        let body = format!("{filler}scheduler_pending_pods{{queue=\"active\"}} 2\n{filler}");
        let Ok(Observed::Metrics { values }) = told(ResponseTemplate::new(200).set_body_string(body)).await
        else {
            panic!("a reading");
        };
        assert_eq!(values, BTreeMap::from([("pendingPods".to_owned(), 2_000_000)]));
        let class = |told: Result<Observed, Failure>| told.map_err(|failure| failure.class).unwrap_err();
        assert_eq!(class(told(ResponseTemplate::new(403)).await), FailureClass::Rejected);
        assert_eq!(class(told(ResponseTemplate::new(503)).await), FailureClass::Unavailable);
        let other = ResponseTemplate::new(200).set_body_string("<html></html>");
        assert_eq!(class(told(other).await), FailureClass::Malformed);
    }

    #[tokio::test]
    async fn nobody_there_is_a_refusal() {
        super::super::credentials::install_ring();
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = Url::parse(&format!("http://{nobody}/metrics")).unwrap();
        let endpoint = Endpoint { client: anybody("http://nobody").unwrap(), url };
        let failure = read(&endpoint, StaticPod::Etcd, Duration::from_secs(2)).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Refused);
    }
}
