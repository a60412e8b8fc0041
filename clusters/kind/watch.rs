//! A watcher of the write probes' objects, as an informer watches: on a connection of its own, without a deadline.

use recoup_model::{
    event::WatchNews,
    observation::{Failure, FailureClass},
};
use reqwest::{Client, header::ACCEPT};
use serde::Deserialize;

use super::{
    api::{METADATA_LIST, METADATA_ONLY, Server, parse},
    cluster::PATIENCE,
    failure, writes,
};
use crate::Tell;

/// The server ends a watch in order after so many seconds.
const SERVER_ENDS: u32 = 3600;
/// An object's metadata is a few hundred bytes.
const LONGEST_LINE: usize = 1 << 20;
/// What came after the revision asked for is no longer known.
const GONE: u16 = 410;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

impl Metadata {
    fn revision(&self) -> Result<u64, Failure> {
        let malformed =
            |_| Failure::new(FailureClass::Malformed, format!("resourceVersion {:?}", self.resource_version));
        self.resource_version.parse().map_err(malformed)
    }
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

/// A line of a watch.
#[derive(Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
enum Line {
    Added(Object),
    Modified(Object),
    Deleted(Object),
    Bookmark(Object),
    Error(Status),
}

/// As [`crate::Cluster::watch`].
pub(super) async fn watch(server: &Server, after: Option<u64>, tell: Tell<'_>) -> Result<(), Failure> {
    let client = server.streaming()?;
    let revision = match after {
        Some(revision) => revision,
        None => {
            let revision = list(&client, server).await?;
            tell(WatchNews::Listed { revision });
            revision
        }
    };
    let path = format!(
        "{}&watch=true&allowWatchBookmarks=true&timeoutSeconds={SERVER_ENDS}&resourceVersion={revision}",
        writes::collection()
    );
    let asked = client.get(server.url(&path)).header(ACCEPT, METADATA_ONLY).send().await;
    let mut answer = asked.map_err(|error| failure::of_transport(&error))?;
    match answer.status().as_u16() {
        200 => {}
        GONE => {
            tell(WatchNews::Expired);
            return Ok(());
        }
        status => {
            let said = tokio::time::timeout(PATIENCE, answer.bytes()).await;
            let body = said.ok().and_then(Result::ok).unwrap_or_default();
            let strange = || Failure::new(FailureClass::Malformed, format!("{status} to a watch"));
            return Err(failure::of_status(status, &body).unwrap_or_else(strange));
        }
    }
    tell(WatchNews::Opened { after: revision });
    let mut lines = Lines::default();
    while let Some(part) = answer.chunk().await.map_err(|error| failure::of_transport(&error))? {
        if !lines.read(&part, tell)? {
            return Ok(());
        }
    }
    lines.ended()
}

/// The revision up to which a list tells everything.
async fn list(client: &Client, server: &Server) -> Result<u64, Failure> {
    let exchange = async {
        let answer =
            client.get(server.url(&writes::collection())).header(ACCEPT, METADATA_LIST).send().await?;
        let status = answer.status().as_u16();
        Ok::<_, reqwest::Error>((status, answer.bytes().await?))
    };
    let (status, body) = tokio::time::timeout(PATIENCE, exchange)
        .await
        .map_err(|_| failure::timed_out(PATIENCE))?
        .map_err(|error| failure::of_transport(&error))?;
    match failure::of_status(status, &body) {
        Some(failure) => Err(failure),
        None => parse::<Object>(&body)?.metadata.revision(),
    }
}

/// Lines out of the parts in which an answer comes.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Tells what the whole lines say; false where the watch is over.
    fn read(&mut self, part: &[u8], tell: Tell<'_>) -> Result<bool, Failure> {
        let mut revisions = Vec::new();
        let flush = |revisions: &mut Vec<u64>| {
            if !revisions.is_empty() {
                tell(WatchNews::Changed { revisions: std::mem::take(revisions) });
            }
        };
        for piece in part.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if !piece.ends_with(b"\n") {
                break;
            }
            let line = std::mem::take(&mut self.begun);
            let said = parse::<Line>(&line).and_then(|line| line.said());
            if !matches!(said, Ok(Said::Changed(_))) {
                flush(&mut revisions);
            }
            match said? {
                Said::Changed(revision) => revisions.push(revision),
                Said::Bookmark(revision) => tell(WatchNews::Bookmark { revision }),
                Said::Expired => {
                    tell(WatchNews::Expired);
                    return Ok(false);
                }
            }
        }
        flush(&mut revisions);
        if self.begun.len() > LONGEST_LINE {
            return Err(Failure::new(FailureClass::Malformed, "a line of a watch does not end"));
        }
        Ok(true)
    }

    /// The server has ended the watch in order: within a line it has not.
    fn ended(&self) -> Result<(), Failure> {
        if self.begun.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        Err(Failure::new(FailureClass::Malformed, "the watch ended within a line"))
    }
}

/// What a line says.
enum Said {
    Changed(u64),
    Bookmark(u64),
    Expired,
}

