//! Leadership: never do two instances of a lease-holding component act at once; a thawed old leader's writes are looked for.
//!
//! A write by an instance is its right while it holds the Lease. It is not where the answers about the Lease
//! before and after the write all name another, or where another has acted since this one was last named.
//!
//! One thing is excused, and told with its figures: a holder that was frozen and is thawed goes on until it
//! notices that its time is over. client-go checks that by its renew deadline and fences nothing, so for so
//! long after the thaw the old holder may write; a moment later it may not. So observation goes on until then and a
//! little longer, and where it did not, the oracle has not looked.

use std::time::Duration;

use super::panel::not_looked_at;
use crate::{
    action::{Process, Signal},
    assertion::Came,
    event::Act,
    milestone::told,
    observation::{Observation, Observed},
    spec::Step,
    streams::LEASES,
    time::{Offset, Span},
    timeline::Timeline,
    verdict::Verdict,
};

/// The logs' times are brought to the run's clock by a command on each node, which takes a few hundred
/// milliseconds on a busy machine. A lease that nobody released is taken 13 s after its holder's last write at the
/// earliest, so this hides nothing.
const CLOCKS: Duration = Duration::from_secs(1);
/// Without an answer about the Lease for longer than this nobody can say who held it. Shorter leases are not in use.
const SILENCE: Duration = Duration::from_secs(5);
/// client-go's default renew deadline of 10 s and a retry period of 2 s times 2.2, where the record has no settings.
const GRACE: Span = Span::millis(14_400);
/// A holder writes its Lease every two seconds: one that goes on when it may not shows itself within this.
const SHOWS: Duration = Duration::from_secs(3);
/// Requests that waited in an API server while that was frozen are carried out within this of its thaw.
const QUEUED: Duration = Duration::from_secs(5);

/// One judgement per Lease, or one for all where there is nothing to look at.
pub(super) fn oracle(timeline: &Timeline) -> Vec<(String, Came)> {
    let Some((acts, failure)) = &timeline.acted else {
        return vec![("leadership".to_owned(), not_looked_at("the API servers' own logs were not read"))];
    };
    if let (true, Some(failure)) = (acts.is_empty(), failure) {
        return vec![("leadership".to_owned(), not_looked_at(failure))];
    }
    let each = LEASES.iter().map(|lease| {
        let came = of_lease(timeline, lease, acts);
        let came = match failure {
            Some(failure) if came.verdict == Verdict::Pass => {
                not_looked_at(format!("{}, but not all logs could be read: {failure}", came.detail))
            }
            _ => came,
        };
        (format!("leadership {lease}"), came)
    });
    each.collect()
}

/// When the Lease was asked for, when the answer came, and the node of its holder.
type Answer<'t> = (Offset, Offset, &'t str);

fn of_lease(timeline: &Timeline, lease: &str, acts: &[Act]) -> Came {
    let mut answers: Vec<Answer<'_>> = Vec::new();
    for series in &timeline.series {
        if matches!(&series.stream.observation, Observation::Lease { name } if name == lease) {
            answers.extend(told(series).filter_map(|(sent, done, told)| match told {
                // client-go's identity is the host's name, `_`, and a random id.
                Observed::Lease { holder, .. } => {
                    Some((sent, done, holder.split('_').next().unwrap_or_default()))
                }
                _ => None,
            }));
        }
    }
    let Some(until) = answers.iter().map(|(sent, ..)| *sent).max() else {
        return not_looked_at(format!("nobody told who held {lease}"));
    };
    // Outside of the observation nobody looked who held it.
    let looked = timeline.started()..=until.minus(CLOCKS);
    let mut acts: Vec<&Act> =
        acts.iter().filter(|act| act.lease == lease && looked.contains(&act.at)).collect();
    acts.sort_by_key(|act| act.at);
    if acts.is_empty() {
        return not_looked_at(format!("no write by an instance of {lease} is in the logs"));
    }
    let mut waited = 0;
    let mut thawed: Vec<Duration> = Vec::new();
    let grace = timeline.grace.get(lease).copied().unwrap_or(GRACE);
    for (n, act) in acts.iter().enumerate() {
        if let Some(why) = intrusion(&acts[..n], act, &answers) {
            if had_waited(timeline, act) {
                waited += 1;
                continue;
            }
            if let Some(after) = since_thaw(timeline, act).filter(|after| *after <= grace.0 + CLOCKS) {
                thawed.push(after);
                continue;
            }
            return Came::new(Verdict::Fail, why);
        }
    }
    let shown = last_thaw(timeline, |_, program| program.is_none_or(|program| program == lease))
        .map(|thaw| thaw.plus(grace.0 + CLOCKS + SHOWS));
    if let Some(late) = shown.filter(|shown| looked.end() < shown) {
        let missing = Span(late.since(*looked.end()));
        return not_looked_at(format!(
            "a frozen holder's time after its thaw was watched {missing} too short to see it write when it may not"
        ));
    }
    let mut by: Vec<(&str, usize)> = Vec::new();
    for act in &acts {
        match by.last_mut() {
            Some((node, count)) if *node == act.node => *count += 1,
            _ => by.push((&act.node, 1)),
        }
    }
    let spans: Vec<String> = by.iter().map(|(node, count)| format!("{count} writes by {node}")).collect();
    let mut detail = format!("{}, never two instances at once", spans.join(", then "));
    if waited > 0 {
        detail += &format!("; {waited} more had waited in a frozen API server");
    }
    if let Some(last) = thawed.iter().max() {
        detail += &format!(
            "; the thawed holder wrote {} times in the first {:.1} s after its thaw, which client-go allows for {:.1} s",
            thawed.len(),
            last.as_secs_f64(),
            grace.0.as_secs_f64()
        );
    }
    Came::new(Verdict::Pass, detail)
}

