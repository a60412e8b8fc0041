//! A load's requests: API servers as queues that have a capacity.
//!
//! Each API server serves one request after the other, at a time that varies as an exponential distribution does, so
//! that waiting grows before the capacity is reached. Who would wait too long is turned away, as priority and
//! fairness does. What else asks that API server waits behind the queue; a controller, which asks many times for one
//! piece of work, many times as long. Where twice as much is offered as can be served, the processor is exhausted:
//! renewals of leases, whose own priority level protects them from the queue, are answered no more. The figures are
//! the model's own: what a real cluster bears depends on its machine.

use std::time::Duration;

use recoup_model::spec::LoadVerb;

use super::{World, dice::Dice, timing::ms};

/// How long a get is served: 250 a second and API server.
const SERVICE: Duration = ms(4);
/// Who would wait longer is turned away (429).
const PATIENCE: Duration = ms(500);
/// A Deployment, its ReplicaSet, the pod, its binding and status, endpoints: requests one after the other.
const OF_A_CHANGE: u32 = 12;
/// Offered load in parts of the capacity from which on leases are not renewed.
const EXHAUSTED: f64 = 2.0;
/// The offered load is that of the last whole one of these.
const WINDOW: Duration = Duration::from_secs(1);

/// An API server's queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    /// When it is empty.
    until: Duration,
    /// The window under way: its number, and what was offered in it.
    window: (u128, Duration),
    /// What was offered in the one before.
    offered: Duration,
}

/// How many times a get's time it takes.
fn weight(verb: LoadVerb) -> f64 {
    match verb {
        LoadVerb::Get => 1.0,
        LoadVerb::Watch => 1.2,
        LoadVerb::Create | LoadVerb::Update | LoadVerb::Delete => 1.8,
        LoadVerb::List => 2.5,
    }
}

impl Queue {
    fn roll(&mut self, now: Duration) {
        let number = now.as_nanos() / WINDOW.as_nanos();
        if number != self.window.0 {
            self.offered = if number == self.window.0 + 1 { self.window.1 } else { Duration::ZERO };
            self.window = (number, Duration::ZERO);
        }
    }
}

impl World {
    /// A request joins the queue of an API server; how long it is there, or none where it is turned away.
    pub(crate) fn join_queue(&mut self, node: usize, verb: LoadVerb, dice: &mut Dice) -> Option<Duration> {
        let now = self.now;
        let queue = &mut self.queues[node];
        let served = SERVICE.mul_f64(weight(verb) * -(1.0 - dice.unit()).ln());
        queue.roll(now);
        queue.window.1 += SERVICE.mul_f64(weight(verb));
        let begins = queue.until.max(now);
        if begins - now > PATIENCE {
            return None;
        }
        queue.until = begins + served;
        Some(queue.until - now)
    }

    /// How long a request that comes to an API server now waits.
    pub(crate) fn queued(&self, node: usize) -> Duration {
        self.queues.get(node).map_or(Duration::ZERO, |queue| queue.until.saturating_sub(self.now))
    }

    /// How much longer a controller beside that API server needs for one piece of work.
    pub(crate) fn delayed_by_load(&self, node: usize) -> Duration {
        self.queued(node) * OF_A_CHANGE
    }

    /// That API server has no time left to answer anybody.
    pub(crate) fn exhausted(&self, node: usize) -> bool {
        let Some(queue) = self.queues.get(node) else { return false };
        let mut queue = queue.clone();
        queue.roll(self.now);
        queue.offered.max(queue.window.1) >= WINDOW.mul_f64(EXHAUSTED)
    }
}
