//! Whatever a correct watcher goes through, it passes; with one revision dropped or doubled it fails.

use std::sync::LazyLock;

use proptest::{prelude::*, sample::Index};
use recoup_model::{
    event::{Event, Record, WatchNews},
    observation::Observed,
    verdict::Verdict,
};

use crate::common::{FAULT, Story, at, cluster};

/// What happens between two writes.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Nothing,
    /// The watch ends; it is opened again before the next write.
    Closes,
    /// It ends, and this many writes pass before it is open again.
    Lags(usize),
    /// It ends, and after as many writes the server knows no more what came next.
    Expires(usize),
    /// What was told so far is recorded.
    Flushes,
    Bookmark,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => Just(Happens::Nothing),
        1 => Just(Happens::Closes),
        1 => (1..8_usize).prop_map(Happens::Lags),
        1 => (0..8_usize).prop_map(Happens::Expires),
        2 => Just(Happens::Flushes),
        1 => Just(Happens::Bookmark),
    ]
}

const WRITES: usize = 80;

static STORY: LazyLock<(Vec<Record>, recoup_model::plan::Plan)> = LazyLock::new(|| {
    let lines = "  assertions:\n    - gap: {of: workload/pod/*, max: 5s}\n  probes: {workload: {period: 1s}}";
    let step = "signal: {process: kube-scheduler, on: controlPlane, signal: KILL}";
    let mut story = Story::new(step, lines, "cp1").told("api/write/lb", |_, n, _| {
        // Others write too: ours are every third revision.
        let revision = (n < WRITES as u64).then_some(100 + 3 * n);
        Ok(Observed::Acknowledged { number: n, revision })
    });
    story.ends = FAULT + 10.0;
    (story.records(), story.plan)
});

/// What a correct watcher is told, the revisions that it was told itself, and those of them that a list would
/// have brought as well.
fn follow(course: &[Happens]) -> (Vec<WatchNews>, Vec<u64>, Vec<u64>) {
    let mut news = vec![WatchNews::Listed { revision: 99 }, WatchNews::Opened { after: 99 }];
    let (mut pending, mut unseen, mut told): (Vec<u64>, Vec<u64>, Vec<u64>) = Default::default();
    let (mut known, mut away, mut expired) = (99, None, false);
    let mut covered = Vec::new();
    let flush = |pending: &mut Vec<u64>, news: &mut Vec<WatchNews>| {
        if !pending.is_empty() {
            news.push(WatchNews::Changed { revisions: std::mem::take(pending) });
        }
    };
    for n in 0..WRITES {
        let revision = 100 + 3 * n as u64;
        match away {
            Some(0) => {
                if expired {
                    news.extend([WatchNews::Expired, WatchNews::Closed { failure: None }]);
                    known = unseen.last().copied().unwrap_or(known) + 1;
                    news.push(WatchNews::Listed { revision: known });
                    unseen.clear();
                }
                news.push(WatchNews::Opened { after: known });
                told.extend(&unseen);
                pending.append(&mut unseen);
                known = pending.last().copied().unwrap_or(known);
                away = None;
            }
            Some(left) => away = Some(left - 1),
            None => {}
        }
        if away.is_some() {
            unseen.push(revision);
            continue;
        }
        pending.push(revision);
        told.push(revision);
        known = revision;
        let (leaves, gone) = match course.get(n).copied().unwrap_or(Happens::Nothing) {
            Happens::Nothing => continue,
            Happens::Flushes => {
                flush(&mut pending, &mut news);
                continue;
            }
            Happens::Bookmark => {
                flush(&mut pending, &mut news);
                known = revision + 1;
                news.push(WatchNews::Bookmark { revision: known });
                continue;
            }
            Happens::Closes => (0, false),
            Happens::Lags(writes) => (writes, false),
            Happens::Expires(writes) => (writes, true),
        };
        flush(&mut pending, &mut news);
        news.push(WatchNews::Closed { failure: None });
        (away, expired) = (Some(leaves), gone);
        if gone {
            covered.push(revision);
        }
    }
    flush(&mut pending, &mut news);
    (news, told, covered)
}

fn judged(news: Vec<WatchNews>) -> (Verdict, String) {
    let (records, plan) = &*STORY;
    let mut records = records.clone();
    for (n, news) in (0_u32..).zip(news) {
        let event = Event::Watched { through: "api/lb".into(), news };
        records.push(Record { at: at(1.0 + f64::from(n) / 1000.0), event });
    }
    records.sort_by_key(|record| record.at);
    let result = recoup_model::judge(plan, &cluster(), &records);
    let oracle = result.oracles.into_iter().find(|oracle| oracle.name == "watch api/lb").expect("an oracle");
    (oracle.verdict, oracle.detail)
}

fn change(news: &mut [WatchNews], revision: u64, with: impl Fn(&mut Vec<u64>, usize)) {
    for one in news {
        if let WatchNews::Changed { revisions } = one
            && let Some(n) = revisions.iter().position(|other| *other == revision)
        {
            return with(revisions, n);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_correct_watcher_passes_and_a_wrong_one_fails(
        course in prop::collection::vec(happens(), WRITES),
        which in any::<Index>(),
        dropped in any::<bool>(),
    ) {
        let (mut news, told, covered) = follow(&course);
        let last = told[told.len() - 1];
        let (verdict, detail) = judged(news.clone());
        // One that was away at the end was not told of the last writes: not wrong, but nobody can vouch for it.
        let whole = last == 100 + 3 * (WRITES as u64 - 1);
        prop_assert_eq!(verdict, if whole { Verdict::Pass } else { Verdict::Inconclusive }, "{}: {:?}", detail, news);

        let revision = told[which.index(told.len())];
        // A last one that is missing cannot be told from one that is late, nor one that a list then brings.
        if dropped && revision != last && !covered.contains(&revision) {
            change(&mut news, revision, |revisions, n| {
                revisions.remove(n);
            });
            // Where nothing else came between it and a re-opening, the watcher goes on before it.
            let (verdict, detail) = judged(news.clone());
            prop_assert!(matches!(verdict, Verdict::Fail | Verdict::Inconclusive), "{}: {:?}", detail, news);
            prop_assert!(detail.contains(&revision.to_string()), "{}", detail);
        } else {
            change(&mut news, revision, |revisions, n| revisions.insert(n, revision));
            let (verdict, detail) = judged(news.clone());
            prop_assert_eq!(verdict, Verdict::Fail, "{}: {:?}", detail, news);
            let wanted = format!("told twice: revision {revision}");
            prop_assert!(detail.contains(&wanted), "{}", detail);
        }
    }
}
