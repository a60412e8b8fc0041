//! The conditions on the whole of an experiment, held against its record.

use std::time::Duration;

use crate::{
    aftermath, capacity,
    machine::{self, Crowd},
    metrics,
    observation::Observed,
    oracle::writes,
    outage::{outages_beyond, outages_unanswered, unseen},
    slowdown,
    spec::{Assertion, Gap, Pattern, Share},
    standstill, states,
    time::{Offset, Span},
    timeline::{Attempt, Moment, Outcome, Series, Timeline},
    verdict::{Checked, Measure, Outage, Verdict},
};

/// Too few attempts to speak of a share of them.
const ENOUGH: usize = 10;

/// An outage that is shorter than this, in a time in which nobody asked, is not worth a verdict.
const MOMENT: Duration = Duration::from_secs(1);

/// On a quiet machine recoup loses next to nothing; one attempt in so many may be lost where none may fail.
const FEW: usize = 50;

/// What an assertion came to, before it has its name.
pub(crate) struct Came {
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
    pub(crate) measure: Option<Measure>,
    /// When what was measured was over; none where it was not, or is no matter of a time.
    pub(crate) over: Option<Offset>,
}

impl Came {
    pub(crate) fn new(verdict: Verdict, detail: impl Into<String>) -> Came {
        Came { verdict, detail: detail.into(), measure: None, over: None }
    }

    pub(crate) fn unknown(why: impl Into<String>) -> Came {
        Came::new(Verdict::Inconclusive, why)
    }
}

/// One assertion, held against the record.
#[must_use]
pub(crate) fn check(timeline: &Timeline, assertion: &Assertion, crowd: Option<&Crowd>) -> Checked {
    let came = match timeline.fault() {
        None => Came::unknown("no fault was injected"),
        Some(fault) => match assertion {
            Assertion::Gap(settings) => gap(timeline, settings, fault),
            Assertion::Fails(settings) => share(timeline, settings, |attempt| attempt.bad(), "failed"),
            Assertion::Succeeds(settings) => share(timeline, settings, |attempt| attempt.good(), "succeeded"),
            Assertion::SameLeader(_) => same_leader(timeline, fault),
            Assertion::NoLostWrites(_) => writes::no_lost_writes(timeline),
            Assertion::OldHolderStaysOut(lease) => old_holder(timeline, lease, fault),
            Assertion::OldProcessGone(_) => aftermath::old_process_gone(timeline),
            Assertion::NoReplacementDuringFault(_) => no_replacement(timeline, fault),
            Assertion::ComesBack(settings) => aftermath::comes_back(timeline, settings.within),
            Assertion::Slowdown(settings) => slowdown::slowdown(timeline, settings),
            Assertion::MetricMoves(settings) => metrics::moves(timeline, settings),
            Assertion::SameHolder(lease) => same_holder(timeline, lease, fault),
            Assertion::HoldsUpTo(settings) => capacity::holds_up_to(timeline, settings),
        },
    };
    let Came { verdict, detail, measure, .. } = machine::excuse(came, assertion, crowd);
    Checked { name: name(assertion), verdict, detail, measure }
}

fn name(assertion: &Assertion) -> String {
    match assertion {
        Assertion::Gap(Gap { of, .. })
        | Assertion::Fails(Share { of, .. })
        | Assertion::Succeeds(Share { of, .. }) => {
            format!("{} {}", assertion.key(), of.0)
        }
        Assertion::OldHolderStaysOut(lease) | Assertion::SameHolder(lease) => {
            format!("{} {lease}", assertion.key())
        }
        Assertion::Slowdown(settings) => format!("{} {}", assertion.key(), settings.of.0),
        Assertion::MetricMoves(settings) => {
            format!("{} {}: {}", assertion.key(), settings.component.process(), settings.metric)
        }
        other => other.key().to_owned(),
    }
}

fn nothing_fits(pattern: &Pattern) -> Came {
    Came::unknown(format!("no stream fits {:?} on this cluster", pattern.0))
}

