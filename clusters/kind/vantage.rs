//! Requests sent from a node's own network, by the prober that runs there (`recoup-workload vantage`).

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use recoup_model::observation::{Failure, FailureClass};
use reqwest::{Client, redirect::Policy, retry};
use serde::Deserialize;

use super::{api::parse, failure};
use crate::ClusterError;

/// Where the prober listens on its node's address.
pub(super) const PORT: u16 = 10900;
/// The prober's deadline is this much shorter than the attempt's, so that its answer still comes in time.
const MARGIN: Duration = Duration::from_millis(50);

/// A detour by the prober that takes this long, and longer than the request itself, was not quick enough to tell
/// whether the answer was: the node was starved where it touches neither route nor pod. A failure is one however late
/// the news of it.
const DETOUR: Duration = Duration::from_millis(500);

/// What the prober answers.
#[derive(Deserialize)]
struct Fetched {
    ok: bool,
    status: u16,
    body: String,
    class: String,
    message: String,
    /// How long the request took, as the prober saw it.
    micros: u64,
}

/// What the workload answers.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Identity {
    /// The pod.
    pub pod: String,
    /// Which of recoup's Deployments it belongs to.
    pub app: String,
}

/// The way to all probers; connections are kept.
pub(super) struct Vantage {
    client: Client,
}

impl Vantage {
    pub fn new() -> Result<Vantage, ClusterError> {
        let client = Client::builder()
            .http1_only()
            .redirect(Policy::none())
            .retry(retry::never())
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(1))
            // Shorter than the prober keeps them, so that it is never the first to close.
            .pool_idle_timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| ClusterError::Kubernetes {
                doing: "make a client for the probers".into(),
                source: Box::new(error),
            })?;
        Ok(Vantage { client })
    }

    /// GET `path` of `target` from the node at `from`: the body of an answer of 2xx.
    ///
    /// Where the prober itself does not answer, the failure is the observer's.
    pub async fn fetch(
        &self,
        from: IpAddr,
        target: SocketAddr,
        path: &str,
        timeout: Duration,
    ) -> Result<String, Failure> {
        let inner = timeout.saturating_sub(MARGIN).max(timeout / 2);
        let prober = SocketAddr::new(from, PORT);
        let url = format!("http://{prober}/fetch?addr={target}&path={path}&timeoutMs={}", inner.as_millis());
        let exchange = async { self.client.get(url).send().await?.error_for_status()?.bytes().await };
        let observer = |failure: Failure| {
            Failure::new(FailureClass::Observer, format!("prober on {from}: {}", failure.message))
        };
        let asked = Instant::now();
        let body = match tokio::time::timeout(timeout, exchange).await {
            Err(_) => return Err(observer(failure::timed_out(timeout))),
            Ok(Err(error)) => return Err(observer(failure::of_transport(&error))),
            Ok(Ok(body)) => body,
        };
        judge(parse(&body).map_err(observer)?, asked.elapsed()).map_err(|failure| match failure.class {
            FailureClass::Observer => observer(failure),
            _ => failure,
        })
    }

    /// The same to a pod of recoup's, directly or by its Service.
    pub async fn identify(
        &self,
        from: IpAddr,
        target: SocketAddr,
        timeout: Duration,
    ) -> Result<Identity, Failure> {
        parse(self.fetch(from, target, "/", timeout).await?.as_bytes())
    }
}

/// What became of a request, where prober and request together took so long.
fn judge(fetched: Fetched, took: Duration) -> Result<String, Failure> {
    let own = Duration::from_micros(fetched.micros);
    let detour = took.saturating_sub(own);
    if fetched.ok {
        return match failure::of_status(fetched.status, fetched.body.as_bytes()) {
            Some(failure) => Err(failure),
            None if detour > DETOUR.max(own) => {
                let message = format!("the answer was {} ms late in coming by it", detour.as_millis());
                Err(Failure::new(FailureClass::Observer, message))
            }
            None => Ok(fetched.body),
        };
    }
    let class = match fetched.class.as_str() {
        "refused" => FailureClass::Refused,
        "reset" => FailureClass::Reset,
        "timeout" => FailureClass::Timeout,
        "malformed" => FailureClass::Malformed,
        _ => FailureClass::Observer,
    };
    Err(Failure::new(class, fetched.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(json: serde_json::Value) -> Result<String, FailureClass> {
        taken(json, Duration::from_millis(2))
    }

    fn taken(json: serde_json::Value, took: Duration) -> Result<String, FailureClass> {
        judge(serde_json::from_value(json).unwrap(), took).map_err(|failure| failure.class)
    }

    #[test]
    fn what_the_prober_saw_is_the_clusters() {
        let answer = |status: u16| serde_json::json!({ "ok": true, "status": status, "body": "b", "class": "", "message": "", "micros": 1 });
        assert_eq!(judged(answer(200)), Ok("b".into()));
        assert_eq!(judged(answer(503)), Err(FailureClass::Unavailable));
        assert_eq!(judged(answer(404)), Err(FailureClass::Rejected));
        let failure = |class: &str| serde_json::json!({ "ok": false, "status": 0, "body": "", "class": class, "message": "m", "micros": 1 });
        assert_eq!(judged(failure("refused")), Err(FailureClass::Refused));
        assert_eq!(judged(failure("timeout")), Err(FailureClass::Timeout));
        for local in ["local", "news"] {
            assert_eq!(judged(failure(local)), Err(FailureClass::Observer));
        }
    }

    #[test]
    fn what_the_way_to_the_prober_took_is_not_the_clusters() {
        let answer = |micros: u64| serde_json::json!({ "ok": true, "status": 200, "body": "b", "class": "", "message": "", "micros": micros });
        let took = Duration::from_millis(1600);
        assert_eq!(taken(answer(1_500_000), took), Ok("b".into()));
        assert_eq!(taken(answer(900_000), took), Ok("b".into()));
        assert_eq!(taken(answer(2_000), took), Err(FailureClass::Observer));
        let refused = serde_json::json!({ "ok": false, "status": 0, "body": "", "class": "refused", "message": "m", "micros": 900 });
        assert_eq!(taken(refused, took), Err(FailureClass::Refused), "however late the news");
    }

    #[tokio::test]
    async fn a_prober_that_does_not_answer_is_no_failure_of_the_cluster() {
        super::super::credentials::install_ring();
        // TEST-NET-1 leads nowhere, and the loopback address has no prober.
        for from in ["127.0.0.1", "192.0.2.1"] {
            let target = SocketAddr::from(([127, 0, 0, 1], 80));
            let vantage = Vantage::new().unwrap();
            let failure = vantage
                .fetch(from.parse().unwrap(), target, "/", Duration::from_millis(200))
                .await
                .unwrap_err();
            assert_eq!(failure.class, FailureClass::Observer, "{failure}");
        }
    }
}
