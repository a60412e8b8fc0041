//! A load's drawings: rate and times over the seconds, and times over the offered rate with the knee.

use maud::{Markup, html};
use recoup_model::{
    load::{LoadResult, VerbTimes},
    spec::LoadVerb,
    time::Span,
    verdict::ExperimentResult,
};

use super::svg::{line, n, text};
use crate::load::{COLUMNS, NOTE, knee, rate, row, state, told};

const WIDTH: f64 = 1180.0;
const LEFT: f64 = 70.0;
/// Behind it stand the curves' names.
const RIGHT: f64 = 1040.0;
/// Between two names of curves.
const APART: f64 = 13.0;

/// Every load: its knee, its drawings, and a row per rate.
pub(super) fn loads(experiment: &ExperimentResult) -> Markup {
    html! {
        @for load in told(experiment) {
            h3 { "The load" }
            p { (knee(load)) }
            div.drawing { (over_time(load)) }
            @if load.stages.len() > 1 { div.drawing { (over_rate(load)) } }
            div.wide {
                table.figures {
                    thead { tr { @for name in COLUMNS { th { (name) } } th { "" } } }
                    tbody {
                        @for stage in &load.stages {
                            tr {
                                @for cell in row(stage) { td { (cell) } }
                                td { (state(stage)) @if !stage.because.is_empty() { span.quiet { ": " (stage.because) } } }
                            }
                        }
                    }
                }
            }
            p.note { (NOTE) }
        }
    }
}

/// One scale upwards, from `top` to `bottom`.
struct Up {
    top: f64,
    bottom: f64,
    low: f64,
    high: f64,
    log: bool,
}

impl Up {
    fn y(&self, value: f64) -> f64 {
        let at = |value: f64| if self.log { value.max(self.low).ln() } else { value };
        let part = (at(value) - at(self.low)) / (at(self.high) - at(self.low)).max(f64::MIN_POSITIVE);
        self.bottom - part.clamp(0.0, 1.0) * (self.bottom - self.top)
    }

    /// Whole decades of milliseconds that hold all of these times.
    fn times<'l>(top: f64, bottom: f64, all: impl Iterator<Item = &'l VerbTimes>) -> Up {
        let (mut low, mut high) = (f64::MAX, 0.0_f64);
        for times in all {
            low = low.min(millis(times.p50));
            high = high.max(millis(times.p99));
        }
        let decade = |value: f64, round: fn(f64) -> f64| 10.0_f64.powf(round(value.max(0.1).log10()));
        let low = decade(low.min(high), f64::floor);
        Up { top, bottom, low, high: decade(high, f64::ceil).max(low * 10.0), log: true }
    }

    fn rates(top: f64, bottom: f64, high: f64) -> Up {
        Up { top, bottom, low: 0.0, high: high.max(1.0) * 1.08, log: false }
    }

    /// The frame, and a line with its label per decade.
    fn decades(&self) -> Markup {
        let count = (self.high / self.low).log10().round() as i32;
        html! {
            @for value in (0..=count).map(|n| self.low * 10.0_f64.powi(n)) {
                (line("grid", (LEFT, self.y(value)), (RIGHT, self.y(value))))
                (text("tick", LEFT - 30.0, self.y(value) + 4.0, &label(value)))
            }
        }
    }
}

fn millis(span: Span) -> f64 {
    span.0.as_secs_f64() * 1e3
}

fn label(millis: f64) -> String {
    if millis >= 1000.0 { format!("{:.0} s", millis / 1000.0) } else { format!("{millis} ms") }
}

fn path(points: &[(f64, f64)]) -> String {
    let step = |(index, (x, y)): (usize, &(f64, f64))| {
        format!("{}{} {}", if index == 0 { 'M' } else { 'L' }, n(*x), n(*y))
    };
    points.iter().enumerate().map(step).collect()
}

fn curve(class: &str, points: &[(f64, f64)], title: &str) -> Markup {
    html! { path class=(format!("curve {class}")) d=(path(points)) { title { (title) } } }
}

/// Which kinds of requests there are, in their order.
fn verbs(load: &LoadResult) -> Vec<LoadVerb> {
    let mut all: Vec<LoadVerb> = load.stages.iter().flat_map(|stage| stage.verbs.keys().copied()).collect();
    all.sort();
    all.dedup();
    all
}

/// A curve of p99 with its name at the right, a thinner one of p50, for every kind of request.
fn times(up: &Up, verbs: &[LoadVerb], of: impl Fn(LoadVerb) -> Vec<(f64, VerbTimes)>, dots: bool) -> Markup {
    let curves: Vec<(LoadVerb, Vec<(f64, VerbTimes)>)> =
        verbs.iter().map(|verb| (*verb, of(*verb))).collect();
    let at = |points: &[(f64, VerbTimes)], of: fn(&VerbTimes) -> Span| -> Vec<(f64, f64)> {
        points.iter().map(|(x, times)| (*x, up.y(millis(of(times))))).collect()
    };
    // Names beside each other's curves keep their distance.
    let mut names: Vec<(f64, LoadVerb)> = curves
        .iter()
        .filter_map(|(verb, points)| Some((up.y(millis(points.last()?.1.p99)), *verb)))
        .collect();
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    for index in 1..names.len() {
        names[index].0 = names[index].0.max(names[index - 1].0 + APART);
    }
    html! {
        @for (verb, points) in &curves {
            (curve(&format!("thin {}", verb.name()), &at(points, |t| t.p50), &format!("p50 of {}", verb.name())))
            (curve(verb.name(), &at(points, |t| t.p99), &format!("p99 of {}", verb.name())))
            @if dots {
                @for (x, y) in at(points, |t| t.p99) {
                    circle class=(format!("curvedot {}", verb.name())) cx=(n(x)) cy=(n(y)) r="3" {}
                }
            }
        }
        @for (y, verb) in &names { (text("curvename", RIGHT + 8.0, y + 4.0, verb.name())) }
    }
}