/// The gravest outage since the fault, in the stream that had it: a long one that is over must not hide a shorter one
/// that is not.
fn gap(timeline: &Timeline, settings: &Gap, fault: Moment) -> Came {
    let matching = timeline.matching(&settings.of);
    if matching.is_empty() {
        return nothing_fits(&settings.of);
    }
    let (max, end) = (settings.max, timeline.ended());
    let mut gravest: Option<Grave> = None;
    for series in &matching {
        // Nothing may be lost where none is allowed; a late answer is none lost.
        let outages = if max.0.is_zero() {
            outages_unanswered(&series.attempts, series.last_awaited(end))
        } else {
            outages_beyond(&series.attempts, max.0)
        };
        for outage in outages {
            if outage.to.is_none_or(|to| to >= fault.low) {
                let one = Grave::of(timeline, &series.stream.name, &outage, max, fault);
                gravest = gravest.filter(|known| known.rank() >= one.rank()).or(Some(one));
            }
        }
    }
    // Where not one request may fail, an attempt that nobody can speak of counts.
    let lost = if max.0.is_zero() { lost(&matching, fault, end) } else { Vec::new() };
    let blind = unseen_longer(&matching, max, fault, end).or_else(|| too_many(&lost));
    let Some(Grave { verdict, measure, words, over, .. }) = gravest else {
        if let Some(blind) = blind {
            return Came::unknown(format!("{blind}; at most {max} allowed"));
        }
        let of = if matching.len() == 1 { "the stream" } else { "any of the streams" };
        let aside = match lost.iter().map(|(lost, ..)| lost).sum::<usize>() {
            0 => String::new(),
            lost => format!(" (recoup itself lost {lost}, which say nothing)"),
        };
        return Came::new(Verdict::Pass, format!("no attempt of {of} failed{aside}; at most {max} allowed"));
    };
    let detail = format!("{words}; at most {max} allowed");
    let (verdict, detail) = match blind {
        Some(blind) if verdict == Verdict::Pass => (Verdict::Inconclusive, format!("{detail}; {blind}")),
        _ => (verdict, detail),
    };
    Came { verdict, detail, measure: Some(measure), over }
}

/// An outage as its budget sees it.
struct Grave {
    verdict: Verdict,
    value: Span,
    measure: Measure,
    words: String,
    over: Option<Offset>,
}

impl Grave {
    fn of(timeline: &Timeline, stream: &str, outage: &Outage, max: Span, fault: Moment) -> Grave {
        let end = timeline.ended();
        let to = outage.to.unwrap_or(end);
        let low = outage.to.map_or(end, |_| outage.end_low).since(outage.start_high);
        let (value, high) = (Span(outage.length(end)), Span(to.since(outage.start_low)));
        let low = Span(low).min(value);
        let measure = match outage.to {
            Some(_) => Measure::Measured { value, low, high },
            None => Measure::Censored { more_than: low },
        };
        // All that failed was sent before: the fault may have met it, or something else did before the fault.
        let before = outage.end_low < fault.low;
        let too_long = if max.0.is_zero() { !before } else { low > max };
        let still = too_long.then(|| standstill::beside(timeline, outage)).flatten();
        let verdict = if too_long && still.is_none() {
            Verdict::Fail
        } else if value <= max && outage.to.is_some() {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        };
        let reasons: Vec<&str> = outage.reasons.iter().map(|(reason, _)| reason.as_str()).collect();
        let count = if outage.failed == 1 { "1 attempt" } else { &format!("{} attempts", outage.failed) };
        let attempts = format!("{count} ({})", reasons.join(", "));
        let sent = if before { " sent before the fault" } else { "" };
        let still = still.map(|still| format!("; {still}")).unwrap_or_default();
        let words = format!("{stream}: worst outage {measure}, {attempts}{sent}{still}");
        Grave { verdict, value, measure, words, over: outage.to }
    }

    /// The gravest decides, and among equals the longest is told.
    fn rank(&self) -> (Verdict, Span) {
        (self.verdict, self.value)
    }
}

