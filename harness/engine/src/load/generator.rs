//! The schedule's tasks: one per connection, which sends its requests and takes their answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use recoup_clusters::{LoadRequest, LoadTarget};
use recoup_model::{
    load::{Due, Schedule, Slice},
    observation::{Failure, FailureClass},
};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::tally::Tally;
use crate::recorder::Clock;

/// Requests under way at a time. One that is due beyond it does not leave, and counts as not sent in time: with
/// answers that take 10 s that is a load of a thousand a second of which not one is answered.
pub const MOST_UNDER_WAY: usize = 10_000;

/// What a load came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that were due.
    pub due: u64,
    /// Those that left.
    pub sent: u64,
    /// Those that were answered well.
    pub answered: u64,
}

/// A load that is about to begin.
pub struct Generator {
    /// Where requests go.
    pub target: Arc<dyn LoadTarget>,
    /// When.
    pub schedule: Schedule,
    /// Over how many connections: request `n` takes connection `n` modulo this.
    pub connections: u32,
    /// From when a request is due until it counts as failed.
    pub timeout: Duration,
    /// The step, for the record.
    pub step: u32,
    /// The run's clock.
    pub clock: Clock,
    /// Ends the load at once.
    pub cancel: CancellationToken,
}

struct Shared {
    target: Arc<dyn LoadTarget>,
    schedule: Schedule,
    connections: u32,
    timeout: Duration,
    cancel: CancellationToken,
    begin: Instant,
    under_way: AtomicUsize,
    tally: Tally,
}

impl Generator {
    /// Sends all requests, counted from `begin`, and waits until each has ended; gives `record` every slice once all
    /// of its requests have. After a cancellation what is under way is dropped.
    ///
    /// # Errors
    /// Where a task of it panicked.
    pub async fn run(
        self,
        begin: Instant,
        record: impl Fn(Slice) + Send + Sync + 'static,
    ) -> Result<Totals, JoinError> {
        let Generator { target, schedule, connections, timeout, step, clock, cancel } = self;
        let tally = Tally::new(&schedule, step, clock.offset(begin), Box::new(record));
        let under_way = AtomicUsize::new(0);
        let connections = connections.max(1);
        let shared = Shared { target, schedule, connections, timeout, cancel, begin, under_way, tally };
        let shared = Arc::new(shared);
        let mut lanes = JoinSet::new();
        for connection in 0..connections {
            lanes.spawn(lane(Arc::clone(&shared), connection));
        }
        while let Some(ended) = lanes.join_next().await {
            ended?;
        }
        if !shared.cancel.is_cancelled() {
            shared.tally.finish();
        }
        Ok(shared.tally.totals())
    }
}

/// A connection's share of the schedule.
async fn lane(shared: Arc<Shared>, connection: u32) {
    let mut number = u64::from(connection);
    let mut next = shared.schedule.due(number);
    let mut under_way = FuturesUnordered::new();
    loop {
        while let Some(due) = next
            && shared.begin + due.at <= Instant::now()
        {
            if shared.under_way.fetch_add(1, Ordering::Relaxed) < MOST_UNDER_WAY {
                shared.tally.sent(due.slice, Instant::now() - (shared.begin + due.at));
                under_way.push(request(&shared, LoadRequest { connection, verb: due.verb, number }, due));
            } else {
                shared.under_way.fetch_sub(1, Ordering::Relaxed);
                shared.tally.unsent(due.slice);
            }
            number += u64::from(shared.connections);
            next = shared.schedule.due(number);
        }
        if next.is_none() && under_way.is_empty() {
            return;
        }
        let until = next.map(|due| shared.begin + due.at);
        tokio::select! {
            biased;
            () = shared.cancel.cancelled() => return,
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
            () = async { sleep_until(until.unwrap_or_else(Instant::now)).await }, if until.is_some() => {}
        }
    }
}

