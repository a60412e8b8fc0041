//! When which request of a load is due: a function of the step and the seed, known before the first one leaves.

use std::time::Duration;

use super::slice::SLICE;
use crate::{
    quantity::Frequency,
    spec::{LoadStep, LoadVerb},
};

/// A part of a load at one rate: a step of a ramp, or all of a load without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// From when on, since the load's beginning.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
    /// So many requests a second are due.
    pub rate: Frequency,
}

impl Stage {
    /// How many requests are due in it.
    fn count(&self) -> u64 {
        let nanos = (self.to - self.from).as_nanos() * u128::from(self.rate.0);
        u64::try_from(nanos.div_ceil(1_000_000_000_000)).unwrap_or(u64::MAX)
    }

    /// When the request of that number within the stage, from 0, is due.
    fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * 1_000_000_000_000 / u128::from(self.rate.0.max(1));
        self.from + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When it is due, since the load's beginning.
    pub at: Duration,
    /// The index of its slice in [`Schedule::slices`].
    pub slice: usize,
    /// What it is.
    pub verb: LoadVerb,
}

/// All requests of a load, in order.
#[derive(Clone, Debug)]
pub struct Schedule {
    stages: Vec<Stage>,
    /// By stage: the number of its first request, and the index of its first slice.
    first: Vec<(u64, usize)>,
    slices: Vec<(usize, Stage)>,
    count: u64,
    mix: Vec<(LoadVerb, u32)>,
    seed: u64,
}

impl Schedule {
    /// The schedule of a step. Which request is which follows from the seed.
    #[must_use]
    pub fn new(load: &LoadStep, seed: u64) -> Schedule {
        let stages = stages(load);
        let (mut first, mut slices, mut count) = (Vec::new(), Vec::new(), 0);
        for (index, stage) in stages.iter().enumerate() {
            first.push((count, slices.len()));
            count += stage.count();
            let mut from = stage.from;
            while from < stage.to {
                let to = (from + SLICE).min(stage.to);
                slices.push((index, Stage { from, to, rate: stage.rate }));
                from = to;
            }
        }
        let mix = load.mix.iter().map(|(verb, weight)| (*verb, *weight)).collect();
        Schedule { stages, first, slices, count, mix, seed }
    }

    /// How many requests there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The parts that are recorded each by itself, with the index of their stage: a second each, the last one of a
    /// stage as long as is left of it.
    #[must_use]
    pub fn slices(&self) -> &[(usize, Stage)] {
        &self.slices
    }

    /// The request of that number, from 0.
    #[must_use]
    pub fn due(&self, number: u64) -> Option<Due> {
        if number >= self.count {
            return None;
        }
        // A later stage without a request begins with the same number: the last one that does is not meant.
        let stage = self.first.partition_point(|(first, _)| *first <= number).checked_sub(1)?;
        let ((first, slice), stage) = (self.first.get(stage)?, self.stages.get(stage)?);
        let at = stage.due(number - first);
        let within = (at - stage.from).as_nanos() / SLICE.as_nanos();
        let slice = slice + usize::try_from(within).unwrap_or(0);
        Some(Due { at, slice, verb: self.verb(number) })
    }

    fn verb(&self, number: u64) -> LoadVerb {
        let all: u64 = self.mix.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut left = mixed(self.seed ^ mixed(number)) % all.max(1);
        for (verb, weight) in &self.mix {
            match left.checked_sub(u64::from(*weight)) {
                Some(rest) => left = rest,
                None => return *verb,
            }
        }
        LoadVerb::Get
    }
}

/// `SplitMix64`, so that a seed means the same requests for ever.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn stages(load: &LoadStep) -> Vec<Stage> {
    let Some(ramp) = load.ramp else {
        let rate = load.rate.unwrap_or_default();
        return vec![Stage { from: Duration::ZERO, to: load.hold.0, rate }];
    };
    let steps = ramp.steps.max(1);
    let grows = u64::from(ramp.to.0.saturating_sub(ramp.from.0));
    let stage = |n: u32| {
        let more = grows * u64::from(n) / u64::from((steps - 1).max(1));
        let rate = Frequency(ramp.from.0 + u32::try_from(more).unwrap_or(u32::MAX));
        Stage { from: load.hold.0 * n / steps, to: load.hold.0 * (n + 1) / steps, rate }
    };
    (0..steps).map(stage).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn load(rest: &str) -> LoadStep {
        let text = format!("mix: {{list: 1, get: 6, create: 2, delete: 1, update: 0}}\n{rest}");
        crate::yaml::parse("t.yaml", &text).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_ramp_reaches_both_ends_in_equal_steps() {
        let schedule = Schedule::new(&load("ramp: {from: 50/s, to: 400/s, steps: 8}\nfor: 12s"), 1);
        let rates: Vec<String> = schedule.stages.iter().map(|stage| stage.rate.to_string()).collect();
        assert_eq!(rates, ["50/s", "100/s", "150/s", "200/s", "250/s", "300/s", "350/s", "400/s"]);
        assert_eq!(schedule.count(), (1..=8).map(|n| 75 * n).sum::<u64>());
        assert_eq!(schedule.slices().len(), 16, "1.5 s are a second and a half of one");
        let last = schedule.due(schedule.count() - 1).unwrap();
        assert_eq!((last.slice, last.at), (15, Duration::from_secs(12) - Duration::from_micros(2500)));
        assert_eq!(schedule.due(schedule.count()), None);
    }

    #[test]
    fn requests_are_due_evenly_and_each_in_its_slice() {
        let schedule = Schedule::new(&load("ramp: {from: 3/s, to: 7/s, steps: 3}\nfor: 5s"), 1);
        let all: Vec<Due> = (0..).map_while(|number| schedule.due(number)).collect();
        assert!(all.windows(2).all(|pair| pair[0].at < pair[1].at && pair[0].slice <= pair[1].slice));
        for due in &all {
            let (_, slice) = schedule.slices()[due.slice];
            assert!((slice.from..slice.to).contains(&due.at), "{due:?} is not within {slice:?}");
        }
    }

    #[test]
    fn the_mix_is_kept_and_follows_from_the_seed() {
        let mix = |seed| {
            let schedule = Schedule::new(&load("rate: 1000/s\nfor: 20s"), seed);
            let mut counts: BTreeMap<LoadVerb, u64> = BTreeMap::new();
            let verbs: Vec<LoadVerb> =
                (0..schedule.count()).filter_map(|n| schedule.due(n)).map(|due| due.verb).collect();
            verbs.iter().for_each(|verb| *counts.entry(*verb).or_default() += 1);
            (verbs, counts)
        };
        let (verbs, counts) = mix(1);
        assert_eq!(verbs, mix(1).0);
        assert_ne!(verbs, mix(2).0);
        assert_eq!(counts.get(&LoadVerb::Update), None, "it has no weight");
        for (verb, expected) in [(LoadVerb::Get, 12_000), (LoadVerb::Create, 4000), (LoadVerb::List, 2000)] {
            assert!(counts[&verb].abs_diff(expected) < 300, "{counts:?}");
        }
    }
}
