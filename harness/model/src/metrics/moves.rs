//! `metricMoves:` a component's own metric tells of the fault.

use super::{
    catalogue::{Metric, Unit, find},
    moved::{MetricMove, of_instance},
    readings::{instance, readings},
};
use crate::{
    assertion::Came,
    parts::parts,
    spec::{MetricMoves, Part, Side, Step},
    timeline::Timeline,
    verdict::Verdict,
};

pub(crate) fn moves(timeline: &Timeline, settings: &MetricMoves) -> Came {
    let (process, wanted) = (settings.component.process(), settings.metric.as_str());
    let Some(metric) = find(settings.component, wanted) else {
        return Came::unknown(format!("{process} has no metric {wanted:?}"));
    };
    let targets = timeline.targets();
    let meant = |node: &str| {
        let hit = targets.iter().any(|target| target == node);
        match settings.on {
            Side::Target => hit,
            Side::Others => !hit,
            Side::Any => true,
        }
    };
    let parts = parts(timeline);
    let times = f64::from(settings.at_least.0) / 100.0;
    let (mut found, mut missing): (Vec<MetricMove>, Vec<String>) = (Vec::new(), Vec::new());
    let mut instances = 0;
    for series in &timeline.series {
        let Some((_, node)) = instance(series).filter(|(of, node)| *of == settings.component && meant(node))
        else {
            continue;
        };
        instances += 1;
        let of_metric = of_instance(series, &parts).into_iter().map(|(_, one)| one);
        let known = of_metric
            .filter(|one| one.metric == wanted && one.before.is_some() && one.during.is_some())
            .collect::<Vec<_>>();
        if known.is_empty() {
            missing.push(unknown(node, readings(series).len(), series.attempts.len()));
        }
        found.extend(known);
    }
    if instances == 0 {
        return Came::unknown(format!("no {process} runs where it is looked for"));
    }
    if let Some(one) = strongest(found.iter().filter(|one| one.grew(times))) {
        return Came::new(Verdict::Pass, told(one, metric));
    }
    let Some(one) = strongest(found.iter()) else {
        return Came::unknown(missing.join("; "));
    };
    let detail = format!("{}; at least {} wanted", told(one, metric), settings.at_least);
    if !missing.is_empty() {
        return Came::unknown(format!("{detail}; {}", missing.join("; ")));
    }
    // What grew as wanted and might do so by itself shows neither that it moved nor that it did not.
    let by_itself = found.iter().any(|one| one.ratio.is_some_and(|ratio| ratio >= times));
    if by_itself {
        return Came::unknown(format!("{detail}, beyond what it does by itself"));
    }
    if let Some(delay) = longest_delay(timeline)
        && found.iter().all(|one| cannot_show(one, times, delay))
    {
        let delay = Unit::Seconds.write(delay);
        return Came::unknown(format!("{detail}, and a delay of {delay} alone does not make it so long"));
    }
    Came::new(Verdict::Fail, detail)
}

/// The longest delay of a slow network, in seconds; none where nothing is held back.
fn longest_delay(timeline: &Timeline) -> Option<f64> {
    let delays = timeline.plan.steps.iter().filter_map(|step| match step {
        Step::Slow(fault) => Some(fault.delay.0),
        _ => None,
    });
    delays.max().filter(|delay| !delay.is_zero()).map(|delay| delay.as_secs_f64())
}

/// A slow network adds its delay to a time and no more. On a busy machine that may have taken so long before that the
/// fault cannot make it so many times as long.
fn cannot_show(one: &MetricMove, times: f64, delay: f64) -> bool {
    one.unit == Unit::Seconds && one.before.is_some_and(|before| before * (times - 1.0) > delay)
}

fn strongest<'a>(of: impl Iterator<Item = &'a MetricMove>) -> Option<&'a MetricMove> {
    // Without anything before there is no ratio: it is beyond all.
    let ratio = |one: &MetricMove| match (one.ratio, one.during) {
        (Some(ratio), _) => ratio,
        (None, Some(during)) if during > 0.0 => f64::MAX,
        _ => 0.0,
    };
    of.max_by(|a, b| ratio(a).total_cmp(&ratio(b)))
}

fn unknown(node: &str, readings: usize, attempts: usize) -> String {
    match readings {
        0 => format!("{node} answered none of {attempts} attempts to read its metrics"),
        _ => format!("{node} told too little before or during the fault ({readings} readings of {attempts})"),
    }
}

fn told(one: &MetricMove, metric: &Metric) -> String {
    let value = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| one.unit.write(value));
    let times = one.ratio.map(|ratio| format!(" ({ratio:.1}x)")).unwrap_or_default();
    format!(
        "{} on {}: {} {} {}, {} {}{times} ({})",
        one.component.process(),
        one.node,
        one.statistic.name(),
        value(one.before),
        crate::slowdown::word(Part::Before),
        value(one.during),
        crate::slowdown::word(Part::During),
        metric.tells,
    )
}