fn over_time(load: &LoadResult) -> Markup {
    let length = load.to.since(load.from).as_secs_f64().max(1.0);
    let x =
        |at: recoup_model::time::Offset| LEFT + at.since(load.from).as_secs_f64() / length * (RIGHT - LEFT);
    let seconds = &load.seconds;
    let offered = |second: &recoup_model::load::LoadSecond| f64::from(second.rate.0) / 1e3;
    let rates = Up::rates(24.0, 124.0, seconds.iter().map(offered).fold(0.0, f64::max));
    let up = Up::times(158.0, 330.0, seconds.iter().flat_map(|second| second.verbs.values()));
    let step: Vec<(f64, f64)> = seconds
        .iter()
        .flat_map(|s| [(x(s.from), rates.y(offered(s))), (x(s.to), rates.y(offered(s)))])
        .collect();
    let middle = |s: &recoup_model::load::LoadSecond| (x(s.from) + x(s.to)) / 2.0;
    let answered: Vec<(f64, f64)> =
        seconds.iter().map(|s| (middle(s), rates.y(rate(s.answered, s.from, s.to)))).collect();
    let of = |verb| seconds.iter().filter_map(|s| Some((middle(s), *s.verbs.get(&verb)?))).collect();
    let every = [1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0]
        .into_iter()
        .find(|e| length / e <= 14.0)
        .unwrap_or(600.0);
    let marks = (0..=(length / every) as u32).map(|n| f64::from(n) * every);
    html! {
        svg viewBox=(format!("0 0 {WIDTH} 356")) role="img" aria-label="Rate and times of the load by second: the table below has the figures" {
            (text("heading", LEFT, 14.0, "requests a second: offered (line), answered (bold), refused or failed (bars)"))
            @for at in [rates.high / 1.08, 0.0] {
                (line("grid", (LEFT, rates.y(at)), (RIGHT, rates.y(at))))
                (text("tick", LEFT - 30.0, rates.y(at) + 4.0, &format!("{at:.0}")))
            }
            @for second in seconds.iter().filter(|s| s.throttled + s.failed > 0) {
                @let bad = rate(second.throttled + second.failed, second.from, second.to);
                @let width = (x(second.to) - x(second.from) - 0.5).max(0.5);
                rect class="outage" x=(n(x(second.from))) y=(n(rates.y(bad))) width=(n(width)) height=(n((rates.bottom - rates.y(bad)).max(1.0))) {
                    title { (second.throttled) " refused (429), " (second.failed) " failed otherwise" }
                }
            }
            (curve("offered", &step, "offered"))
            (curve("answered", &answered, "answered well"))
            (text("heading", LEFT, 148.0, "time of an answer: p99, and p50 (thin)"))
            (up.decades())
            (times(&up, &verbs(load), of, false))
            @for at in marks {
                @let at_x = LEFT + at / length * (RIGHT - LEFT);
                (line("grid", (at_x, up.bottom), (at_x, up.bottom + 4.0)))
                (text("tick", at_x, up.bottom + 18.0, &format!("{at} s")))
            }
        }
    }
}

fn over_rate(load: &LoadResult) -> Markup {
    let of = |stage: &recoup_model::load::LoadStage| f64::from(stage.rate.0) / 1e3;
    let top = load.stages.iter().map(of).fold(1.0, f64::max) * 1.04;
    let x = |rate: f64| LEFT + rate / top * (RIGHT - LEFT);
    let up = Up::times(24.0, 220.0, load.stages.iter().flat_map(|stage| stage.verbs.values()));
    let points = |verb| load.stages.iter().filter_map(|s| Some((x(of(s)), *s.verbs.get(&verb)?))).collect();
    let capacity = load.capacity.as_ref();
    let holds = capacity.and_then(|c| c.holds).map(|rate| f64::from(rate.0) / 1e3);
    let ceases = capacity.and_then(|c| c.ceases).map(|rate| f64::from(rate.0) / 1e3);
    html! {
        svg viewBox=(format!("0 0 {WIDTH} 250")) role="img" aria-label="Times of the load by offered rate: the table below has the figures" {
            (text("heading", LEFT, 14.0, "time of an answer by offered rate: p99, and p50 (thin)"))
            @if let Some(rate) = holds {
                rect class="holds" x=(n(LEFT)) y=(n(up.top)) width=(n(x(rate) - LEFT)) height=(n(up.bottom - up.top)) {
                    title { "everything held" }
                }
            }
            (up.decades())
            (times(&up, &verbs(load), points, true))
            @for stage in &load.stages {
                (text("tick", x(of(stage)), up.bottom + 16.0, &stage.rate.to_string()))
            }
            @if let Some(rate) = ceases {
                (line("knee", (x(rate), up.top), (x(rate), up.bottom)))
                (text("kneename", x(rate) - 5.0, up.top + 12.0, "ceases"))
            }
        }
    }
}
