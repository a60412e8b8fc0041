//! Prometheus' text format, read line by line: an API server tells 1 to 3 MB, of which a few dozen numbers are kept.

use std::collections::BTreeMap;

use super::catalogue::{Kind, Metric, Source, of};
use crate::action::StaticPod;

/// The key of the process's start, in millionths of a second since 1970: another one is another process, whose
/// counters begin at zero.
pub const STARTED: &str = "started";
/// The series that it is read from; every component in Go tells it.
const START_TIME: &str = "process_start_time_seconds";
/// Of a histogram's bounds only those are kept that are so many times the one before: a bucket that is narrower says
/// nothing that a change by a factor of 2 needs, and a reading stays below 60 numbers.
const APART: f64 = 1.9;
/// A line that is longer is none of those that are wanted.
const LONGEST: usize = 16 * 1024;

/// What one source has told so far, summed over the labels that are not asked for.
#[derive(Clone, Debug, Default)]
struct Sum {
    seen: bool,
    value: f64,
    count: f64,
    buckets: Vec<(f64, f64)>,
}

#[derive(Debug)]
struct Wanted {
    metric: &'static Metric,
    /// By alternative, all its sources together.
    sums: Vec<Sum>,
}

/// Reads the answer of a component's `/metrics`, which may come in pieces.
#[derive(Debug)]
pub struct Reader {
    wanted: Vec<Wanted>,
    started: Option<f64>,
    /// The beginning of a line whose end has not come.
    open: Vec<u8>,
    /// The open line is too long: its rest is passed over.
    skip: bool,
}

impl Reader {
    /// For the metrics of that component.
    #[must_use]
    pub fn new(component: StaticPod) -> Reader {
        let wanted =
            of(component).map(|metric| Wanted { metric, sums: vec![Sum::default(); metric.sources.len()] });
        Reader { wanted: wanted.collect(), started: None, open: Vec::new(), skip: false }
    }

    /// Takes in the next piece.
    pub fn feed(&mut self, mut piece: &[u8]) {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = piece.split_at(end);
            if self.skip || self.open.is_empty() {
                if !std::mem::take(&mut self.skip) {
                    self.line(line);
                }
            } else {
                let mut open = std::mem::take(&mut self.open);
                open.extend_from_slice(line);
                self.line(&open);
                open.clear();
                self.open = open;
            }
            piece = &rest[1..];
        }
        if self.open.len() + piece.len() > LONGEST {
            self.skip = true;
            self.open.clear();
        } else if !self.skip {
            self.open.extend_from_slice(piece);
        }
    }

    /// What was told, by name, in millionths; what was not there is left out. A histogram is three kinds of keys:
    /// `name/count`, `name/sum`, and `name/le/BOUND` for the observations up to a bound.
    #[must_use]
    pub fn finish(mut self) -> BTreeMap<String, i64> {
        let last = std::mem::take(&mut self.open);
        self.line(&last);
        let mut values = BTreeMap::new();
        for Wanted { metric, sums } in self.wanted {
            let Some(sum) = sums.into_iter().find(|sum| sum.seen) else { continue };
            if metric.kind == Kind::Histogram {
                condense(metric.name, sum.count, sum.value, sum.buckets, &mut values);
            } else {
                put(&mut values, metric.name.to_owned(), sum.value);
            }
        }
        if let Some(started) = self.started.filter(|_| !values.is_empty()) {
            put(&mut values, STARTED.to_owned(), started);
        }
        values
    }

    fn line(&mut self, line: &[u8]) {
        // Comments and empty lines; then whatever is no text.
        if line.first().is_none_or(|first| *first == b'#') {
            return;
        }
        let Ok(line) = std::str::from_utf8(line) else { return };
        let Some(end) = line.find(['{', ' ']) else { return };
        let (name, rest) = line.split_at(end);
        if name == START_TIME {
            self.started = number(rest);
            return;
        }
        for Wanted { metric, sums } in &mut self.wanted {
            for (sources, sum) in metric.sources.iter().zip(sums) {
                for source in *sources {
                    if let Some(part) =
                        name.strip_prefix(source.family).and_then(|s| Part::of(s, metric.kind))
                    {
                        take(source, part, rest, sum);
                    }
                }
            }
        }
    }
}

/// Which of a metric's series a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Value,
    Bucket,
    Count,
    Sum,
}