impl Line {
    fn said(self) -> Result<Said, Failure> {
        match self {
            Line::Added(object) | Line::Modified(object) | Line::Deleted(object) => {
                object.metadata.revision().map(Said::Changed)
            }
            Line::Bookmark(object) => object.metadata.revision().map(Said::Bookmark),
            Line::Error(status) if status.code == GONE => Ok(Said::Expired),
            Line::Error(status) => {
                let body = serde_json::json!({ "message": status.message }).to_string();
                let strange = || Failure::new(FailureClass::Malformed, &status.message);
                Err(failure::of_status(status.code, body.as_bytes()).unwrap_or_else(strange))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use recoup_model::observation::Endpoint;
    use rustls::{ClientConfig, RootCertStore, crypto::ring};
    use wiremock::{
        Mock, MockServer, ResponseTemplate, matchers::query_param, matchers::query_param_is_missing,
    };

    use super::*;

    fn event(kind: &str, revision: u64) -> String {
        format!(
            "{{\"type\":\"{kind}\",\"object\":{{\"kind\":\"PartialObjectMetadata\",\"metadata\":{{\"name\":\"w\",\"resourceVersion\":\"{revision}\"}}}}}}\n"
        )
    }

    const TOO_OLD: &str = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"too old resource version: 1 (9)\"}}\n";

    /// Reads a text in parts of that size.
    fn read(text: &str, size: usize) -> (Vec<WatchNews>, Result<(), Failure>) {
        let told = Mutex::new(Vec::new());
        let tell = |news| told.lock().unwrap().push(news);
        let mut lines = Lines::default();
        let mut over = None;
        for part in text.as_bytes().chunks(size) {
            match lines.read(part, &tell) {
                Ok(true) => {}
                Ok(false) => over = over.or(Some(Ok(()))),
                Err(failure) => over = over.or(Some(Err(failure))),
            }
            if over.is_some() {
                break;
            }
        }
        let ended = over.unwrap_or_else(|| lines.ended());
        (told.into_inner().unwrap(), ended)
    }

    fn changed(news: &[WatchNews]) -> Vec<u64> {
        let of = |news: &WatchNews| match news {
            WatchNews::Changed { revisions } => revisions.clone(),
            _ => Vec::new(),
        };
        news.iter().flat_map(of).collect()
    }

    #[test]
    fn lines_are_found_whatever_the_parts_are() {
        let text =
            [event("ADDED", 5), event("MODIFIED", 7), event("BOOKMARK", 9), event("DELETED", 11)].concat();
        for size in 1..=text.len() {
            let (news, ended) = read(&text, size);
            assert_eq!(ended, Ok(()), "parts of {size}");
            assert_eq!(changed(&news), [5, 7, 11], "parts of {size}");
            let bookmark = news.iter().position(|news| *news == WatchNews::Bookmark { revision: 9 }).unwrap();
            assert_eq!(changed(&news[..bookmark]), [5, 7], "in the order of the server");
        }
    }

    #[test]
    fn an_expiry_is_told_after_what_came_before_it_and_ends_the_watch() {
        let (news, ended) = read(&[event("MODIFIED", 5).as_str(), TOO_OLD].concat(), 4096);
        assert_eq!(
            (news, ended),
            (vec![WatchNews::Changed { revisions: vec![5] }, WatchNews::Expired], Ok(()))
        );
    }

    #[test]
    fn what_cannot_be_read_is_a_failure_and_what_came_before_it_is_kept() {
        for (bad, class) in [
            ("{\"type\":\"GUESSED\",\"object\":{}}\n".to_owned(), FailureClass::Malformed),
            (event("MODIFIED", 6).replace("\"6\"", "\"six\""), FailureClass::Malformed),
            (event("MODIFIED", 6).trim_end().to_owned(), FailureClass::Malformed),
            (TOO_OLD.replace("410", "500"), FailureClass::Unavailable),
        ] {
            let (news, ended) = read(&(event("MODIFIED", 5) + &bad), 4096);
            assert_eq!(changed(&news), [5], "{bad}");
            assert_eq!(ended.unwrap_err().class, class, "{bad}");
        }
    }

    async fn watched(mock: &MockServer, after: Option<u64>) -> (Vec<WatchNews>, Result<(), Failure>) {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let server = Server::new(Endpoint::Lb, &mock.uri(), &tls).unwrap();
        let told = Mutex::new(Vec::new());
        let ended = watch(&server, after, &|news| told.lock().unwrap().push(news)).await;
        (told.into_inner().unwrap(), ended)
    }

    #[tokio::test]
    async fn a_watch_lists_first_and_goes_on_from_there() {
        let mock = MockServer::start().await;
        let list = serde_json::json!({"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "40"}, "items": []});
        Mock::given(query_param_is_missing("watch"))
            .respond_with(ResponseTemplate::new(200).set_body_json(list))
            .expect(1)
            .mount(&mock)
            .await;
        let events = event("MODIFIED", 41) + &event("MODIFIED", 43);
        Mock::given(query_param("resourceVersion", "40"))
            .respond_with(ResponseTemplate::new(200).set_body_string(events))
            .mount(&mock)
            .await;
        let (news, ended) = watched(&mock, None).await;
        assert_eq!(news[..2], [WatchNews::Listed { revision: 40 }, WatchNews::Opened { after: 40 }]);
        assert_eq!((changed(&news), ended), (vec![41, 43], Ok(())));
    }

    #[tokio::test]
    async fn a_revision_that_is_gone_is_an_expiry_and_a_refusal_a_failure() {
        let mock = MockServer::start().await;
        Mock::given(query_param("resourceVersion", "1"))
            .respond_with(ResponseTemplate::new(410))
            .mount(&mock)
            .await;
        Mock::given(query_param("resourceVersion", "2"))
            .respond_with(ResponseTemplate::new(503))
            .mount(&mock)
            .await;
        assert_eq!(watched(&mock, Some(1)).await, (vec![WatchNews::Expired], Ok(())));
        let (news, ended) = watched(&mock, Some(2)).await;
        assert!(news.is_empty(), "{news:?}");
        assert_eq!(ended.unwrap_err().class, FailureClass::Unavailable);
    }
}
