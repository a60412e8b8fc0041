//! A watcher of the write probes' objects, and the log of what components wrote.

use std::time::Duration;

use recoup_model::{
    action::Process,
    event::WatchNews,
    observation::{Conn, Endpoint, Failure, FailureClass},
};
use tokio::time::{sleep, timeout};

use super::{
    SimCluster,
    cluster::{ASK, timed_out},
    model::{
        World,
        apiserver::{Flight, Outcome, Request},
        lease::ELECTED,
        network::Party,
        timing::{self, ms},
    },
};
use crate::{Acted, Tell};

/// Reading a log takes a `docker exec` (0.1 s, measured).
const READ_LOG: Duration = ms(100);

/// A watch that is under way.
struct Watch {
    flight: Flight,
    /// Asked for; told up to here once it is open.
    revision: u64,
    opened: Option<Duration>,
    bookmarked: Duration,
}

impl SimCluster {
    pub(super) async fn watched(
        &self,
        through: &Endpoint,
        after: Option<u64>,
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        let call = self.call(through, Conn::New, 0)?;
        let key = call.key;
        let half = self.half_latency("watch", after.unwrap_or_default(), ms(5));
        let revision = match after {
            Some(revision) => revision,
            None => {
                let list = self.exchange(&call, Request::Read, half, None, |world| world.revision_for(key));
                let listed = timeout(ASK, list).await.unwrap_or_else(|_| Err(timed_out(ASK)))?;
                let revision = listed.ok_or_else(|| Failure::new(FailureClass::Reset, "no server"))?;
                tell(WatchNews::Listed { revision });
                revision
            }
        };
        sleep(half).await;
        let now = self.look().now;
        let mut watch = Watch { flight: Flight::at(now), revision, opened: None, bookmarked: now };
        loop {
            let over = {
                let mut world = self.look();
                match world.ask(key, call.via, Party::Outside, Request::Cached, &mut watch.flight) {
                    Outcome::Waiting => None,
                    Outcome::Good => {
                        world.backend(key).and_then(|backend| watch.goes_on(&world, backend, tell))
                    }
                    Outcome::Failed(failure) => Some(watch.broken(&world, failure)),
                }
            };
            if let Some(over) = over {
                return over;
            }
            sleep(timing::LOOP).await;
        }
    }

    pub(super) async fn logged(&self, last: Duration) -> Result<Vec<Acted>, Failure> {
        let asked = self.look().now;
        sleep(READ_LOG).await;
        let world = self.look();
        if let Some(paused) = world.nodes[..world.planes].iter().find(|node| node.paused) {
            let message = format!("the audit log on {}: the container is paused", paused.name);
            return Err(Failure::new(FailureClass::Observer, message));
        }
        let acts = world.acts.iter().filter(|act| act.at + last >= asked && act.at <= asked);
        let acted = acts.map(|act| Acted {
            lease: ELECTED[act.component].1.to_owned(),
            node: world.nodes[act.node].name.clone(),
            ago: asked - act.at,
            verb: act.verb.to_owned(),
            object: act.object.clone(),
        });
        Ok(acted.collect())
    }
}

impl Watch {
    /// Tells what is new; the end of the watch where the server ends it.
    fn goes_on(&mut self, world: &World, backend: usize, tell: Tell<'_>) -> Option<Result<(), Failure>> {
        let opened = match self.opened {
            Some(opened) => opened,
            None if self.revision < world.apis[backend].cache_from => {
                tell(WatchNews::Expired);
                return Some(Ok(()));
            }
            None => {
                tell(WatchNews::Opened { after: self.revision });
                self.bookmarked = world.now;
                *self.opened.insert(world.now)
            }
        };
        let known = world.revision(backend);
        // A member that was down may know less than another did that was asked before.
        if known > self.revision {
            let revisions = world.written(self.revision, known);
            self.revision = known;
            if !revisions.is_empty() {
                tell(WatchNews::Changed { revisions });
            }
        }
        if world.now >= self.bookmarked + timing::BOOKMARK {
            self.bookmarked = world.now;
            tell(WatchNews::Bookmark { revision: self.revision });
        }
        (world.now >= opened + timing::WATCH_ENDS).then_some(Ok(()))
    }

    /// A server that shuts down in order ends its watches so.
    fn broken(&self, world: &World, failure: Failure) -> Result<(), Failure> {
        let ending = self.flight.bound.is_some_and(|(backend, pid)| {
            let run = world.running(backend, Process::KubeApiserver);
            run.is_some_and(|run| run.id.pid == pid && run.ending)
        });
        if ending && self.opened.is_some() { Ok(()) } else { Err(failure) }
    }
}
