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
/// TLS, with at most `limit` probes a second at a time (one target's at least).
pub fn groups(period: Duration, outages: usize, limit: u32, seed: u64) -> Vec<Vec<Cell>> {
    let mut seeds = seeds(seed ^ u64::try_from(period.as_micros()).unwrap_or_default());
    let each = CONNS.len() as f64 / period.as_secs_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let at_once = ((f64::from(limit) / each) as usize).max(1);
    // Of both protocols equally many, and none without an outage.
    let pairs = (at_once / (2 * Mode::OWN.len())).clamp(1, outages.div_ceil(8).max(1));
    let both = [false, true].repeat(pairs);
    let cells = Mode::OWN.into_iter().flat_map(|mode| both.iter().map(move |tls| (mode, *tls)));
    let outages = outages.div_ceil(both.len());
    let cells: Vec<Cell> = cells
        .map(|(mode, tls)| Cell { mode, tls, outages, seed: seeds.next().unwrap_or_default() })
        .collect();
    cells.chunks(at_once).map(<[Cell]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_gets_its_outages_within_the_rate() {
        let cases =
            [(10, 1000, 5), (20, 1000, 10), (100, 1000, 50), (10, 400, 2), (20, 400, 4), (10, 100, 1)];
        for (period, limit, most) in cases {
            let groups = groups(Duration::from_millis(period), 1000, limit, 1);
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
