//! Processes of the nodes: signals, ends, and who starts them again.

use std::time::Duration;

use recoup_model::action::{Process, ProcessId, Signal};

use super::{Event, Fact, World, timing};

/// A component's place on a node.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// The process, while there is one.
    pub(crate) running: Option<Running>,
    /// The manifest is aside, or the unit stopped.
    pub(crate) held: bool,
    /// When the kubelet acts on a manifest that was moved aside.
    pub(crate) remove_at: Option<Duration>,
    /// When the kubelet acts on a manifest that was changed.
    pub(crate) replace_at: Option<Duration>,
    /// The manifest has just come (back): no back-off.
    pub(crate) fresh: bool,
    pub(crate) exited: Duration,
    pub(crate) start_at: Option<Duration>,
    pub(crate) back_off: BackOff,
}

/// A process.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: ProcessId,
    pub(crate) since: Duration,
    /// From when it does its work.
    pub(crate) ready: Duration,
    pub(crate) stopped: bool,
    pub(crate) frozen_since: Option<Duration>,
    /// It was asked to end.
    pub(crate) ending: bool,
    /// SIGTERM reached it while stopped.
    pub(crate) pending: bool,
    /// Liveness gave up on it: SIGKILL follows then.
    pub(crate) kill_at: Option<Duration>,
}

/// The kubelet's back-off for one container.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BackOff {
    value: Duration,
    updated: Option<Duration>,
    /// When the container ended last.
    ended: Option<Duration>,
}

impl BackOff {
    /// How long after its end a container that ended at `exited` may start again.
    pub(crate) fn next(&mut self, exited: Duration) -> Duration {
        let fresh = self.updated.is_none_or(|at| exited.saturating_sub(at) > timing::BACK_OFF_RESET);
        let wait = if fresh { Duration::ZERO } else { self.value };
        self.value = if fresh { timing::BACK_OFF } else { (self.value * 2).min(timing::BACK_OFF_MAX) };
        self.updated = Some(exited + wait);
        self.ended = Some(exited);
        wait
    }

    /// When the container ended, where a next start would be delayed for that.
    pub(crate) fn ended(&self, now: Duration) -> Option<Duration> {
        let updated = self.updated.filter(|at| now.saturating_sub(*at) <= timing::BACK_OFF_RESET)?;
        Some(self.ended.unwrap_or(updated))
    }

    /// Forgets everything; true where there was something.
    pub(crate) fn forget(&mut self) -> bool {
        std::mem::take(self).updated.is_some()
    }
}

/// From a process's start to its work; with the kubelet's notice these add up to the measured restarts
/// (etcd 1.3 s, API server 5.7 s, scheduler 0.8 s, kubelet 2.1 s).
fn start_up(process: Process) -> Duration {
    timing::ms(match process {
        Process::Etcd => 600,
        Process::KubeApiserver => 5000,
        Process::KubeControllerManager => 600,
        Process::KubeScheduler => 400,
        Process::Kubelet => 1100,
        Process::KubeProxy => 700,
        Process::Containerd => 500,
    })
}

/// systemd runs it rather than a kubelet.
fn by_systemd(process: Process) -> bool {
    matches!(process, Process::Kubelet | Process::Containerd)
}

impl World {
    pub(crate) fn running(&self, node: usize, process: Process) -> Option<&Running> {
        self.nodes[node].slots.get(&process)?.running.as_ref()
    }

    pub(crate) fn pid(&self, node: usize, process: Process) -> Option<u32> {
        self.running(node, process).map(|r| r.id.pid)
    }

    /// There is a process, and it does not move.
    pub(crate) fn frozen(&self, node: usize, process: Process) -> bool {
        self.running(node, process).is_some_and(|r| r.stopped || self.nodes[node].paused)
    }

    /// There is a process, it moves and has finished starting.
    pub(crate) fn works(&self, node: usize, process: Process) -> bool {
        !self.nodes[node].paused
            && self.running(node, process).is_some_and(|r| !r.stopped && self.now >= r.ready)
    }

    pub(crate) fn start(&mut self, node: usize, process: Process) {
        let now = self.now;
        let id = self.new_process(node);
        let ready = now + start_up(process);
        let pid = id.pid;
        let Some(slot) = self.nodes[node].slots.get_mut(&process) else { return };
        slot.running = Some(Running {
            id,
            since: now,
            ready,
            stopped: false,
            frozen_since: None,
            ending: false,
            pending: false,
            kill_at: None,
        });
        slot.start_at = None;
        slot.replace_at = None;
        slot.fresh = false;
        self.tell(Fact::ProcessStarted { node, process });
        match process {
            Process::Etcd => self.raft_start(node, pid, ready),
            Process::KubeApiserver => self.apis[node] = super::apiserver::ApiServer::default(),
            Process::KubeControllerManager => self.elector_start(0, node, pid, ready),
            Process::KubeScheduler => self.elector_start(1, node, pid, ready),
            Process::Kubelet => {
                self.forget_back_off(node);
                self.push(ready, Event::Kubelet { node, pid });
            }
            Process::KubeProxy | Process::Containerd => {}
        }
    }

    /// The process is gone, however it ended.
    pub(crate) fn end(&mut self, node: usize, process: Process) {
        let now = self.now;
        let Some(slot) = self.nodes[node].slots.get_mut(&process) else { return };
        if slot.running.take().is_some() {
            slot.exited = now;
            slot.start_at = None;
            slot.remove_at = None;
            self.tell(Fact::ProcessEnded { node, process });
        }
    }

