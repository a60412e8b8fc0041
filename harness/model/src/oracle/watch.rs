//! Watch: a watcher is told every change once and in order, or properly that it must list again.
//!
//! Each acknowledged write's revision that lies within what a watcher claims to have followed must have been
//! told to it, by itself or by a list after an expiry. A watcher that hangs or stays closed is late and not known to be
//! wrong; but it was waited for after the last write, and what was never told to it nobody can vouch for.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::panel::not_looked_at;
use crate::{
    assertion::Came,
    event::WatchNews,
    milestone::told,
    observation::{Failure, Observation, Observed},
    time::Offset,
    timeline::Timeline,
    verdict::Verdict,
};

/// How many revisions of a kind are named.
const NAMED: usize = 5;

/// One watcher's judgement each, under its name; one for all where there was none.
pub(super) fn oracle(timeline: &Timeline) -> Vec<(String, Came)> {
    if timeline.watched.is_empty() {
        return vec![("watch".to_owned(), not_looked_at("no watcher was opened"))];
    }
    let written = written(timeline);
    let each = timeline.watched.iter();
    each.map(|(through, news)| (format!("watch {through}"), Watcher::follow(news).came(&written))).collect()
}

/// Every acknowledged write that told its revision: when and by which stream.
fn written(timeline: &Timeline) -> BTreeMap<u64, (Offset, &str)> {
    let mut written = BTreeMap::new();
    for series in &timeline.series {
        if matches!(series.stream.observation, Observation::ApiWrite { .. }) {
            for (_, done, told) in told(series) {
                if let Observed::Acknowledged { revision: Some(revision), .. } = told {
                    written.insert(*revision, (done, series.stream.name.as_str()));
                }
            }
        }
    }
    written
}

/// What one watcher was told, in order.
#[derive(Default)]
struct Watcher<'t> {
    /// It knows nothing of what came up to here: its first list has it.
    first: Option<u64>,
    /// Up to here everything was told, by a change, a list or a bookmark.
    known: u64,
    told: BTreeSet<u64>,
    /// After the first, up to the second: known from a list after an expiry.
    listed: Vec<(u64, u64)>,
    open: bool,
    expired: bool,
    expiries: usize,
    reopened: usize,
    closed: Option<(Offset, Option<&'t Failure>)>,
    twice: Vec<u64>,
    late: Vec<u64>,
    /// What the server did that none may.
    wrong: Vec<String>,
    /// What makes the record itself doubtful.
    doubts: Vec<String>,
}

