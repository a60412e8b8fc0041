//! TCP handshakes, one after the other: each takes the way there and back once.

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::arguments::RoundTrips;

/// A handshake that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(5);
/// No handshake begins later than this, so that whoever asked gets the answer within half a minute.
const ALTOGETHER: Duration = Duration::from_secs(20);

/// Prints a line for each that came about, in microseconds.
pub fn run(settings: &RoundTrips) {
    let began = Instant::now();
    for _ in 0..settings.times {
        for address in &settings.to {
            if began.elapsed() > ALTOGETHER {
                return;
            }
            if let Some(took) = handshake(*address, LIMIT) {
                println!("roundtrip {}", took.as_micros());
            }
        }
    }
}

fn handshake(address: SocketAddr, limit: Duration) -> Option<Duration> {
    let began = Instant::now();
    TcpStream::connect_timeout(&address, limit).ok().map(|_| began.elapsed())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_handshake_is_timed_and_one_that_is_refused_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let took = handshake(address, LIMIT).expect("somebody listens");
        assert!(took > Duration::ZERO && took < LIMIT);
        drop(listener);
        assert_eq!(handshake(address, LIMIT), None);
    }
}
