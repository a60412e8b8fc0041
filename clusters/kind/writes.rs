//! Where write probes write: each stream has a number of small ConfigMaps of its own.
//!
//! One ConfigMap with all slots would have every write send 64 KiB through raft; spread over several, a write
//! stays as small as an ordinary one, and attempts that overlap do not conflict. Only kept connections write.

use std::{collections::BTreeMap, time::Duration};

use futures::future::try_join_all;
use recoup_model::observation::{Conn, Endpoint, Failure, FailureClass, Observation, Observed, SLOTS};
use serde::Deserialize;
use serde_json::json;

use super::{
    api::{APPLY, Api, Call, MERGE, Server, parse},
    cluster::observer,
    manifests::core,
    objects::{ConfigMap, List},
};
use crate::ReadBack;

/// ConfigMaps of a stream: each holds 128 slots, some 2 KiB.
const SHARDS: u64 = 32;
/// Changes under way at a time while they are prepared.
const AT_ONCE: usize = 8;
/// Marks these ConfigMaps.
const LABEL: &str = "recoup.dev/writes";
/// Holds the stream's name.
const STREAM: &str = "recoup.dev/stream";

/// The name of the ConfigMap that a slot lies in.
fn name(via: &Endpoint, slot: u64) -> String {
    let via = match via {
        Endpoint::Lb => "lb".to_owned(),
        Endpoint::Node(node) => format!("node-{node}"),
    };
    format!("w-{via}-reused-{}", slot % SHARDS)
}

/// A written object's metadata.
#[derive(Deserialize)]
struct Written {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

/// Writes a number into its slot.
pub(super) async fn write(
    server: &Server,
    conn: Conn,
    number: u64,
    timeout: Duration,
) -> Result<Observed, Failure> {
    if conn != Conn::Reused {
        return Err(observer("only kept connections write"));
    }
    let slot = number % SLOTS;
    let path = format!("{}/{}", core("configmaps"), name(&server.endpoint, slot));
    // The reset keeps managedFields from naming every slot, which would soon be larger than the data.
    let body = format!(r#"{{"metadata":{{"managedFields":[{{}}]}},"data":{{"k{slot}":"{number}"}}}}"#);
    let answer = server.call(conn, Call::patch(&path, MERGE, body).metadata_only(), timeout).await?;
    // It is acknowledged, whatever else the answer says.
    let written = parse::<Written>(&answer).ok();
    let revision = written.and_then(|written| written.metadata.resource_version.parse().ok());
    Ok(Observed::Acknowledged { number, revision })
}

/// What all write streams wrote, through one API server.
pub(super) async fn read_back(server: &Server, timeout: Duration) -> Result<ReadBack, Failure> {
    let mut found = ReadBack::new();
    for map in list(server, timeout).await? {
        let malformed =
            |what: &str| Failure::new(FailureClass::Malformed, format!("{}: {what}", map.metadata.name));
        let stream = map.metadata.annotations.get(STREAM).ok_or_else(|| malformed("no stream is named"))?;
        let slots: &mut BTreeMap<u64, u64> = found.entry(stream.clone()).or_default();
        for (key, value) in &map.data {
            let slot =
                key.strip_prefix('k').and_then(|slot| slot.parse().ok()).ok_or_else(|| malformed(key))?;
            slots.insert(slot, value.parse().map_err(|_| malformed(value))?);
        }
    }
    found.retain(|_, slots| !slots.is_empty());
    Ok(found)
}

/// The path of all of them.
pub(super) fn collection() -> String {
    format!("{}?labelSelector={}", core("configmaps"), LABEL.replace('/', "%2F"))
}

async fn list(server: &Server, timeout: Duration) -> Result<Vec<ConfigMap>, Failure> {
    Ok(server.read::<List<ConfigMap>>(Call::get(&collection()), timeout).await?.items)
}

/// Makes every stream's ConfigMaps where they are missing, and empties the others.
pub(super) async fn prepare(api: &Api, timeout: Duration) -> Result<(), Failure> {
    let server = api.lb();
    let there: BTreeMap<String, ConfigMap> =
        list(server, timeout).await?.into_iter().map(|map| (map.metadata.name.clone(), map)).collect();
    let mut calls = Vec::new();
    for endpoint in
        std::iter::once(&server.endpoint).chain(api.servers().iter().map(|server| &server.endpoint))
    {
        let stream = Observation::ApiWrite { via: endpoint.clone(), conn: Conn::Reused }.stream();
        for shard in 0..SHARDS {
            let name = name(endpoint, shard);
            match there.get(&name) {
                None => calls.push((create(&name, &stream), name, APPLY)),
                Some(map) if !map.data.is_empty() => calls.push((r#"{"data":null}"#.to_owned(), name, MERGE)),
                Some(_) => {}
            }
        }
    }
    for some in calls.chunks(AT_ONCE) {
        let changes: Vec<_> =
            some.iter().map(|(body, name, content)| change(server, name, content, body, timeout)).collect();
        try_join_all(changes).await?;
    }
    Ok(())
}

async fn change(
    server: &Server,
    name: &str,
    content: &'static str,
    body: &str,
    timeout: Duration,
) -> Result<(), Failure> {
    let manager = if content == APPLY { "?fieldManager=recoup&force=true" } else { "" };
    let path = format!("{}/{name}{manager}", core("configmaps"));
    server.call(Conn::Reused, Call::patch(&path, content, body).metadata_only(), timeout).await.map(drop)
}

fn create(name: &str, stream: &str) -> String {
    let metadata =
        json!({ "name": name, "labels": { (LABEL): "true" }, "annotations": { (STREAM): stream } });
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata }).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn streams_and_consecutive_writes_do_not_share_an_object() {
        let mut names = BTreeSet::new();
        for via in [Endpoint::Lb, Endpoint::Node("lb".into()), Endpoint::Node("cp".into())] {
            for slot in 0..SHARDS {
                assert!(names.insert(name(&via, slot)), "{via} {slot}");
            }
        }
        assert_eq!(name(&Endpoint::Lb, 3), name(&Endpoint::Lb, 3 + SHARDS));
    }
}