/// By stream: the attempts since the fault that recoup itself lost or gave up, and how many there were.
fn lost<'t>(matching: &[&'t Series], fault: Moment, end: Offset) -> Vec<(usize, usize, &'t str)> {
    let each = matching.iter().map(|series| {
        let since = || series.attempts.iter().filter(|attempt| attempt.sent >= fault.low);
        let last = series.last_awaited(end);
        let lost = since().filter(|one| one.outcome == Outcome::Lost || one.cut_off(last)).count();
        (lost, since().count(), series.stream.name.as_str())
    });
    each.collect()
}

/// Where more than one in [`FEW`] says nothing, it cannot be told that none failed.
fn too_many(lost: &[(usize, usize, &str)]) -> Option<String> {
    let (lost, all, stream) = lost.iter().filter(|(lost, all, _)| lost * FEW > *all).max()?;
    Some(format!("{stream}: recoup itself lost {lost} of {all} attempts since the fault, which say nothing"))
}

/// Where a stream was not asked for longer than an outage may last: what happened meanwhile nobody saw. Attempts that
/// were due a moment late, or one or two that were lost, leave nothing unseen that would matter.
fn unseen_longer(matching: &[&Series], max: Span, fault: Moment, end: Offset) -> Option<String> {
    let longest = matching.iter().filter_map(|series| {
        let rate = &series.stream.rate;
        // Observation ends with attempts under way.
        let end = end.minus(rate.patience().max(rate.period.0));
        let unseen = unseen(&series.attempts, fault.low, end);
        let allowed = max.0.max(rate.period.0 * 3).max(MOMENT);
        (unseen > allowed).then_some((unseen, &series.stream.name))
    });
    let (unseen, stream) = longest.max()?;
    Some(format!("{stream} was not asked for {:.2} s, in which nobody saw how it was", unseen.as_secs_f64()))
}

/// The attempts that began after the last injection and of which was known before the first undo how they went.
fn during(attempts: &[Attempt], from: Offset, to: Offset) -> impl Iterator<Item = &Attempt> {
    attempts.iter().filter(move |attempt| attempt.sent >= from && attempt.known() <= to)
}

fn share(timeline: &Timeline, settings: &Share, counts: impl Fn(&Attempt) -> bool, word: &str) -> Came {
    let matching = timeline.matching(&settings.of);
    if matching.is_empty() {
        return nothing_fits(&settings.of);
    }
    let (Some(injected), Some(undo)) = (timeline.last_injection(), timeline.first_undo()) else {
        return Came::unknown("the fault's duration is not recorded");
    };
    let from = injected.plus(settings.after.0);
    // The least of the streams decides: many good ones must not hide a bad one.
    let mut least: Option<(f64, usize, usize, &str)> = None;
    for series in matching {
        let counted: Vec<&Attempt> =
            during(&series.attempts, from, undo).filter(|attempt| attempt.good() || attempt.bad()).collect();
        let name = series.stream.name.as_str();
        if counted.len() < ENOUGH {
            return Came::unknown(format!("{name}: only {} attempts while the fault lasted", counted.len()));
        }
        let hits = counted.iter().filter(|attempt| counts(attempt)).count();
        #[expect(clippy::cast_precision_loss, reason = "counts of attempts fit 52 bits")]
        let share = hits as f64 / counted.len() as f64;
        if least.is_none_or(|(least, ..)| share < least) {
            least = Some((share, hits, counted.len(), name));
        }
    }
    let Some((share, hits, count, stream)) = least else { return nothing_fits(&settings.of) };
    let verdict = if share >= settings.share { Verdict::Pass } else { Verdict::Fail };
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let wanted = percent(settings.share);
    let detail = format!(
        "{stream}: {hits} of {count} attempts {word} while the fault lasted ({}); at least {wanted} wanted",
        percent(share)
    );
    Came::new(verdict, detail)
}