impl Part {
    /// By what follows the family's name.
    fn of(suffix: &str, kind: Kind) -> Option<Part> {
        match (kind == Kind::Histogram, suffix) {
            (false, "") => Some(Part::Value),
            (true, "_bucket") => Some(Part::Bucket),
            (true, "_count") => Some(Part::Count),
            (true, "_sum") => Some(Part::Sum),
            _ => None,
        }
    }
}

fn take(source: &Source, part: Part, rest: &str, sum: &mut Sum) {
    let (mut bound, mut fitting) = (None, 0);
    let mut rest = rest;
    if let Some(mut labels) = rest.strip_prefix('{') {
        while let Some((label, value)) = next_label(&mut labels) {
            if label == "le" {
                bound = value.parse::<f64>().ok();
            }
            if let Some((_, values)) = source.only.iter().find(|(wanted, _)| *wanted == label) {
                fitting += usize::from(values.iter().any(|wanted| is(wanted, value)));
            }
        }
        rest = labels;
    }
    if fitting < source.only.len() {
        return;
    }
    let Some(value) = number(rest) else { return };
    match (part, bound) {
        (Part::Value | Part::Sum, _) => sum.value += value,
        (Part::Count, _) => sum.count += value,
        // The last bucket has no bound and holds what the count says.
        (Part::Bucket, Some(bound)) if bound.is_finite() => {
            match sum.buckets.binary_search_by(|(known, _)| known.total_cmp(&bound)) {
                Ok(at) => sum.buckets[at].1 += value,
                Err(at) => sum.buckets.insert(at, (bound, value)),
            }
        }
        (Part::Bucket, _) => return,
    }
    sum.seen = true;
}

fn is(wanted: &str, value: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(beginning) => value.starts_with(beginning),
        None => wanted == value,
    }
}

/// The next label with its value as it is written; none at the closing brace, which is passed over.
fn next_label<'a>(labels: &mut &'a str) -> Option<(&'a str, &'a str)> {
    let text = labels.trim_start_matches([',', ' ']);
    if let Some(rest) = text.strip_prefix('}') {
        *labels = rest;
        return None;
    }
    let (name, value) = text.split_once("=\"")?;
    let mut escaped = false;
    let end = value.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    *labels = &value[end + 1..];
    Some((name, &value[..end]))
}

/// The value behind the labels; a time stamp may follow.
fn number(rest: &str) -> Option<f64> {
    rest.split_ascii_whitespace().next()?.parse().ok().filter(|value: &f64| value.is_finite())
}

fn put(values: &mut BTreeMap<String, i64>, key: String, value: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "a cast to an integer saturates")]
    let millionths = (value * 1e6).round() as i64;
    values.insert(key, millionths);
}