async fn request(shared: &Shared, request: LoadRequest, due: Due) {
    let at = shared.begin + due.at;
    let answer = match timeout_at(at + shared.timeout, shared.target.send(request)).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::new(FailureClass::Timeout, "no answer in time")),
    };
    shared.under_way.fetch_sub(1, Ordering::Relaxed);
    let ended = answer.map(|()| Instant::now() - at).map_err(|failure| failure.class);
    shared.tally.ended(due.slice, due.verb, ended);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use recoup_model::{load::VerbSlice, spec::LoadStep};

    use super::*;

    /// Answers after that time, counted from when it came; stalls whatever comes within a time until its end.
    struct Server {
        begin: Instant,
        takes: Duration,
        stall: (Duration, Duration),
    }

    #[async_trait]
    impl LoadTarget for Server {
        async fn send(&self, request: LoadRequest) -> Result<(), Failure> {
            let now = self.begin.elapsed();
            if now >= self.stall.0 && now < self.stall.1 {
                sleep_until(self.begin + self.stall.1).await;
            }
            tokio::time::sleep(self.takes).await;
            match request.number % 10 {
                3 => Err(Failure::new(FailureClass::Throttled, "429")),
                4 => Err(Failure::new(FailureClass::Observer, "it did not leave")),
                _ => Ok(()),
            }
        }

        async fn left(&self) -> Result<u64, Failure> {
            Ok(0)
        }
    }

    async fn run(rate: u32, takes: Duration, stall: (Duration, Duration)) -> (Totals, Vec<Slice>) {
        let text = format!(r#"{{"mix": {{"get": 1}}, "rate": "{rate}/s", "for": "4s", "timeout": "3s"}}"#);
        let load: LoadStep = serde_json::from_str(&text).unwrap();
        let clock = Clock::start();
        let begin = Instant::now();
        let slices = Arc::new(Mutex::new(Vec::new()));
        let generator = Generator {
            target: Arc::new(Server { begin, takes, stall }),
            schedule: Schedule::new(&load, 1),
            connections: 3,
            timeout: load.timeout.0,
            step: 1,
            clock,
            cancel: CancellationToken::new(),
        };
        let told = Arc::clone(&slices);
        let totals = generator.run(begin, move |slice| told.lock().unwrap().push(slice)).await.unwrap();
        let mut slices = slices.lock().unwrap().clone();
        slices.sort_by_key(|slice| slice.from);
        (totals, slices)
    }

    const NEVER: (Duration, Duration) = (Duration::MAX, Duration::MAX);

    #[tokio::test(start_paused = true)]
    async fn requests_leave_on_schedule_whatever_becomes_of_them() {
        let (totals, slices) = run(100, Duration::from_secs(2), NEVER).await;
        assert_eq!((totals.due, totals.sent, totals.answered), (400, 360, 320), "a tenth does not leave");
        assert_eq!(slices.len(), 4);
        for slice in &slices {
            let all: Vec<&VerbSlice> = slice.verbs.values().collect();
            assert_eq!((slice.due, slice.sent, slice.late), (100, 90, 0));
            assert_eq!((all[0].answered, all[0].throttled, all[0].failures()), (80, 10, 0));
            let median = all[0].times.permille(500).unwrap().0;
            assert!(median >= Duration::from_secs(2) && median < Duration::from_millis(2070), "{median:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_of_a_second_shows_in_every_request_that_was_due_in_it() {
        let stall = (Duration::from_secs(1), Duration::from_secs(2));
        let (_, slices) = run(100, Duration::from_millis(1), stall).await;
        let longest = |slice: &Slice, permille| {
            slice.verbs.values().next().and_then(|verb| verb.times.permille(permille)).unwrap().0
        };
        assert!(longest(&slices[1], 1000) >= Duration::from_secs(1));
        // The requests of the stall waited for the rest of it each: evenly from a second to nothing.
        let middle = longest(&slices[1], 500);
        assert!(middle > Duration::from_millis(450) && middle < Duration::from_millis(550), "{middle:?}");
        assert!(longest(&slices[2], 1000) < Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_beyond_the_bound_is_counted_and_not_sent() {
        let (totals, slices) = run(5000, Duration::from_secs(60), NEVER).await;
        // Nothing is answered for three seconds: then they fail, and others may leave.
        let unsent: u64 = slices.iter().map(|slice| slice.due - slice.sent).sum();
        assert_eq!(totals.due, 20_000);
        assert_eq!(totals.due - totals.sent, unsent);
        // The runtime's timers have a resolution of 1 ms, in which 5 are due: so many may be counted with a neighbour.
        let early: u64 = slices[..2].iter().map(|slice| slice.sent).sum();
        assert!((9_995..=10_000).contains(&early), "{early} are under way");
        assert!(slices[2].sent <= 10, "{} left beyond the bound", slices[2].sent);
        let failed: u64 = slices.iter().flat_map(|slice| slice.verbs.values()).map(VerbSlice::failures).sum();
        assert_eq!(failed, totals.sent, "each ends, and none is retried");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_load_ends_at_once() {
        let text = r#"{"mix": {"get": 1}, "rate": "100/s", "for": "60s"}"#;
        let load: LoadStep = serde_json::from_str(text).unwrap();
        let (clock, begin, cancel) = (Clock::start(), Instant::now(), CancellationToken::new());
        let generator = Generator {
            target: Arc::new(Server { begin, takes: Duration::from_secs(5), stall: NEVER }),
            schedule: Schedule::new(&load, 1),
            connections: 2,
            timeout: load.timeout.0,
            step: 1,
            clock,
            cancel: cancel.clone(),
        };
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            cancel.cancel();
        });
        let totals = generator.run(begin, |_| {}).await.unwrap();
        assert!(begin.elapsed() < Duration::from_millis(2100) && totals.sent <= 201, "{totals:?}");
    }
}