/// Until when is to be watched whether a thawed holder keeps out: none where none was frozen, or still is.
pub(crate) fn watched_until(timeline: &Timeline) -> Option<Offset> {
    let leased = |program: &str| LEASES.contains(&program);
    let thaw = last_thaw(timeline, |_, program| program.is_none_or(leased))?;
    let grace = timeline.grace.values().copied().max().unwrap_or(GRACE);
    // And until the Lease has been asked for once more.
    Some(thaw.plus(grace.0 + CLOCKS * 3 + SHOWS))
}

/// The node, when the thaw began, and when it was over.
type Thaw = (String, Offset, Offset);

/// When the last of some control planes' thaws was over, by the node and the program that was frozen there, with none
/// for all of them.
fn last_thaw(timeline: &Timeline, of: impl Fn(&Thaw, Option<&str>) -> bool) -> Option<Offset> {
    let frozen = timeline.faults().filter_map(|(_, step, trace)| {
        let program = match step {
            Step::Signal(fault) if fault.signal == Signal::Stop => Some(fault.process.program()),
            Step::Pause(_) => None,
            Step::Signal(_) | Step::StaticPod(_) | Step::Unit(_) | Step::Drop(_) => return None,
            Step::KillContainer(_) | Step::Slow(_) | Step::Limit(_) | Step::FillEtcd(_) => return None,
            Step::Load(_) | Step::DeletePods(_) | Step::Wait(_) => return None,
        };
        Some((program, trace?))
    });
    let thaws = frozen.flat_map(|(program, trace)| trace.undone.iter().map(move |undone| (program, undone)));
    let led = |node: &String| timeline.control_planes.contains(node);
    thaws.filter(|(program, thaw)| led(&thaw.0) && of(thaw, *program)).map(|(_, (.., ended))| *ended).max()
}

/// How long after its thaw a frozen instance wrote; none where it was not frozen or still is.
fn since_thaw(timeline: &Timeline, act: &Act) -> Option<Duration> {
    let last = last_thaw(timeline, |(node, began, _), program| {
        *node == act.node
            && began.minus(CLOCKS) <= act.at
            && program.is_none_or(|program| program == act.lease)
    })?;
    Some(act.at.since(last))
}

/// Why a write was not its instance's to make, if it was not.
fn intrusion(earlier: &[&Act], act: &Act, answers: &[Answer<'_>]) -> Option<String> {
    let (low, high) = (act.at.minus(CLOCKS), act.at.plus(CLOCKS));
    let others = earlier.iter().filter(|other| other.node != act.node && other.at <= low);
    let other = others.max_by_key(|other| other.at);
    // What was told before another acted no longer counts for this one.
    let counts = |answer: &&Answer<'_>| other.is_none_or(|other| answer.1 >= other.at);
    let before = answers.iter().filter(|(_, done, _)| *done <= low).max_by_key(|(_, done, _)| *done);
    let around = answers.iter().filter(|(sent, done, _)| *done > low && *sent < high);
    let after = answers.iter().filter(|(sent, ..)| *sent >= high).min_by_key(|(sent, ..)| *sent)?;
    let near: Vec<&Answer<'_>> = before.into_iter().chain(around).chain([after]).collect();
    if near.iter().filter(|answer| counts(answer)).any(|(.., holder)| *holder == act.node) {
        return None;
    }
    // Through a longer silence a hold could have come and gone unseen.
    let last = answers.iter().map(|(_, done, _)| *done).filter(|done| *done <= act.at).max()?;
    let next = answers.iter().map(|(sent, ..)| *sent).filter(|sent| *sent >= act.at).min()?;
    if next.since(last) > SILENCE {
        return None;
    }
    // A Lease that nobody is named for, or nothing told before the write: it cannot be said who held it.
    let known = near.iter().filter(|(.., holder)| !holder.is_empty()).count();
    if known < 2 {
        return None;
    }
    let holder = after.2;
    let taken = other.map(|other| other.at).into_iter().chain(taken(answers, holder, act.at)).min();
    let later = taken.map_or_else(String::new, |at| {
        format!(" {} after", Span(Duration::from_millis(milliseconds(act.at.since(at)))))
    });
    Some(format!(
        "{} wrote ({} {}) at {}{later} {holder} had taken over: it did not hold the lease then",
        act.node, act.verb, act.object, act.at
    ))
}

/// Since when the answers up to a moment name this holder without a break.
fn taken(answers: &[Answer<'_>], holder: &str, at: Offset) -> Option<Offset> {
    let before = answers.iter().rev().skip_while(|(_, done, _)| *done > at);
    before.take_while(|(.., named)| *named == holder).last().map(|(_, done, _)| *done)
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The write's API server had been frozen and was thawed just then: the request had been sent before.
fn had_waited(timeline: &Timeline, act: &Act) -> bool {
    timeline.faults().any(|(_, step, trace)| {
        let frozen = matches!(step, Step::Signal(fault)
            if fault.process == Process::KubeApiserver && fault.signal == Signal::Stop);
        let mut thaws = trace.iter().flat_map(|trace| &trace.undone).filter(|(node, ..)| *node == act.node);
        frozen && thaws.any(|(_, began, ended)| (began.minus(CLOCKS)..=ended.plus(QUEUED)).contains(&act.at))
    })
}