impl<'t> Watcher<'t> {
    fn follow(news: &'t [(Offset, WatchNews)]) -> Watcher<'t> {
        let mut watcher = Watcher::default();
        for (at, news) in news {
            watcher.hear(*at, news);
        }
        watcher
    }

    fn hear(&mut self, at: Offset, news: &'t WatchNews) {
        match news {
            WatchNews::Listed { revision } => self.listed(at, *revision),
            WatchNews::Opened { after } => {
                if self.first.is_none() {
                    self.doubts.push(format!("it was opened after {after} without a list before"));
                    (self.first, self.known) = (Some(*after), *after);
                } else if *after != self.known {
                    let known = self.known;
                    self.doubts.push(format!("it went on after {after}, though {known} was known, at {at}"));
                }
                self.reopened += usize::from(self.closed.take().is_some());
                self.open = true;
            }
            WatchNews::Changed { revisions } => {
                if !self.open {
                    self.doubts.push(format!("it was told of changes at {at} while it was not open"));
                }
                revisions.iter().for_each(|revision| self.changed(*revision));
            }
            // Nothing up to there is left to be told.
            WatchNews::Bookmark { revision } => {
                if *revision < self.known {
                    self.wrong
                        .push(format!("a bookmark went back from {} to {revision} at {at}", self.known));
                }
                self.known = self.known.max(*revision);
            }
            WatchNews::Expired => {
                self.expired = true;
                self.expiries += 1;
                self.open = false;
            }
            WatchNews::Closed { failure } => {
                self.open = false;
                self.closed = Some((at, failure.as_ref()));
            }
        }
    }

    fn listed(&mut self, at: Offset, revision: u64) {
        match self.first {
            None => self.first = Some(revision),
            Some(_) if !self.expired => {
                self.doubts.push(format!("it listed again at {at} though nothing had expired"));
            }
            // The list is a quorum read: what was told is older than it.
            Some(_) if revision < self.known => {
                self.wrong.push(format!("a list went back from {} to {revision} at {at}", self.known));
            }
            Some(_) => self.listed.push((self.known, revision)),
        }
        self.expired = false;
        self.known = self.known.max(revision);
    }

    fn changed(&mut self, revision: u64) {
        if self.told.contains(&revision) {
            self.twice.push(revision);
        } else if revision <= self.known {
            self.late.push(revision);
        }
        self.told.insert(revision);
        self.known = self.known.max(revision);
    }

    fn came(&self, written: &BTreeMap<u64, (Offset, &str)>) -> Came {
        let Some(first) = self.first else {
            let why = format!("it never got as far as a list{}", self.ending());
            return if written.is_empty() { not_looked_at(why) } else { Came::unknown(why) };
        };
        let inside = || written.range((Bound::Excluded(first), Bound::Included(self.known.max(first))));
        let heard = |revision: &u64| {
            self.told.contains(revision)
                || self.listed.iter().any(|(from, to)| from < revision && revision <= to)
        };
        let untold: Vec<u64> = inside().map(|(revision, _)| *revision).filter(|r| !heard(r)).collect();
        let mut wrong = self.wrong.clone();
        if !untold.is_empty() {
            let (at, by) = written[&untold[0]];
            let named = named(&untold);
            wrong.push(format!(
                "{} acknowledged changes were never told: revision {named} (the first by {by} at {at})",
                untold.len()
            ));
        }
        if !self.twice.is_empty() {
            wrong.push(format!(
                "{} changes were told twice: revision {}",
                self.twice.len(),
                named(&self.twice)
            ));
        }
        if !self.late.is_empty() {
            let named = named(&self.late);
            wrong.push(format!("{} changes were told out of order: revision {named}", self.late.len()));
        }
        if !self.doubts.is_empty() {
            // What it was told wrongly may follow from what the watcher itself did wrongly.
            let all: Vec<&str> = self.doubts.iter().chain(&wrong).map(String::as_str).collect();
            return Came::unknown(format!("the record contradicts itself: {}", all.join("; ")));
        }
        if !wrong.is_empty() {
            return Came::new(Verdict::Fail, wrong.join("; "));
        }
        let count = inside().count();
        let behind = written.range(self.known.max(first) + 1..).count();
        if count == 0 && behind == 0 {
            return not_looked_at(format!(
                "no acknowledged write lies within what it was told{}",
                self.ending()
            ));
        }
        if behind > 0 {
            let known = self.known;
            let detail = format!(
                "{count} acknowledged changes were told once and in order, up to revision {known}, and {behind} \
                 later ones never{}",
                self.ending()
            );
            return Came::unknown(detail);
        }
        let words = |count: usize, one: &str, more: &str| match count {
            0 => String::new(),
            1 => format!(", {one}"),
            n => format!(", {}", more.replace('#', &n.to_string())),
        };
        let detail = format!(
            "all {count} acknowledged changes were told once and in order{}{}",
            words(self.reopened, "across one re-opening", "across # re-openings"),
            words(
                self.expiries,
                "one of them after a proper expiry and list",
                "# of them after a proper expiry and list"
            ),
        );
        Came::new(Verdict::Pass, detail)
    }

    /// How it ended, where it did.
    fn ending(&self) -> String {
        match &self.closed {
            Some((at, Some(failure))) => format!("; it is closed since {at}: {failure}"),
            Some((at, None)) => format!("; it is closed since {at}"),
            None => String::new(),
        }
    }
}

fn named(revisions: &[u64]) -> String {
    let mut named: Vec<String> = revisions.iter().take(NAMED).map(u64::to_string).collect();
    if revisions.len() > NAMED {
        named.push("…".into());
    }
    named.join(", ")
}
