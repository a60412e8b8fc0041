//! The timeline: the faults as bands, and a lane per point of view that saw something.

use maud::{Markup, html};
use recoup_model::verdict::{Band, ExperimentResult, Outage, StateLane, StateSpan, StreamResult};

use super::{
    lanes::{Names, arrange, told},
    scale::{LEFT, RIGHT, Scale, WIDTH},
    svg::{axis, bar, fit, line, n, text, text_width},
};
use crate::figures;

const TOP: f64 = 30.0;
const BAND: f64 = 24.0;
const HEADING: f64 = 26.0;
const LANE: f64 = 20.0;
/// How many values are told apart by colour; every one is written out as well.
const TONES: usize = 6;

/// One line of the drawing.
enum Row<'a> {
    Band(usize, &'a Band),
    Heading(&'static str),
    State(&'a StateLane),
    Stream(String, &'a StreamResult),
}

impl Row<'_> {
    fn height(&self) -> f64 {
        match self {
            Row::Band(..) => BAND,
            Row::Heading(_) => HEADING,
            Row::State(_) | Row::Stream(..) => LANE,
        }
    }
}

/// The drawing, with the points of view that saw nothing folded away beneath it.
pub(super) fn timeline(experiment: &ExperimentResult, scale: &Scale, names: &Names) -> Markup {
    let (groups, calm) = arrange(experiment, names);
    let mut rows: Vec<Row<'_>> =
        experiment.bands.iter().enumerate().map(|(i, b)| Row::Band(i + 1, b)).collect();
    for group in groups {
        rows.push(Row::Heading(group.group.title()));
        rows.extend(group.states.into_iter().map(Row::State));
        rows.extend(group.streams.into_iter().map(|(label, stream)| Row::Stream(label, stream)));
    }
    let bottom = TOP + 4.0 + rows.iter().map(Row::height).sum::<f64>() + 6.0;
    let values = values(experiment);
    let mut top = TOP + 4.0;
    let placed: Vec<(f64, Row<'_>)> = rows
        .into_iter()
        .map(|row| {
            let at = top;
            top += row.height();
            (at, row)
        })
        .collect();
    let label = format!("Timeline of {}: outages are listed in the table of streams", experiment.id);
    html! {
        div.drawing {
            svg viewBox=(format!("0 0 {WIDTH} {}", n(bottom + 4.0))) role="img" aria-label=(label) data-axis=(scale.data()) {
                @for band in &experiment.bands {
                    (shade(band, scale, TOP, bottom))
                }
                (axis(scale, TOP, bottom))
                @for (top, row) in &placed {
                    @match row {
                        Row::Band(number, band) => (fault(*number, band, scale, names, *top)),
                        Row::Heading(title) => {
                            (line("rule", (0.0, top + 5.0), (WIDTH, top + 5.0)))
                            (text("heading", 4.0, top + 20.0, title))
                        }
                        Row::State(lane) => (state(lane, scale, names, &values, *top)),
                        Row::Stream(label, stream) => (outages(label, stream, experiment, scale, *top)),
                    }
                }
            }
        }
        (folded(experiment, &calm, scale))
    }
}

/// The time that a fault lasted, behind all lanes; for one that nobody undoes, its moment.
fn shade(band: &Band, scale: &Scale, top: f64, bottom: f64) -> Markup {
    let x = scale.x(band.from);
    html! {
        @if let Some(to) = band.to {
            @let width = (scale.x(to) - x).max(1.0);
            rect class="shade" x=(n(x)) y=(n(top)) width=(n(width)) height=(n(bottom - top)) {}
        } @else {
            (line("moment", (x, top), (x, bottom)))
        }
    }
}

/// A fault's own line: what was done, to whom, how long.
fn fault(number: usize, band: &Band, scale: &Scale, names: &Names, top: f64) -> Markup {
    let x = scale.x(band.from);
    let (end, lasted) = match band.to {
        Some(to) => (scale.x(to), format!(" for {}", figures::seconds(to.since(band.from)))),
        None => (x, String::new()),
    };
    let said = format!("{}{lasted}", names.shorten(&band.description));
    let title = format!("step {}: {} on {}", band.step, band.description, band.targets.join(", "));
    // Inside the band, else behind it, else before it: wherever the whole text has room.
    let wide = text_width(&said) + 14.0;
    let (class, at, room) = if end - x > wide {
        ("bandtext", x + 7.0, end - x - 14.0)
    } else if RIGHT + 180.0 - end > wide || x - LEFT < wide {
        ("bandtext outside", end.max(x + 8.0) + 7.0, WIDTH - end - 20.0)
    } else {
        ("bandtext outside before", x - 7.0, x - LEFT)
    };
    html! {
        g {
            title { (title) }
            (text("lane", LEFT - 10.0, top + 15.5, &format!("fault {number}")))
            @if band.to.is_some() {
                (bar("band", (x, end), (top + 3.0, BAND - 6.0), &title))
            } @else {
                path class="band" d=(format!("M{} {}l9 {}l-9 {}Z", n(x), n(top + 3.0), n(BAND / 2.0 - 3.0), n(BAND / 2.0 - 3.0))) {}
            }
            (text(class, at, top + 15.5, &fit(&said, room)))
        }
    }
}

/// A stream's lane with its outages.
fn outages(
    label: &str,
    stream: &StreamResult,
    experiment: &ExperimentResult,
    scale: &Scale,
    top: f64,
) -> Markup {
    let figure = match figures::longest(stream, experiment) {
        None => "no outage".to_owned(),
        Some(longest) => {
            let length = figures::seconds(figures::length(longest, experiment.ended));
            let more = if longest.to.is_none() { "over " } else { "" };
            match stream.outages.len() {
                1 => format!("{more}{length}"),
                count => format!("{more}{length}, longest of {count}"),
            }
        }
    };
    let class = if stream.outages.is_empty() { "figure calm" } else { "figure" };
    html! {
        g {
            title { (stream.name) }
            (text("lane", LEFT - 10.0, top + 14.0, &fit(label, LEFT - 16.0)))
            (line("calmline", (LEFT, top + 10.0), (scale.observed(), top + 10.0)))
            (text(class, RIGHT + 10.0, top + 14.0, &fit(&figure, WIDTH - RIGHT - 12.0)))
        }
        @for (at, outage) in stream.outages.iter().enumerate() {
            @let next = stream.outages.get(at + 1).map_or(RIGHT, |next| scale.x(next.from));
            (one(outage, stream, experiment, scale, top, next))
        }
    }
}

/// One outage: a bar from the first failing attempt to the first good answer, thin where its edges may lie.
fn one(
    outage: &Outage,
    stream: &StreamResult,
    experiment: &ExperimentResult,
    scale: &Scale,
    top: f64,
    next: f64,
) -> Markup {
    let length = figures::seconds(figures::length(outage, experiment.ended));
    let (x, end) = (scale.x(outage.from), scale.x(outage.to.unwrap_or(experiment.ended)));
    let reasons: Vec<String> = outage.reasons.iter().map(|(why, count)| format!("{count} × {why}")).collect();
    let until = match outage.to {
        Some(to) => format!("to {:+.2} s", scale.seconds(to)),
        None => "and had not ended when observation did".into(),
    };
    let title = format!(
        "{}: {} failed attempts in {length}, from {:+.2} s {until}\n{}",
        stream.name,
        outage.failed,
        scale.seconds(outage.from),
        reasons.join("\n")
    );
    let said = if outage.to.is_some() { length } else { format!("{length}, not back") };
    let (inside, beside) = (text_width(&said) + 8.0 < end - x, end + text_width(&said) + 8.0 < next);
    html! {
        g {
            title { (title) }
            (line("whisker", (scale.x(outage.start_low), top + 10.0), (scale.x(outage.start_high), top + 10.0)))
            (bar(if outage.to.is_some() { "outage" } else { "outage open" }, (x, end), (top + 3.0, LANE - 6.0), &title))
            @if outage.to.is_none() {
                path class="outagehead" d=(format!("M{} {}l8 7l-8 7Z", n(end), n(top + 3.0))) {}
            }
            @if inside {
                (text("length", x + 5.0, top + 14.0, &said))
            } @else if beside {
                (text("length beside", end + 5.0, top + 14.0, &said))
            }
        }
    }
}

/// Every value that a state had, in the order of appearance: its place chooses the tone.
fn values(experiment: &ExperimentResult) -> Vec<&str> {
    let mut values: Vec<&str> = Vec::new();
    for span in experiment.states.iter().flat_map(|lane| &lane.spans) {
        if !values.contains(&span.value.as_str()) {
            values.push(&span.value);
        }
    }
    values
}

/// The tone of a value: what everybody reads as good or bad keeps that tone everywhere.
fn tone(value: &str, values: &[&str]) -> String {
    match value.to_lowercase().as_str() {
        "true" | "ready" => "state good".into(),
        // The judge writes what it saw of the condition, as in `Ready=Unknown`.
        "false" | "unknown" => "state bad".into(),
        other if other.starts_with("ready") || other.starts_with("not") => "state bad".into(),
        "" | "none" | "no leader" | "nobody" => "state void".into(),
        _ => format!("state v{}", values.iter().position(|v| *v == value).unwrap_or_default() % TONES),
    }
}

/// A state's lane: its values one after the other.
fn state(lane: &StateLane, scale: &Scale, names: &Names, values: &[&str], top: f64) -> Markup {
    let mut course: Vec<&str> = Vec::new();
    for span in &lane.spans {
        let value = names.short(&span.value);
        if course.last() != Some(&value) {
            course.push(value);
        }
    }
    // All of it where there is room, else how it ended.
    let whole = course.join(" → ");
    let ended = match course.last() {
        Some(_) if text_width(&whole) <= WIDTH - RIGHT - 12.0 => whole,
        Some(last) => format!("… → {last}"),
        None => whole,
    };
    let drawn = |span: &StateSpan| {
        let (x, end) = (scale.x(span.from), scale.x(span.to));
        // What lies wholly outside the axis would leave a sliver at its edge.
        (end - x > 0.05).then_some((x, end))
    };
    html! {
        g {
            title { (lane.name) }
            (text("lane", LEFT - 10.0, top + 14.0, &fit(&names.shorten(&lane.name), LEFT - 16.0)))
            (line("unknown", (LEFT, top + 10.0), (scale.observed(), top + 10.0)))
            @for span in &lane.spans {
                @if let Some((x, end)) = drawn(span) {
                    @let title = format!(
                        "{}: {} from {:+.2} s to {:+.2} s", lane.name, span.value, scale.seconds(span.from), scale.seconds(span.to)
                    );
                    (bar(&tone(&span.value, values), (x, end), (top + 2.0, LANE - 4.0), &title))
                    @if end - x > 26.0 {
                        (text("value", x + 5.0, top + 14.0, &fit(names.short(&span.value), end - x - 8.0)))
                    }
                }
            }
            (text("figure", RIGHT + 10.0, top + 14.0, &fit(&ended, WIDTH - RIGHT - 12.0)))
        }
    }
}

/// What the drawing leaves out: the calm points of view, the unchanged states, the rest of the time.
fn folded(experiment: &ExperimentResult, calm: &[&StreamResult], scale: &Scale) -> Markup {
    let hidden = || experiment.states.iter().filter(|lane| !told(lane, experiment));
    let unchanged: Vec<&StateLane> = hidden().filter(|lane| !lane.spans.is_empty()).collect();
    let silent = hidden().filter(|lane| lane.spans.is_empty());
    html! {
        @if let Some(left_out) = scale.left_out() {
            p.note { (left_out) }
        }
        @if !calm.is_empty() || !unchanged.is_empty() {
            details.calm {
                summary {
                    "No outage seen in " (calm.len()) " more points of view"
                    @if !unchanged.is_empty() { "; " (unchanged.len()) " states did not change" }
                }
                ul.columns {
                    @for stream in calm {
                        li { code { (stream.name) } " " span.quiet { (stream.attempts) " attempts" } }
                    }
                    @for lane in unchanged {
                        li { (lane.name) ": " b { (lane.spans[0].value) } " throughout" }
                    }
                    @for lane in silent {
                        li { (lane.name) ": " span.quiet { "never known" } }
                    }
                }
            }
        }
    }
}
