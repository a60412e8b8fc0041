//! Which metrics moved: would an operator have seen the fault?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    catalogue::{Kind, Metric, Unit, of},
    histogram::Histogram,
    readings::{Step, Values, instance, natural, readings, steps},
};
use crate::{
    action::StaticPod,
    parts::PartSpan,
    repetition::ALPHA,
    spec::Part,
    stats::percentile::ranks,
    time::Offset,
    timeline::{Series, Timeline},
};

/// Growth by less than this many times is none worth a second look.
const MOVED: f64 = 2.0;
/// Observations without which a histogram says nothing of a part.
const ENOUGH: f64 = 4.0;
/// The normal distribution's 97.5th percentile.
const Z: f64 = 1.96;

/// What of a series is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Statistic {
    /// A gauge's largest reading.
    Maximum,
    /// How many events there were.
    Count,
    /// How many per second.
    Rate,
    /// A histogram's mean.
    Mean,
    /// A histogram's 99th percentile, to within its buckets.
    P99,
}

impl Statistic {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Statistic::Maximum => "maximum",
            Statistic::Count => "count",
            Statistic::Rate => "rate",
            Statistic::Mean => "mean",
            Statistic::P99 => "p99",
        }
    }
}

/// One metric of one instance, before, during and after the fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricMove {
    /// Whose.
    pub component: StaticPod,
    /// On which node.
    pub node: String,
    /// Its name in the list of metrics.
    pub metric: String,
    /// What of it.
    pub statistic: Statistic,
    /// The values' unit.
    pub unit: Unit,
    /// In the baseline; none where it was not told. Where a histogram saw too little then, since the process's start.
    pub before: Option<f64>,
    /// While the fault lasted: between the readings around that time.
    pub during: Option<f64>,
    /// Afterwards.
    pub after: Option<f64>,
    /// How many times as much it was during the fault as before; none where there was nothing before.
    pub ratio: Option<f64>,
    /// It grew by more than its own baseline varies, and by more than means nothing.
    pub beyond: bool,
    /// It grew beyond its baseline, and at least doubled: an operator would have seen it.
    pub moved: bool,
}

impl MetricMove {
    /// At least so many times as much as before, and beyond what its baseline varies.
    pub(super) fn grew(&self, times: f64) -> bool {
        self.beyond && self.ratio.is_none_or(|ratio| ratio >= times)
    }
}

/// Every metric of every instance that told anything: those that moved first, the strongest before the others.
pub(crate) fn all(timeline: &Timeline, parts: &[PartSpan]) -> Vec<MetricMove> {
    let of_series = timeline.series.iter().flat_map(|series| of_instance(series, parts));
    let mut found: Vec<(f64, MetricMove)> = of_series.collect();
    found.sort_by(|(a, left), (b, right)| {
        right.moved.cmp(&left.moved).then(b.total_cmp(a)).then_with(|| {
            (left.component, &left.node, &left.metric).cmp(&(right.component, &right.node, &right.metric))
        })
    });
    found.into_iter().map(|(_, found)| found).collect()
}

/// The metrics of one instance, each with its strength; empty where the series asks for something else.
pub(super) fn of_instance(series: &Series, parts: &[PartSpan]) -> Vec<(f64, MetricMove)> {
    let Some((component, node)) = instance(series) else { return Vec::new() };
    let readings = readings(series);
    let look = Look { steps: steps(&readings), readings, parts };
    let mut found = Vec::new();
    for metric in of(component) {
        for one in look.one(metric) {
            let [before, during, after] = one.values.map(|value| value.map(|value| rounded(value, 1e6)));
            if before.is_none() && during.is_none() && after.is_none() {
                continue;
            }
            let ratio =
                before.zip(during).filter(|(before, _)| *before > 0.0).map(|(b, d)| rounded(d / b, 1e3));
            let known = before.is_some() && during.is_some();
            let moved = known && one.beyond && ratio.is_none_or(|ratio| ratio >= MOVED);
            let strength = (during.unwrap_or(0.0) + metric.floor) / (before.unwrap_or(0.0) + metric.floor);
            found.push((
                strength,
                MetricMove {
                    component,
                    node: node.to_owned(),
                    metric: metric.name.to_owned(),
                    statistic: one.statistic,
                    unit: metric.unit,
                    before,
                    during,
                    after,
                    ratio,
                    beyond: known && one.beyond,
                    moved,
                },
            ));
        }
    }
    found
}

/// To a millionth, or a thousandth: digits beyond say nothing, and would not all survive the way through JSON.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

struct One {
    statistic: Statistic,
    /// Before, during, after.
    values: [Option<f64>; 3],
    beyond: bool,
}

struct Look<'a> {
    readings: Vec<(Offset, &'a Values)>,
    steps: Vec<Step<'a>>,
    parts: &'a [PartSpan],
}

/// What a counter did in a part.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    events: f64,
    seconds: f64,
    /// The most per second between two readings.
    most: f64,
}

impl Counted {
    fn rate(self) -> f64 {
        self.events / self.seconds.max(1e-3)
    }

    /// It happens more often than before: by more than chance (the ratio of two Poisson rates on the logarithmic
    /// scale), and more often than between any two readings of the baseline.
    fn beyond(self, before: Counted, floor: f64) -> bool {
        let grown = self.events - before.rate() * self.seconds;
        if grown < floor || self.rate() <= before.most {
            return false;
        }
        if before.events < 1.0 {
            return true;
        }
        let ratio = self.rate() / before.rate();
        ratio * (-Z * (1.0 / self.events + 1.0 / before.events).sqrt()).exp() > 1.0
    }
}

