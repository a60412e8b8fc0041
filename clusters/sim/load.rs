//! A load on the simulated API servers.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use recoup_model::{
    observation::{Failure, FailureClass},
    spec::LoadVerb,
};
use tokio::time::sleep;

use super::{
    SimCluster,
    model::{apiserver::Request, raft::Entry, timing::ms},
};
use crate::{LoadRequest, LoadTarget};

/// As many as a load on a real cluster makes before its first request.
const STANDING: u64 = 32;
/// Namespace, objects and connections.
const PREPARED: Duration = ms(800);

/// See [`LoadTarget`].
pub(super) struct SimLoad {
    cluster: SimCluster,
    /// Objects that were created and not yet deleted.
    made: AtomicU64,
}

impl SimLoad {
    pub(super) async fn prepare(cluster: SimCluster) -> SimLoad {
        sleep(PREPARED).await;
        cluster.look().load_objects = STANDING;
        SimLoad { cluster, made: AtomicU64::new(0) }
    }

    /// One fewer; false where there was none.
    fn take(&self) -> bool {
        let fewer = |count: u64| count.checked_sub(1);
        self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }
}

#[async_trait]
impl LoadTarget for SimLoad {
    async fn send(&self, request: LoadRequest) -> Result<(), Failure> {
        let LoadRequest { connection, verb, number } = request;
        let stream = format!("load/{}", verb.name());
        let mut dice = self.cluster.dice(&stream, number);
        let (plane, queued) = {
            let mut world = self.cluster.look();
            let plane = usize::try_from(connection).unwrap_or(0) % world.planes.max(1);
            let queued = match world.listens(plane) {
                true => world.join_queue(plane, verb, &mut dice),
                false => Some(Duration::ZERO),
            };
            (plane, queued)
        };
        let Some(queued) = queued else {
            let message = "429 too many requests, please try again later";
            return Err(Failure::new(FailureClass::Throttled, message));
        };
        sleep(queued).await;
        let (asked, entry, typical) = match verb {
            LoadVerb::Watch => (Request::Cached, None, ms(2)),
            LoadVerb::List | LoadVerb::Get => (Request::Read, None, ms(3)),
            LoadVerb::Create | LoadVerb::Update | LoadVerb::Delete => {
                (Request::Write, Some(Entry::Other), ms(8))
            }
        };
        let half = self.cluster.half_latency(&stream, number, typical);
        let call = self.cluster.load_call(plane);
        self.cluster.exchange_unqueued(&call, asked, half, entry, |_| ()).await?;
        match verb {
            LoadVerb::Create => {
                self.made.fetch_add(1, Ordering::Relaxed);
                self.cluster.look().load_objects += 1;
            }
            LoadVerb::Delete if self.take() => {
                let mut world = self.cluster.look();
                world.load_objects = world.load_objects.saturating_sub(1);
            }
            _ => {}
        }
        Ok(())
    }

    async fn left(&self) -> Result<u64, Failure> {
        sleep(ms(10)).await;
        Ok(self.cluster.look().load_objects)
    }
}