fn same_leader(timeline: &Timeline, fault: Moment) -> Came {
    let (count, words) = states::words(timeline);
    let Some(before) = states::leader_before(count, &words, fault) else {
        return Came::unknown("no raft leader was seen before the fault");
    };
    let told =
        || words.iter().filter_map(|w| w.answer.and_then(|(leader, term)| Some((w.done, leader?, term))));
    if let Some((at, other, term)) = told().find(|(at, leader, _)| *at > fault.low && *leader != before) {
        let after = Span(at.since(fault.at));
        let detail = format!("another leader ({other}, term {term}) was followed {after} after the fault");
        return Came::new(Verdict::Fail, detail);
    }
    let since = told().filter(|(at, ..)| *at > fault.low).count();
    if since < ENOUGH {
        return Came::unknown(format!("only {since} answers of members after the fault"));
    }
    Came::new(Verdict::Pass, format!("{before} led throughout ({since} answers after the fault)"))
}

fn old_holder(timeline: &Timeline, lease: &str, fault: Moment) -> Came {
    let Some((before, since)) = states::holders(timeline, lease, fault) else {
        return Came::unknown(format!("no holder of {lease} was seen before the fault"));
    };
    let Some((_, taken, new)) = since.iter().find(|(_, _, holder)| !holder.is_empty() && *holder != before)
    else {
        return Came::unknown("the lease was never taken by another, so nobody was kept out");
    };
    // An answer that was asked for before the take-over may have been true when it was given.
    match since.iter().find(|(sent, _, holder)| sent >= taken && *holder == before) {
        Some((_, done, _)) => {
            let later = done.since(*taken).as_secs_f64();
            Came::new(
                Verdict::Fail,
                format!("{before} held the lease again {later:.2} s after {new} had taken it"),
            )
        }
        None => Came::new(Verdict::Pass, format!("{new} took the lease and {before} never held it again")),
    }
}

fn same_holder(timeline: &Timeline, lease: &str, fault: Moment) -> Came {
    let Some((before, since)) = states::holders(timeline, lease, fault) else {
        return Came::unknown(format!("no holder of {lease} was seen before the fault"));
    };
    if let Some((_, done, other)) = since.iter().find(|(_, _, holder)| *holder != before) {
        let other = if other.is_empty() { "nobody" } else { other };
        let after = done.since(fault.at).as_secs_f64();
        return Came::new(
            Verdict::Fail,
            format!("{before} lost the lease: {other} held it {after:.2} s after the fault"),
        );
    }
    if since.len() < ENOUGH {
        return Came::unknown(format!("the holder was told only {} times after the fault", since.len()));
    }
    Came::new(Verdict::Pass, format!("{before} held it throughout ({} answers after the fault)", since.len()))
}

/// While a fault lasts, lists of pods may not come; the pods' own answers tell of new ones too.
fn no_replacement(timeline: &Timeline, fault: Moment) -> Came {
    let Some(before) = states::pods_before(timeline, fault) else {
        return Came::unknown("no pod of the workload was seen before the fault");
    };
    let Some(undo) = timeline.first_undo() else {
        return Came::unknown("the fault's duration is not recorded");
    };
    let known = |name: &str| before.iter().any(|pod| pod.name == name);
    let inside = |sent: Offset, done: Offset| sent >= fault.low && done <= undo;
    let lists = states::pod_lists(timeline);
    let listed: Vec<_> = lists.iter().filter(|(sent, done, _)| inside(*sent, *done)).collect();
    if let Some(pod) = listed.iter().flat_map(|(_, _, pods)| pods.iter()).find(|pod| !known(&pod.name)) {
        return Came::new(Verdict::Fail, format!("the pod {} was created while the fault lasted", pod.name));
    }
    let mut served = 0;
    for attempt in timeline.series.iter().flat_map(|series| during(&series.attempts, fault.low, undo)) {
        if let Some(Observed::Served { pod }) = attempt.told().filter(|_| attempt.done <= undo) {
            served += 1;
            if !known(pod) {
                return Came::new(
                    Verdict::Fail,
                    format!("the new pod {pod} answered while the fault lasted"),
                );
            }
        }
    }
    if listed.is_empty() && served < ENOUGH {
        return Came::unknown("neither lists nor answers of pods while the fault lasted");
    }
    let detail = format!("no new pod in {} lists and {served} answers while the fault lasted", listed.len());
    Came::new(Verdict::Pass, detail)
}