impl<'a> Look<'a> {
    fn part(&self, part: Part) -> Option<&PartSpan> {
        self.parts.iter().find(|span| span.part == part)
    }

    /// The times between readings that tell of a part: those within it; while the fault lasts, those around it too,
    /// because readings are seconds apart.
    fn steps(&self, part: Part) -> impl Iterator<Item = &Step<'a>> {
        let span = self.part(part).copied();
        self.steps.iter().filter(move |step| {
            span.is_some_and(|span| match part {
                Part::During => step.to > span.from && step.from < span.to,
                Part::Before | Part::After => step.from >= span.from && step.to <= span.to,
            })
        })
    }

    fn one(&self, metric: &Metric) -> Vec<One> {
        match metric.kind {
            Kind::Gauge => vec![self.gauge(metric)],
            Kind::Events => vec![self.counter(metric, Statistic::Count, |counted| counted.events)],
            Kind::Rate => vec![self.counter(metric, Statistic::Rate, Counted::rate)],
            Kind::Histogram => self.histogram(metric),
        }
    }

    fn counter(&self, metric: &Metric, statistic: Statistic, value: fn(Counted) -> f64) -> One {
        let counted = |part: Part| {
            let mut sum: Option<Counted> = None;
            for step in self.steps(part) {
                let Some(events) = step.growth(metric.name) else { continue };
                let sum = sum.get_or_insert_default();
                sum.events += events;
                sum.seconds += step.seconds();
                sum.most = sum.most.max(events / step.seconds().max(1e-3));
            }
            sum
        };
        let [before, during, after] = [Part::Before, Part::During, Part::After].map(counted);
        let beyond = before.zip(during).is_some_and(|(before, during)| during.beyond(before, metric.floor));
        One { statistic, values: [before, during, after].map(|counted| counted.map(value)), beyond }
    }

    fn gauge(&self, metric: &Metric) -> One {
        let told = |part: Part| {
            let span = self.part(part)?;
            // As with counters, the reading that comes after the time of the fault belongs to it too.
            let next = self.readings.iter().map(|(at, _)| *at).find(|at| *at >= span.to);
            let to = next.filter(|_| part == Part::During).unwrap_or(span.to);
            let inside = self.readings.iter().filter(|(at, _)| *at >= span.from && *at <= to);
            let values: Vec<f64> =
                inside.filter_map(|(_, values)| values.get(metric.name).copied().map(natural)).collect();
            let most = values.iter().copied().reduce(f64::max);
            most.zip(values.into_iter().reduce(f64::min))
        };
        let [before, during, after] = [Part::Before, Part::During, Part::After].map(told);
        let beyond = before.zip(during).is_some_and(|((most, least), (now, _))| {
            now - most >= metric.floor && now > most + (most - least)
        });
        let values = [before, during, after].map(|told| told.map(|(most, _)| most));
        One { statistic: Statistic::Maximum, values, beyond }
    }

    fn histogram(&self, metric: &Metric) -> Vec<One> {
        let between = |step: &Step<'_>| {
            let later = Histogram::read(step.later, metric.name)?;
            let earlier = step.earlier.and_then(|values| Histogram::read(values, metric.name));
            let earlier = earlier.filter(|earlier| earlier.count <= later.count).unwrap_or_default();
            Some(later.since(&earlier))
        };
        let sum = |part: Part| {
            let all = self.steps(part).filter_map(between);
            all.reduce(|sum, next| sum.plus(&next)).filter(|sum| sum.count >= ENOUGH)
        };
        let steps: Vec<Histogram> =
            self.steps(Part::Before).filter_map(between).filter(|step| step.count >= ENOUGH).collect();
        let before = sum(Part::Before).or_else(|| self.history(metric));
        let (during, after) = (sum(Part::During), sum(Part::After));
        let all = [before.as_ref(), during.as_ref(), after.as_ref()];

        let means = all.map(|found| found.and_then(Histogram::mean));
        let most = steps.iter().filter_map(Histogram::mean).fold(0.0, f64::max);
        let grew = |values: [Option<f64>; 3]| matches!(values, [Some(before), Some(during), _] if during - before >= metric.floor);
        let beyond = grew(means) && means[1].is_some_and(|mean| mean > most);
        let mean = One { statistic: Statistic::Mean, values: means, beyond };

        let p99 = all.map(|found| found.and_then(|found| found.at_rank((found.count * 0.99).ceil())));
        let least = during.as_ref().and_then(|found| end(found, 0));
        let most = before.as_ref().and_then(|found| end(found, 1).or_else(|| found.at_rank(found.count)));
        let beyond = grew(p99) && least.zip(most).is_some_and(|(least, most)| least > most);
        vec![mean, One { statistic: Statistic::P99, values: p99, beyond }]
    }

    /// Everything that the process had seen by the end of the baseline: for what is observed seldom.
    fn history(&self, metric: &Metric) -> Option<Histogram> {
        let end = self.part(Part::Before)?.to;
        let last = self.readings.iter().rev().find(|(at, _)| *at <= end)?;
        Histogram::read(last.1, metric.name).filter(|all| all.count >= ENOUGH)
    }
}

/// Observations beyond which the ranks of an interval are not worth counting out one by one.
const MANY: f64 = 20_000.0;

/// The lower (0) or upper (1) end of the 99th percentile's interval.
fn end(found: &Histogram, which: usize) -> Option<f64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, and bounded")]
    let draws = found.count.min(MANY) as usize;
    let (low, high) = ranks(draws, 0.99, ALPHA);
    let rank = if which == 0 { low } else { high }?;
    #[expect(clippy::cast_precision_loss, reason = "at most 20 000")]
    let share = rank as f64 / draws as f64;
    found.at_rank((share * found.count).round().max(1.0))
}
