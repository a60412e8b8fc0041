//! The etcd members, each asked directly with the certificate that its node's own health check uses.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use etcd_client::{
    Certificate, Client, ConnectOptions, DeleteOptions, GetOptions, Identity, KvClient, MaintenanceClient,
    TlsOptions,
};
use recoup_model::observation::{Failure, FailureClass, Observation, Observed};

use rustls::ClientConfig;

use super::{Docker, credentials::client_tls, failure};
use crate::{ClusterError, ReadBack};

/// Where kubeadm lets members listen for clients.
const PORT: u16 = 2379;
/// Everything that recoup writes lies under this key.
const PREFIX: &str = "/recoup/";
/// Where API servers keep the nodes' Leases (`--etcd-prefix` is `/registry` unless told otherwise).
const NODE_LEASES: &str = "/registry/leases/kube-node-lease/";
/// A member that lets attempts time out is asked on a new connection after this long: a handshake that hung
/// while packets were dropped would otherwise wait for TCP's back-off, and hide that the member is back.
const RECONNECT: Duration = Duration::from_secs(2);

/// The connection of the moment.
struct Link {
    kv: KvClient,
    maintenance: MaintenanceClient,
    made: Instant,
}

/// One member.
pub(super) struct Member {
    /// Its node.
    pub node: String,
    /// Where it listens for clients.
    pub url: String,
    /// The health check's identity, for what is not asked by gRPC.
    pub tls: ClientConfig,
    options: ConnectOptions,
    link: Mutex<Link>,
}

/// What a member says of itself.
pub(super) struct Status {
    pub id: u64,
    /// 0 where it knows none.
    pub leader: u64,
    pub term: u64,
    pub applied: u64,
    pub version: String,
}

impl Status {
    /// As an observation's result.
    pub fn observed(&self) -> Observed {
        let hex = |id: u64| format!("{id:x}");
        Observed::Member {
            id: hex(self.id),
            leader: (self.leader != 0).then(|| hex(self.leader)),
            term: self.term,
            applied: self.applied,
        }
    }
}

