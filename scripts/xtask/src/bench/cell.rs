//! What is measured together: targets of one period, divided so that the probing itself keeps nothing waiting.

use std::time::Duration;

use recoup_model::{observation::Conn, spec::Rate, time::Span};

use super::script::{Mode, seeds};

/// Attempts' deadline, in periods: as the default probes have it (1 s at 100 ms).
const TIMEOUT: u32 = 10;
/// How late [`Mode::Late`] answers, in periods.
const LATE: u32 = 3;
/// Both are probed on every target, each by a stream of its own.
pub const CONNS: [Conn; 2] = [Conn::New, Conn::Reused];

/// One target's part.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// How it is down.
    pub mode: Mode,
    /// TLS rather than plain HTTP.
    pub tls: bool,
    /// Its outages.
    pub outages: usize,
    /// Their randomness.
    pub seed: u64,
}

/// How streams of that period ask. An answer later than a period is an outage: so no hang of more than two
/// periods passes unseen.
pub fn rate(period: Duration) -> Rate {
    Rate { period: Span(period), timeout: Span(period * TIMEOUT), slow: Some(Span(period)) }
}

/// How late a late answer is.
pub fn late(period: Duration) -> Duration {
    period * LATE
}

/// Groups of targets that are measured one after the other: `outages` of each mode in all, half of them through
/// TLS, with at most `limit` probes a second at a time.
pub fn groups(period: Duration, outages: usize, limit: u32, seed: u64) -> Vec<Vec<Cell>> {
    let mut seeds = seeds(seed ^ u64::try_from(period.as_micros()).unwrap_or_default());
    let each = CONNS.len() as f64 / period.as_secs_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let room =
        ((f64::from(limit) / each / Mode::OWN.len() as f64) as usize).clamp(1, outages.div_ceil(4).max(2));
    // Of both protocols equally many.
    let pairs = (room / 2).max(1);
    let mut cells = |tls: &[bool], share: usize| -> Vec<Cell> {
        let modes = Mode::OWN.into_iter().flat_map(|mode| tls.iter().map(move |tls| (mode, *tls)));
        let outages = outages.div_ceil(share);
        modes.map(|(mode, tls)| Cell { mode, tls, outages, seed: seeds.next().unwrap_or_default() }).collect()
    };
    if room == 1 {
        vec![cells(&[false], 2), cells(&[true], 2)]
    } else {
        let both: Vec<bool> = (0..pairs).flat_map(|_| [false, true]).collect();
        vec![cells(&both, both.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_gets_its_outages_within_the_rate() {
        for (period, most) in [(10, 5), (20, 10), (100, 50)] {
            let groups = groups(Duration::from_millis(period), 1000, 1000, 1);
            for mode in Mode::OWN {
                let of = |tls: bool| -> usize {
                    let all = groups.iter().flatten().filter(|c| c.mode == mode && c.tls == tls);
                    all.map(|cell| cell.outages).sum()
                };
                assert_eq!((of(false), of(true)), (500, 500), "{mode} at {period} ms");
            }
            assert!(groups.iter().all(|group| group.len() <= most), "{period} ms");
        }
    }
}