/// Writes a histogram into a reading: its count, its sum in seconds, and what lies at or below each of its bounds
/// (sorted). Bounds that are too near to each other are left out, as are all but the last below which nothing lies,
/// and all above the first that everything lies below.
pub fn condense(
    name: &str,
    count: f64,
    sum: f64,
    buckets: Vec<(f64, f64)>,
    values: &mut BTreeMap<String, i64>,
) {
    put(values, format!("{name}/count"), count);
    put(values, format!("{name}/sum"), sum);
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (bound, below) in buckets {
        if kept.last().is_none_or(|(last, _)| bound >= last * APART) {
            kept.push((bound, below));
        }
    }
    let first = kept.iter().take_while(|(_, below)| *below <= 0.0).count().saturating_sub(1);
    let full = kept.iter().position(|(_, below)| *below >= count).unwrap_or(kept.len());
    for (bound, below) in kept.into_iter().take(full + 1).skip(first) {
        put(values, format!("{name}/le/{bound}"), below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(component: StaticPod, text: &str) -> BTreeMap<String, i64> {
        let mut reader = Reader::new(component);
        reader.feed(text.as_bytes());
        reader.finish()
    }

    const SERVER: &str = r#"# HELP apiserver_request_total [STABLE] Counter
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",resource="leases",verb="PUT",client="a} \"b\\"} 40
apiserver_request_total{code="200",resource="leases",verb="GET"} 7
apiserver_request_total{code="409",resource="leases",verb="PUT"} 2
apiserver_request_total{code="429",resource="pods",verb="LIST"} 3
apiserver_request_total{code="503",resource="pods",verb="LIST"} 5
apiserver_request_terminations_total{code="429",resource="pods"} 1
apiserver_request_total_other{code="429"} 1000
apiserver_current_inflight_requests{request_kind="mutating"} 2
apiserver_current_inflight_requests{request_kind="readOnly"} 4 1700000000000
apiserver_request_duration_seconds_bucket{verb="GET",le="0.05"} 8
apiserver_request_duration_seconds_bucket{verb="GET",le="0.1"} 9
apiserver_request_duration_seconds_bucket{verb="GET",le="0.15"} 10
apiserver_request_duration_seconds_bucket{verb="GET",le="+Inf"} 10
apiserver_request_duration_seconds_sum{verb="GET"} 0.5
apiserver_request_duration_seconds_count{verb="GET"} 10
apiserver_request_duration_seconds_bucket{verb="WATCH",le="0.05"} 100
apiserver_request_duration_seconds_count{verb="WATCH"} 100
process_start_time_seconds 1.7e+09
"#;

    #[test]
    fn wanted_series_are_summed_over_other_labels_and_nothing_else_is_kept() {
        let values = read(StaticPod::KubeApiserver, SERVER);
        let wanted = [
            ("leaseRenewals", 42_000_000),
            ("throttled", 4_000_000),
            ("errors", 5_000_000),
            ("inflight", 6_000_000),
            ("readDuration/count", 10_000_000),
            ("readDuration/sum", 500_000),
            ("readDuration/le/0.05", 8_000_000),
            // 0.15 is too near to 0.1 to be kept.
            ("readDuration/le/0.1", 9_000_000),
            (STARTED, 1_700_000_000_000_000),
        ];
        assert_eq!(values, wanted.map(|(key, value)| (key.to_owned(), value)).into());
    }

    #[test]
    fn it_does_not_matter_where_the_pieces_part() {
        let whole = read(StaticPod::KubeApiserver, SERVER);
        for size in [1, 7, 64, 1000] {
            let mut reader = Reader::new(StaticPod::KubeApiserver);
            SERVER.as_bytes().chunks(size).for_each(|piece| reader.feed(piece));
            assert_eq!(reader.finish(), whole, "pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_passed_over_and_the_next_one_is_read() {
        let mut reader = Reader::new(StaticPod::Etcd);
        for _ in 0..100 {
            reader.feed(&[b'x'; 1024]);
        }
        reader.feed(b"\netcd_server_proposals_pending 3\n");
        assert_eq!(reader.finish(), BTreeMap::from([("proposalsPending".to_owned(), 3_000_000)]));
    }

    #[test]
    fn the_newer_name_goes_before_the_older_one() {
        let old = "scheduler_e2e_scheduling_duration_seconds_count{result=\"scheduled\"} 5\n";
        let new = "scheduler_scheduling_attempt_duration_seconds_count{result=\"scheduled\"} 6\n";
        let count = |text: &str| read(StaticPod::KubeScheduler, text).get("attemptDuration/count").copied();
        assert_eq!(count(old), Some(5_000_000));
        assert_eq!(count(&format!("{old}{new}")), Some(6_000_000));
        assert_eq!(count("scheduler_pending_pods{queue=\"active\"} 1\n"), None, "absent is not zero");
    }

    #[test]
    fn text_that_is_no_exposition_gives_nothing() {
        for text in ["", "\n\n", "Client sent an HTTP request to an HTTPS server.\n", "{\"kind\":\"Status\"}"]
        {
            assert!(read(StaticPod::Etcd, text).is_empty(), "{text}");
        }
        let odd = "etcd_server_proposals_pending\netcd_server_proposals_pending{a=\"b\n\
                   etcd_server_proposals_pending NaN\nprocess_start_time_seconds 1\n";
        assert!(read(StaticPod::Etcd, odd).is_empty());
    }

    #[test]
    fn a_reading_stays_small() {
        // As etcd's: 14 bounds from 1 ms on for the disk, 16 from 0.1 ms on for the network, each twice the last.
        let bounds = |family: &str| {
            let (first, count) = if family.contains("network") { (0.000_1, 16) } else { (0.001, 14) };
            (0..count).map(move |n| first * 2_f64.powi(n))
        };
        let mut text = String::from("process_start_time_seconds 1\n");
        for metric in of(StaticPod::Etcd) {
            let family = metric.sources[0][0].family;
            match metric.kind {
                Kind::Histogram => {
                    for (n, bound) in bounds(family).enumerate() {
                        text += &format!("{family}_bucket{{le=\"{bound}\"}} {}\n", n + 1);
                    }
                    text += &format!("{family}_sum 9\n{family}_count 1000\n");
                }
                _ => text += &format!("{family} 1\n"),
            }
        }
        let values = read(StaticPod::Etcd, &text);
        assert!(values.len() <= 60, "{}", values.len());
    }
}