    /// Sends a signal to the process in that slot; false where there is none or nothing changed.
    pub(crate) fn signal(&mut self, node: usize, process: Process, signal: Signal) -> bool {
        let now = self.now;
        let paused = self.nodes[node].paused;
        let Some(run) = self.nodes[node].slots.get_mut(&process).and_then(|slot| slot.running.as_mut())
        else {
            return false;
        };
        match signal {
            Signal::Kill => self.end(node, process),
            Signal::Term if run.stopped => run.pending = true,
            Signal::Term => self.terminate(node, process),
            Signal::Stop if run.stopped => return false,
            Signal::Stop => {
                run.stopped = true;
                run.frozen_since.get_or_insert(now);
            }
            Signal::Cont if !run.stopped => return false,
            Signal::Cont => {
                run.stopped = false;
                if !paused {
                    run.frozen_since = None;
                }
                if std::mem::take(&mut run.pending) {
                    self.terminate(node, process);
                }
            }
        }
        true
    }

    /// What a process does on SIGTERM.
    pub(crate) fn terminate(&mut self, node: usize, process: Process) {
        let Some(run) = self.nodes[node].slots.get_mut(&process).and_then(|slot| slot.running.as_mut())
        else {
            return;
        };
        if std::mem::replace(&mut run.ending, true) {
            return;
        }
        let pid = run.id.pid;
        let after = match process {
            Process::Etcd => {
                self.raft_hand_over(node);
                timing::ETCD_EXIT
            }
            Process::KubeApiserver => timing::API_SHUTDOWN,
            Process::KubeScheduler => {
                self.release(1, node);
                timing::ms(50)
            }
            _ => timing::ms(50),
        };
        self.push(self.now + after, Event::Exit { node, process, pid });
    }

    pub(crate) fn pause(&mut self, node: usize, paused: bool) -> bool {
        if self.nodes[node].paused == paused {
            return false;
        }
        let now = self.now;
        self.nodes[node].paused = paused;
        for run in self.nodes[node].slots.values_mut().filter_map(|slot| slot.running.as_mut()) {
            match paused {
                true => run.frozen_since = run.frozen_since.or(Some(now)),
                false if !run.stopped => run.frozen_since = None,
                false => {}
            }
        }
        true
    }

    /// Kubelets and systemd start what has ended, and kubelets end what liveness has given up.
    pub(crate) fn supervise(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].paused {
                continue;
            }
            let kubelet = self.works(node, Process::Kubelet) && self.works(node, Process::Containerd);
            let processes: Vec<Process> = self.nodes[node].slots.keys().copied().collect();
            for process in processes {
                if self.running(node, process).is_none() {
                    self.restart(node, process, kubelet);
                } else if kubelet && !by_systemd(process) {
                    self.watch_over(node, process);
                }
            }
        }
    }

    fn restart(&mut self, node: usize, process: Process, kubelet: bool) {
        let now = self.now;
        let notice = self.dice.clone().between(timing::NOTICE);
        let exited = self.nodes[node].slots.get(&process).map_or(now, |slot| slot.exited);
        let returns = self.unit_returns(node, process, exited);
        let Some(slot) = self.nodes[node].slots.get_mut(&process) else { return };
        if slot.held {
            slot.start_at = None;
        }
        if slot.held || !(by_systemd(process) || kubelet) {
            return;
        }
        match slot.start_at {
            Some(at) if now >= at => self.start(node, process),
            Some(_) => {}
            None if by_systemd(process) => slot.start_at = returns,
            None => {
                // Drawn on a copy before borrowing, and spent only here: idle looks cost no randomness.
                let wait = if slot.fresh { Duration::ZERO } else { slot.back_off.next(slot.exited) };
                slot.start_at = Some((now + notice).max(slot.exited + wait + timing::ms(100)));
                self.dice.next();
            }
        }
    }

    /// Manifests moved aside, and liveness.
    fn watch_over(&mut self, node: usize, process: Process) {
        let now = self.now;
        let failing = process == Process::KubeApiserver
            && self.apis[node].etcd_lost.is_some_and(|at| now >= at + timing::LIVENESS_FAILING);
        let Some(slot) = self.nodes[node].slots.get_mut(&process) else { return };
        let (held, remove_at, replace_at) = (slot.held, slot.remove_at, slot.replace_at);
        let Some(run) = slot.running.as_mut() else { return };
        let frozen = process != Process::KubeProxy
            && run.frozen_since.is_some_and(|at| now >= at + timing::LIVENESS_FROZEN);
        let removed =
            (held && remove_at.is_some_and(|at| now >= at)) || replace_at.is_some_and(|at| now >= at);
        if run.kill_at.is_some_and(|at| now >= at) {
            self.end(node, process);
        } else if run.kill_at.is_none() && (frozen || failing || removed) {
            run.kill_at = Some(now + timing::GRACE);
            self.signal(node, process, Signal::Term);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_to_five_minutes_and_is_forgotten_after_ten() {
        let mut back_off = BackOff::default();
        let mut exited = Duration::from_secs(1);
        let waits: Vec<u64> = (0..8)
            .map(|_| {
                let wait = back_off.next(exited);
                exited += wait + Duration::from_secs(5);
                wait.as_secs()
            })
            .collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(back_off.next(exited + Duration::from_secs(601)), Duration::ZERO);
    }
}
