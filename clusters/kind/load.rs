//! A load's requests: which connection each takes, what it asks for, and the objects that it makes.
//!
//! Everything lies in a namespace of its own, so that one request each empties and removes it (`load_clear.sh`).

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::future::try_join_all;
use http_body_util::BodyExt;
use hyper::{Method, body::Bytes};
use recoup_model::{
    observation::{Conn, Failure, FailureClass},
    spec::LoadVerb,
};
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    api::{Api, Call, JSON, MERGE},
    cluster::PATIENCE,
    failure::while_doing,
    fixture::Waiting,
    lane::{Ask, Lane},
    objects::List,
};
use crate::{ClusterError, LOAD_PREPARED, LoadRequest, LoadTarget, LoadWanted, cluster::LOAD_NAMESPACE};

/// Marks them.
pub(super) const LABEL: &str = "recoup.dev%2Fload";
/// Objects that are there before the first request: what is got, listed, watched and updated.
const STANDING: u64 = 32;
/// Requests under way at a time while they are made.
const AT_ONCE: usize = 8;
/// The server ends a watch after so many seconds.
const WATCHED: u32 = 1;
/// A watch that its server does not end is left.
const LEFT: Duration = Duration::from_secs(5);

fn objects() -> String {
    format!("/api/v1/namespaces/{LOAD_NAMESPACE}/configmaps")
}

fn standing(number: u64) -> String {
    format!("standing-{}", number % STANDING)
}

/// A ConfigMap of about that many bytes.
fn object(name: &str, size: u64) -> Value {
    let filler = "x".repeat(usize::try_from(size).unwrap_or_default());
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "labels": { "recoup.dev/load": "true" } },
        "data": { "filler": filler },
    })
}

/// See [`LoadTarget`].
pub(super) struct KindLoad {
    api: Arc<Api>,
    lanes: Vec<Lane>,
    size: u64,
    /// Numbers of objects that were created and not yet deleted, the oldest first.
    made: Mutex<VecDeque<u64>>,
}

impl KindLoad {
    /// Makes namespace and standing objects, and opens every connection.
    pub async fn prepare(
        api: &Arc<Api>,
        addresses: &[SocketAddr],
        tls: &ClientConfig,
        wanted: &LoadWanted,
    ) -> Result<KindLoad, ClusterError> {
        let deadline = Instant::now() + LOAD_PREPARED;
        let waiting = Waiting::new("the load's namespace", deadline);
        while let Err(failure) = namespace(api).await {
            waiting.again(failure).await?;
        }
        let numbers: Vec<u64> = (0..STANDING).collect();
        for some in numbers.chunks(AT_ONCE) {
            let made = some.iter().map(|number| create(api, standing(*number), wanted.size));
            try_join_all(made).await.map_err(while_doing("make the load's objects"))?;
        }
        let lanes: Vec<Lane> = addresses
            .iter()
            .cycle()
            .take(usize::try_from(wanted.connections).unwrap_or(usize::MAX))
            .map(|address| Lane::new(*address, tls))
            .collect();
        try_join_all(lanes.iter().map(Lane::connect)).await.map_err(while_doing("connect for the load"))?;
        Ok(KindLoad { api: Arc::clone(api), lanes, size: wanted.size, made: Mutex::default() })
    }

    fn made(&self) -> std::sync::MutexGuard<'_, VecDeque<u64>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The namespace is there, and not on its way out.
async fn namespace(api: &Api) -> Result<(), Failure> {
    let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": LOAD_NAMESPACE } });
    match api.lb().call(Conn::Reused, Call::post("/api/v1/namespaces", &body), PATIENCE).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.message.starts_with("409") => {
            let path = format!("/api/v1/namespaces/{LOAD_NAMESPACE}");
            let there: Value = api.lb().read(Call::get(&path), PATIENCE).await?;
            match there["status"]["phase"].as_str() {
                Some("Active") => Ok(()),
                phase => {
                    Err(Failure::new(FailureClass::Rejected, format!("it is {}", phase.unwrap_or("new"))))
                }
            }
        }
        Err(failure) => Err(failure),
    }
}

async fn create(api: &Api, name: String, size: u64) -> Result<(), Failure> {
    let call = api.lb().call(Conn::Reused, Call::post(&objects(), &object(&name, size)), PATIENCE).await;
    match call {
        // From a load that was not cleared.
        Err(failure) if failure.message.starts_with("409") => Ok(()),
        other => other.map(drop),
    }
}

#[async_trait]
impl LoadTarget for KindLoad {
    async fn send(&self, request: LoadRequest) -> Result<(), Failure> {
        let number = request.number;
        let index = usize::try_from(request.connection).unwrap_or_default().checked_rem(self.lanes.len());
        let lane = index
            .and_then(|index| self.lanes.get(index))
            .ok_or_else(|| Failure::new(FailureClass::Observer, "there is no connection for the load"))?;
        let one = |name: String| format!("{}/{name}", objects());
        let plain = |method, path| Ask { method, path, body: None };
        match request.verb {
            LoadVerb::List => lane.exchange(plain(Method::GET, objects())).await,
            LoadVerb::Get => lane.exchange(plain(Method::GET, one(standing(number)))).await,
            LoadVerb::Watch => {
                // From the cache and of one object: every version answers it alike.
                let path = format!(
                    "{}?watch=true&resourceVersion=0&timeoutSeconds={WATCHED}&fieldSelector=metadata.name%3D{}",
                    objects(),
                    standing(number)
                );
                let mut told = lane.begin(plain(Method::GET, path)).await?;
                // Open for as long as its server likes; how it ends is not measured.
                tokio::spawn(tokio::time::timeout(LEFT, async move {
                    while let Some(Ok(_)) = told.frame().await {}
                }));
                Ok(())
            }
            LoadVerb::Create => {
                let body = Bytes::from(object(&format!("made-{number}"), self.size).to_string());
                let ask = Ask { method: Method::POST, path: objects(), body: Some((JSON, body)) };
                lane.exchange(ask).await?;
                self.made().push_back(number);
                Ok(())
            }
            LoadVerb::Update => {
                let body = Bytes::from(format!(r#"{{"data":{{"number":"{number}"}}}}"#));
                let path = one(standing(number));
                lane.exchange(Ask { method: Method::PATCH, path, body: Some((MERGE, body)) }).await
            }
            LoadVerb::Delete => {
                let oldest = self.made().pop_front();
                let name = oldest.map_or_else(|| "none-left".to_owned(), |number| format!("made-{number}"));
                match lane.exchange(plain(Method::DELETE, one(name))).await {
                    // It did its work: there is nothing of that name.
                    Err(failure) if failure.message.starts_with("404") => Ok(()),
                    other => other,
                }
            }
        }
    }

    async fn left(&self) -> Result<u64, Failure> {
        #[derive(Deserialize)]
        struct Any {}
        let path = format!("{}?labelSelector={LABEL}", objects());
        let there: List<Any> = self.api.lb().read(Call::get(&path), PATIENCE).await?;
        Ok(there.items.len() as u64)
    }
}
