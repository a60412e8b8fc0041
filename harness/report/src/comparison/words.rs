//! What a comparison's figures mean.

use recoup_model::{
    compare::{Change, Comparison, Finding, Pair, Range},
    repetition::Distribution,
};

use crate::repetition::{chance, counted, of_percent, size};

/// A milestone in one run: `1.40 s (1.31 s to 1.52 s), n 20`.
pub(super) fn median(found: &Distribution) -> String {
    format!("{}, n {}", of_percent(found, 50), counted(found))
}

/// What follows for a milestone, in a sentence without its full stop.
pub(super) fn finding(change: &Change) -> String {
    let (p, test) = (chance(change.p), change.test.name());
    let (longer, shorter) = if change.slower_is_worse { ("slower", "quicker") } else { ("later", "earlier") };
    match change.finding {
        Finding::Slower => format!("{longer}{}, {p} ({test}): is a difference", amount(change, false)),
        Finding::Quicker => format!("{shorter}{}, {p} ({test}): is a difference", amount(change, true)),
        Finding::TooFew => {
            format!(
                "too few trials to show any difference, however large: {} in each run are needed",
                change.needs
            )
        }
        Finding::NotShown => {
            let shown = match change.would_have_shown {
                Some(seconds) => format!("one of more than {} would have been", size(seconds)),
                None => "how large one would have been cannot be told, because of what never came".to_owned(),
            };
            format!("no difference shown, {p} ({test}); {shown}")
        }
    }
}

/// ` by 0.40 s (0.20 s to 0.61 s)`, as far as it is known.
fn amount(change: &Change, turned: bool) -> String {
    let turn = |range: Range| match turned {
        true => Range { low: range.high.map(|x| -x), high: range.low.map(|x| -x) },
        false => range,
    };
    let shift = range(turn(change.shift));
    match (shift, change.interval.and_then(|interval| range(turn(interval)))) {
        (Some(shift), Some(interval)) => format!(" by {shift} (95 %: {interval})"),
        (Some(shift), None) => format!(" by {shift}"),
        (None, Some(interval)) => format!(" (95 %: {interval})"),
        (None, None) => String::new(),
    }
}

fn range(range: Range) -> Option<String> {
    // To the microsecond the ends of what was measured are the same.
    match (range.low, range.high) {
        (Some(low), Some(high)) if (high - low).abs() < 1e-6 => Some(signed(low)),
        (Some(low), Some(high)) => Some(format!("{} to {}", signed(low), signed(high))),
        (Some(low), None) => Some(format!("{} or more", signed(low))),
        (None, Some(high)) => Some(format!("{} or less", signed(high))),
        (None, None) => None,
    }
}

fn signed(seconds: f64) -> String {
    let size = size(seconds);
    if seconds < 0.0 && size != "0 s" { format!("−{size}") } else { size }
}

/// What follows from the verdicts of an experiment.
pub(super) fn verdicts(pair: &Pair) -> String {
    let change = &pair.verdicts;
    let told = format!("{} against {}", change.before, change.after);
    let Some(p) = change.p else {
        return format!("{told}: nothing to compare, because one run has neither a pass nor a fail");
    };
    let p = format!("{} (Fisher's exact test)", chance(p));
    match change.finding {
        Finding::Slower => format!("{told}: fails more often, {p}: is a difference"),
        Finding::Quicker => format!("{told}: fails less often, {p}: is a difference"),
        Finding::NotShown | Finding::TooFew => format!("{told}: no difference shown, {p}"),
    }
}

/// The whole in one sentence.
pub(super) fn answer(comparison: &Comparison) -> String {
    let changes = || comparison.experiments.iter().flat_map(|pair| &pair.milestones);
    let count = |wanted: &dyn Fn(&Change) -> bool| changes().filter(|change| wanted(change)).count();
    let slower = count(&|c| c.finding == Finding::Slower && c.slower_is_worse);
    let quicker = count(&|c| c.finding == Finding::Quicker && c.slower_is_worse);
    let onset = count(&|c| matches!(c.finding, Finding::Slower | Finding::Quicker) && !c.slower_is_worse);
    let few = count(&|c| c.finding == Finding::TooFew);
    let verdict = |wanted| comparison.experiments.iter().filter(|p| p.verdicts.finding == wanted).count();
    let (worse, better) = (verdict(Finding::Slower), verdict(Finding::Quicker));
    let all = changes().count();
    if comparison.experiments.is_empty() {
        return "The two runs have no experiment in common.".into();
    }
    let total = comparison.experiments.len();
    let mut out = format!("Of {all} milestones, slower: {slower}, quicker: {quicker}");
    for (number, what) in [(onset, "failing at another time"), (few, "with too few trials to show anything")]
    {
        if number > 0 {
            out += &format!(", {what}: {number}");
        }
    }
    out + &format!(". Of {total} experiments, failing more often: {worse}, less often: {better}.")
}

/// How probabilities are to be read.
pub(super) fn note(comparison: &Comparison) -> String {
    format!(
        "Probabilities are corrected for all {} tests made here (Holm); a difference is one at p < 0.05. Shifts \
         are Hodges and Lehmann's, with 95 % confidence intervals that are not corrected.",
        comparison.tests
    )
}
