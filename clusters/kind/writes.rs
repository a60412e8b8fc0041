//! Where write probes write: each stream has a number of small ConfigMaps of its own.
//!
//! One ConfigMap with all 1024 slots would have every write send 16 KiB through raft; spread over several,
//! a write stays as small as an ordinary one, and attempts that overlap do not conflict.

use std::{collections::BTreeMap, time::Duration};

use futures::future::try_join_all;
use recoup_model::observation::{Conn, Endpoint, Failure, FailureClass, Observation, Observed};
use serde_json::json;

use super::{
    api::{APPLY, Api, Call, MERGE, Server},
    manifests::core,
    objects::{ConfigMap, List},
};
use crate::ReadBack;

/// Slots of a stream.
const SLOTS: u64 = 1024;
/// ConfigMaps of a stream.
const SHARDS: u64 = 8;
/// Changes under way at a time while they are prepared.
const AT_ONCE: usize = 8;
/// Marks these ConfigMaps.
const LABEL: &str = "recoup.dev/writes";
/// Holds the stream's name.
const STREAM: &str = "recoup.dev/stream";

/// The name of the ConfigMap that a slot lies in.
fn name(via: &Endpoint, conn: Conn, slot: u64) -> String {
    let via = match via {
        Endpoint::Lb => "lb".to_owned(),
        Endpoint::Node(node) => format!("node-{node}"),
    };
    let conn = match conn {
        Conn::New => "new",
        Conn::Reused => "reused",
    };
    format!("w-{via}-{conn}-{}", slot % SHARDS)
}

/// Writes a number into its slot.
pub(super) async fn write(
    server: &Server,
    conn: Conn,
    number: u64,
    timeout: Duration,
) -> Result<Observed, Failure> {
    let slot = number % SLOTS;
    let path = format!("{}/{}", core("configmaps"), name(&server.endpoint, conn, slot));
    // The reset keeps managedFields from naming every slot, which would soon be larger than the data.
    let body = format!(r#"{{"metadata":{{"managedFields":[{{}}]}},"data":{{"k{slot}":"{number}"}}}}"#);
    server.call(conn, Call::patch(&path, MERGE, body).metadata_only(), timeout).await?;
    Ok(Observed::Acknowledged { number })
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

async fn list(server: &Server, timeout: Duration) -> Result<Vec<ConfigMap>, Failure> {
    let path = format!("{}?labelSelector={}", core("configmaps"), LABEL.replace('/', "%2F"));
    Ok(server.read::<List<ConfigMap>>(Call::get(&path), timeout).await?.items)
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
        for conn in [Conn::New, Conn::Reused] {
            let stream = Observation::ApiWrite { via: endpoint.clone(), conn }.stream();
            for shard in 0..SHARDS {
                let name = name(endpoint, conn, shard);
                match there.get(&name) {
                    None => calls.push((create(&name, &stream), name, APPLY)),
                    Some(map) if !map.data.is_empty() => {
                        calls.push((r#"{"data":null}"#.to_owned(), name, MERGE))
                    }
                    Some(_) => {}
                }
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
            for conn in [Conn::New, Conn::Reused] {
                for slot in 0..SHARDS {
                    assert!(names.insert(name(&via, conn, slot)), "{via} {slot}");
                }
            }
        }
        assert_eq!(name(&Endpoint::Lb, Conn::New, 3), name(&Endpoint::Lb, Conn::New, 3 + SHARDS));
    }
}
