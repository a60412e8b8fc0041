//! From the errors of clients to the classes that users tell apart.
//!
//! A client's own words ("error sending request") say nothing: the cause lies at the end of the chain of
//! sources, and some links hide the next one.

use std::{error::Error, io};

use recoup_model::observation::{Failure, FailureClass};

use crate::ClusterError;

/// The failure of a request that got no answer.
pub(super) fn of_transport(error: &(dyn Error + 'static)) -> Failure {
    let chain: Vec<&(dyn Error + 'static)> =
        std::iter::successors(Some(error), |link: &&(dyn Error + 'static)| (*link).source()).collect();
    // From the cause upwards: the innermost link that says something decides.
    let class = chain.iter().rev().find_map(|link| classify(*link)).unwrap_or(FailureClass::Reset);
    let cause = chain.last().map(ToString::to_string).unwrap_or_default();
    let about = chain.len().checked_sub(2).and_then(|at| chain.get(at)).map(ToString::to_string);
    match about {
        Some(about) if !about.contains(&cause) && !about.contains("error sending request") => {
            Failure::new(class, format!("{about}: {cause}"))
        }
        _ => Failure::new(class, cause),
    }
}

/// What this process or its machine has run out of, by Linux' numbers: processes' and the system's open files, memory,
/// addresses, buffers. Nobody was asked.
const RUN_OUT: [i32; 5] = [24, 23, 12, 99, 105];

fn classify(error: &(dyn Error + 'static)) -> Option<FailureClass> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        if error.raw_os_error().is_some_and(|number| RUN_OUT.contains(&number)) {
            return Some(FailureClass::Observer);
        }
        // An io::Error's source is that of the error within, which is left out.
        return error
            .get_ref()
            .and_then(|inner| classify(inner).or_else(|| inner.source().and_then(classify)))
            .or_else(|| of_io(error.kind()));
    }
    if error.downcast_ref::<rustls::Error>().is_some() {
        return Some(FailureClass::Tls);
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return match error.get_io() {
            Some(io) => classify(io).or(Some(FailureClass::Reset)),
            None => Some(FailureClass::Reset),
        };
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return match () {
            () if error.is_timeout() => Some(FailureClass::Timeout),
            () if error.is_parse() => Some(FailureClass::Malformed),
            () if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => {
                Some(FailureClass::Reset)
            }
            () => None,
        };
    }
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return match () {
            () if error.is_timeout() => Some(FailureClass::Timeout),
            () if error.is_builder() => Some(FailureClass::Observer),
            () => None,
        };
    }
    None
}

fn of_io(kind: io::ErrorKind) -> Option<FailureClass> {
    Some(match kind {
        // An address that cannot be reached: somebody said no at once.
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => FailureClass::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => FailureClass::Reset,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => FailureClass::Timeout,
        _ => return None,
    })
}

/// The failure of an API request that was answered with that status; none for 2xx.
pub(super) fn of_status(status: u16, body: &[u8]) -> Option<Failure> {
    let class = match status {
        200..=299 => return None,
        429 => FailureClass::Throttled,
        500..=599 => FailureClass::Unavailable,
        400..=499 => FailureClass::Rejected,
        _ => FailureClass::Malformed,
    };
    // Kubernetes answers with a Status object, a proxy with a page of text.
    let said = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|status| status["message"].as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    Some(Failure::new(class, format!("{status} {said}")))
}

/// The failure of an etcd call.
pub(super) fn of_etcd(error: &etcd_client::Error) -> Failure {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            // A status with a source was made by the client, out of what happened to the connection.
            if let Some(source) = status.source() {
                return of_transport(source);
            }
            Failure::new(of_grpc(i32::from(status.code())), status.message())
        }
        etcd_client::Error::TransportError(error) => of_transport(error),
        etcd_client::Error::IoError(error) => of_transport(error),
        other => Failure::new(FailureClass::Observer, other),
    }
}

/// gRPC's codes by number, as its specification lists them.
fn of_grpc(code: i32) -> FailureClass {
    match code {
        1 => FailureClass::Reset,
        4 => FailureClass::Timeout,
        // RESOURCE_EXHAUSTED is etcd's answer for a full database too: a no, and retrying does not help.
        3 | 5 | 6 | 7 | 8 | 9 | 11 | 12 | 16 => FailureClass::Rejected,
        // UNAVAILABLE, UNKNOWN, INTERNAL, ABORTED: no leader, leader changed, request timed out in raft.
        _ => FailureClass::Unavailable,
    }
}

/// The attempt's own deadline has passed.
pub(super) fn timed_out(after: std::time::Duration) -> Failure {
    Failure::new(FailureClass::Timeout, format!("no answer within {after:?}"))
}

/// A failure while the harness prepares something, where it is no sample.
pub(super) fn while_doing(doing: impl Into<String>) -> impl FnOnce(Failure) -> ClusterError {
    let doing = doing.into();
    move |failure| ClusterError::Kubernetes { doing, source: Box::new(failure) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_apart_and_the_message_is_the_servers() {
        let class = |status| of_status(status, b"").map(|failure| failure.class);
        assert_eq!(class(201), None);
        assert_eq!(class(301), Some(FailureClass::Malformed));
        assert_eq!(class(404), Some(FailureClass::Rejected));
        assert_eq!(class(429), Some(FailureClass::Throttled));
        assert_eq!(class(504), Some(FailureClass::Unavailable));
        let said = of_status(500, br#"{"kind":"Status","message":"etcdserver: leader changed"}"#).unwrap();
        assert_eq!(said.message, "500 etcdserver: leader changed");
        assert_eq!(
            of_status(503, b"No server is available\n").unwrap().message,
            "503 No server is available"
        );
    }

    #[test]
    fn a_tls_error_is_found_inside_an_io_error() {
        let inner = rustls::Error::General("bad certificate".into());
        let error = io::Error::new(io::ErrorKind::InvalidData, inner);
        assert_eq!(of_transport(&error).class, FailureClass::Tls);
    }

    #[test]
    fn grpc_codes_are_told_apart() {
        assert_eq!(of_grpc(14), FailureClass::Unavailable);
        assert_eq!(of_grpc(4), FailureClass::Timeout);
        assert_eq!(of_grpc(8), FailureClass::Rejected);
    }
}