impl Member {
    /// Reads the certificates from the member's node. Connects at the first call.
    pub async fn open(docker: &Docker, node: &str, address: IpAddr) -> Result<Member, ClusterError> {
        let file = |name: &'static str| async move {
            docker.read_file(node, &format!("/etc/kubernetes/pki/etcd/{name}")).await
        };
        let (authority, certificate, key) = futures::try_join!(
            file("ca.crt"),
            file("healthcheck-client.crt"),
            file("healthcheck-client.key")
        )?;
        let plain = client_tls(&authority, &certificate, &key)?;
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(authority))
            .identity(Identity::from_pem(certificate, key))
            .domain_name(address.to_string());
        let options = ConnectOptions::new().with_tls(tls).with_connect_timeout(Duration::from_secs(1));
        let url = format!("https://{}", SocketAddr::new(address, PORT));
        let link = Mutex::new(connect(&url, &options).await.map_err(|failure| ClusterError::Kubernetes {
            doing: format!("make a client for the etcd member on {node}"),
            source: Box::new(failure),
        })?);
        Ok(Member { node: node.to_owned(), url, tls: plain, options, link })
    }

    fn link(&self) -> (KvClient, MaintenanceClient) {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        (link.kv.clone(), link.maintenance.clone())
    }

    /// Waits for a call; after a time-out a connection that is not young is replaced.
    async fn within<T>(
        &self,
        timeout: Duration,
        call: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(timeout, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failure::of_etcd(&error)),
            Err(_) => {
                let old = self.link.lock().unwrap_or_else(PoisonError::into_inner).made.elapsed() > RECONNECT;
                if old && let Ok(link) = connect(&self.url, &self.options).await {
                    *self.link.lock().unwrap_or_else(PoisonError::into_inner) = link;
                }
                Err(failure::timed_out(timeout))
            }
        }
    }

    /// Who it is, whom it follows, how far it has come.
    pub async fn status(&self, timeout: Duration) -> Result<Status, Failure> {
        let (_, mut maintenance) = self.link();
        let answer = self.within(timeout, maintenance.status()).await?;
        let id = answer.header().map(etcd_client::ResponseHeader::member_id).unwrap_or_default();
        Ok(Status {
            id,
            leader: answer.leader(),
            term: answer.raft_term(),
            applied: answer.raft_applied_index(),
            version: answer.version().to_owned(),
        })
    }

    /// Puts a number under a key of this stream that only it has. The revision that this made.
    pub async fn put(&self, number: u64, timeout: Duration) -> Result<Option<u64>, Failure> {
        let (mut kv, _) = self.link();
        let key = format!("{PREFIX}put/{}/{number}", self.node);
        let answer = self.within(timeout, kv.put(key, number.to_string(), None)).await?;
        Ok(answer.header().and_then(|header| u64::try_from(header.revision()).ok()))
    }

    /// The revision at which the Lease of that node was last written. Linearizable: a member that lags behind its
    /// leader would make a kubelet look silent that is not.
    pub async fn node_lease(&self, node: &str, timeout: Duration) -> Result<u64, Failure> {
        let (mut kv, _) = self.link();
        let key = format!("{NODE_LEASES}{node}");
        let options = GetOptions::new().with_keys_only();
        let answer = self.within(timeout, kv.get(key.as_str(), Some(options))).await?;
        let missing = || Failure::new(FailureClass::Rejected, format!("there is no {key}"));
        let revision = answer.kvs().first().ok_or_else(missing)?.mod_revision();
        u64::try_from(revision).map_err(|_| Failure::new(FailureClass::Malformed, revision))
    }

    /// What all members' put streams wrote, as this member's quorum knows it.
    pub async fn read_back(&self, timeout: Duration) -> Result<ReadBack, Failure> {
        let (mut kv, _) = self.link();
        let prefix = format!("{PREFIX}put/");
        let answer =
            self.within(timeout, kv.get(prefix.as_str(), Some(GetOptions::new().with_prefix()))).await?;
        let mut found = ReadBack::new();
        for pair in answer.kvs() {
            let (key, value) = (String::from_utf8_lossy(pair.key()), String::from_utf8_lossy(pair.value()));
            let parsed = key.strip_prefix(&prefix).and_then(|rest| rest.rsplit_once('/'));
            let (Some((member, slot)), Ok(value)) = (parsed, value.parse::<u64>()) else {
                return Err(Failure::new(FailureClass::Malformed, format!("{key} holds {value}")));
            };
            let slot = slot.parse().map_err(|_| Failure::new(FailureClass::Malformed, &key))?;
            let stream = Observation::EtcdPut { member: member.to_owned() }.stream();
            found.entry(stream).or_default().insert(slot, value);
        }
        Ok(found)
    }

    /// Removes what earlier experiments wrote.
    pub async fn clear(&self, timeout: Duration) -> Result<(), Failure> {
        let (mut kv, _) = self.link();
        self.within(timeout, kv.delete(PREFIX, Some(DeleteOptions::new().with_prefix()))).await.map(drop)
    }
}

/// A client that has not connected yet: that happens at its first call.
async fn connect(url: &str, options: &ConnectOptions) -> Result<Link, Failure> {
    let client =
        Client::connect([url], Some(options.clone())).await.map_err(|error| failure::of_etcd(&error))?;
    Ok(Link { kv: client.kv_client(), maintenance: client.maintenance_client(), made: Instant::now() })
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Arc, thread};

    use rustls::{RootCertStore, crypto::ring};

    use super::*;

    async fn member(address: SocketAddr) -> Member {
        let (url, options) = (format!("http://{address}"), ConnectOptions::new());
        let link = Mutex::new(connect(&url, &options).await.unwrap());
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Member { node: "cp".into(), url, tls, options, link }
    }

    #[tokio::test]
    async fn a_member_that_is_down_refuses_every_time_and_one_that_hangs_times_out() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let down = member(nobody).await;
        for number in 0..3 {
            let failure = down.put(number, Duration::from_secs(2)).await.unwrap_err();
            assert_eq!(failure.class, FailureClass::Refused, "{failure}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hung = member(listener.local_addr().unwrap()).await;
        thread::spawn(move || listener.incoming().flatten().for_each(std::mem::forget));
        let failure = hung.status(Duration::from_millis(300)).await.map(|_| ()).unwrap_err();
        assert_eq!(failure.class, FailureClass::Timeout, "{failure}");
    }

    #[tokio::test]
    async fn a_member_whose_process_dies_resets() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dying = member(listener.local_addr().unwrap()).await;
        thread::spawn(move || listener.incoming().flatten().for_each(drop));
        let failure = dying.put(0, Duration::from_secs(2)).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Reset, "{failure}");
    }

    #[test]
    fn a_member_without_leader_says_so() {
        let status = Status { id: 0xab, leader: 0, term: 3, applied: 4, version: String::new() };
        let Observed::Member { id, leader, .. } = status.observed() else { panic!("a member") };
        assert_eq!((id.as_str(), leader), ("ab", None));
    }
}
