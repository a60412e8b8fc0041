//! Watchers of the write probes' objects, one per API server and one through the load balancer: what an
//! informer would be told during an experiment.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use recoup_clusters::Cluster;
use recoup_model::{
    event::{Event, WatchNews, read_back_name},
    observation::{Endpoint, Failure, Observation, Observed},
    plan::Stream,
};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep, timeout},
};

use crate::recorder::Recorder;

/// Between the end of a watch and the next try: short against the seconds in which an API server comes back,
/// long enough that a server that refuses is not hammered.
const REOPEN: Duration = Duration::from_millis(250);
/// Changes are recorded in groups of what was told within this time.
const FLUSH: Duration = Duration::from_millis(250);
/// A watcher may be behind by as long as this when the last write was acknowledged.
const CATCH_UP: Duration = Duration::from_secs(10);
/// Between two looks whether the watchers have caught up.
const LOOK: Duration = Duration::from_millis(100);

/// The watchers of one experiment; dropping it stops them. Nothing that they were told is lost by that.
#[must_use]
pub struct Watchers {
    tasks: JoinSet<()>,
    logs: Vec<Arc<Log>>,
    recorder: Recorder,
    streams: Vec<u32>,
}

impl Watchers {
    /// Starts a watcher through each endpoint that the plan's streams write through.
    pub fn start(streams: &[Stream], cluster: &Arc<dyn Cluster>, recorder: &Recorder) -> Watchers {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        let mut writes = Vec::new();
        for (index, stream) in (0_u32..).zip(streams) {
            if let Observation::ApiWrite { via, .. } = &stream.observation {
                endpoints.push(via.clone());
                writes.push(index);
            }
        }
        endpoints.sort();
        endpoints.dedup();
        let mut tasks = JoinSet::new();
        let mut logs = Vec::new();
        for endpoint in endpoints {
            let log = Arc::new(Log {
                through: read_back_name(&endpoint),
                recorder: recorder.clone(),
                state: Mutex::default(),
            });
            tasks.spawn(follow(Arc::clone(cluster), endpoint, Flushed(Arc::clone(&log))));
            tasks.spawn(flush(Flushed(Arc::clone(&log))));
            logs.push(log);
        }
        Watchers { tasks, logs, recorder: recorder.clone(), streams: writes }
    }

    /// Waits, for [`CATCH_UP`] at most, until every watcher was told of every acknowledged write. To be called when
    /// nothing writes any more.
    pub async fn catch_up(&self) {
        let written = self.recorder.experiment().into_iter().filter_map(|record| match record.event {
            Event::Sample(sample) if self.streams.contains(&sample.stream) => match sample.told {
                Some(Observed::Acknowledged { revision, .. }) => revision,
                _ => None,
            },
            _ => None,
        });
        let Some(last) = written.max() else { return };
        let caught_up = || self.logs.iter().all(|log| log.lock().known >= Some(last));
        let _ = timeout(CATCH_UP, async {
            while !caught_up() {
                sleep(LOOK).await;
            }
        })
        .await;
    }

    /// Stops them.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// One watcher's news on their way to the record.
struct Log {
    through: String,
    recorder: Recorder,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Told, and not recorded yet.
    pending: Vec<u64>,
    /// Everything up to here is known; none where it must list.
    known: Option<u64>,
    /// It is recorded as closed, and has not got anywhere since.
    closed: bool,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// News in the order in which they come, from one task at a time.
    fn tell(&self, news: WatchNews) {
        let mut state = self.lock();
        match &news {
            WatchNews::Changed { revisions } => {
                state.known = state.known.max(revisions.iter().copied().max());
                state.pending.extend(revisions);
                return;
            }
            WatchNews::Listed { revision } => state.known = Some(*revision),
            WatchNews::Bookmark { revision } => state.known = state.known.max(Some(*revision)),
            WatchNews::Expired => state.known = None,
            // An API server that refuses again and again is closed once.
            WatchNews::Closed { .. } if state.closed => return,
            WatchNews::Opened { .. } | WatchNews::Closed { .. } => {}
        }
        state.closed = matches!(news, WatchNews::Closed { .. });
        self.flush(&mut state);
        self.record(news);
    }

    fn flush(&self, state: &mut State) {
        if !state.pending.is_empty() {
            let revisions = std::mem::take(&mut state.pending);
            self.record(WatchNews::Changed { revisions });
        }
    }

    fn record(&self, news: WatchNews) {
        self.recorder.record(Event::Watched { through: self.through.clone(), news });
    }
}

/// A task's hold of a log: what is pending is recorded when it ends, in whatever way.
struct Flushed(Arc<Log>);

impl Drop for Flushed {
    fn drop(&mut self) {
        self.0.flush(&mut self.0.lock());
    }
}

async fn follow(cluster: Arc<dyn Cluster>, endpoint: Endpoint, log: Flushed) {
    loop {
        let after = log.0.lock().known;
        let ended: Result<(), Failure> = cluster.watch(&endpoint, after, &|news| log.0.tell(news)).await;
        log.0.tell(WatchNews::Closed { failure: ended.err() });
        sleep(REOPEN).await;
    }
}

async fn flush(log: Flushed) {
    let mut ticks = interval(FLUSH);
    ticks.reset_at(Instant::now() + FLUSH);
    loop {
        ticks.tick().await;
        log.0.flush(&mut log.0.lock());
    }
}
