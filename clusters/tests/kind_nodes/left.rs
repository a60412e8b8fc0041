//! What is left behind on a node, and what a node undoes by itself.

use std::collections::BTreeMap;

use recoup_model::time::Span;

use super::*;

const SCHEDULER: Process = Process::KubeScheduler;
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-scheduler.yaml";

impl Bed {
    async fn survey(&self, node: &Container) -> Vec<String> {
        self.nodes.act(&node.name, &NodeAction::Survey).await.unwrap_or_else(|error| panic!("{error}")).survey
    }

    /// Until the node is as it was: a unit takes a moment to start, an undo of its own its time.
    async fn as_before(&self, node: &Container, before: &[String], what: &str) -> Duration {
        let began = Instant::now();
        loop {
            let now = self.survey(node).await;
            if now == before {
                println!("          {} is as before {:?} after {what}", node.name, began.elapsed());
                return began.elapsed();
            }
            assert!(began.elapsed() < Duration::from_secs(40), "after {what}: {now:#?}, before: {before:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Until the scheduler runs. Its kubelet first forgets that it was ended so often: a static pod that is put
    /// back keeps its restart back-off.
    async fn scheduler_runs(&self) {
        let restart = NodeAction::UnitRestart { unit: Unit::Kubelet };
        self.nodes.act(&self.control_plane.name, &restart).await.expect("restarted");
        let began = Instant::now();
        loop {
            let seen = self.nodes.act(&self.control_plane.name, &INSPECT(SCHEDULER)).await.expect("looked");
            if !seen.processes.is_empty() {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{SCHEDULER} does not run");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Every fault that is undone, with its undo.
    async fn faults(&self) -> Vec<(Container, NodeAction, NodeAction)> {
        self.scheduler_runs().await;
        let only = Some(self.the_one(&self.control_plane, SCHEDULER).await.id);
        let signal = |signal, only: &Option<ProcessId>| NodeAction::Signal {
            process: SCHEDULER,
            signal,
            only: only.clone(),
        };
        let (pod, unit) = (StaticPod::KubeScheduler, Unit::Kubelet);
        let rule = DropRule { tag: "test-left".into(), peers: vec!["192.0.2.1".into()], ports: vec![1] };
        let tag = rule.tag.clone();
        let (plane, worker) = (&self.control_plane, &self.worker);
        let settings = BTreeMap::from([("Restart".to_owned(), "no".to_owned())]);
        vec![
            (plane.clone(), signal(Signal::Stop, &only), signal(Signal::Cont, &only)),
            (worker.clone(), NodeAction::DropAdd { rule }, NodeAction::DropRemove { tag }),
            (worker.clone(), NodeAction::UnitStop { unit }, NodeAction::UnitStart { unit }),
            (worker.clone(), NodeAction::Pause, NodeAction::Unpause),
            (
                worker.clone(),
                NodeAction::UnitOverride { unit, settings },
                NodeAction::UnitOverrideRemove { unit },
            ),
            (
                plane.clone(),
                NodeAction::StaticPodHold { pod, kill: true },
                NodeAction::StaticPodRestore { pod },
            ),
        ]
    }
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn a_survey_shows_every_fault_until_it_is_undone_and_nothing_else() {
    let bed = Bed::find().await;
    for (node, deed, undo) in bed.faults().await {
        let before = bed.survey(&node).await;
        assert_eq!(bed.survey(&node).await, before, "an undisturbed node");
        bed.act(&node, deed.clone()).await;
        let during = bed.survey(&node).await;
        let new: Vec<&String> = during.iter().filter(|line| !before.contains(line)).collect();
        println!("          {}: {new:?}", deed.name());
        assert!(!new.is_empty(), "{} is not seen: {during:#?}", deed.name());
        assert!(bed.act(&node, undo.clone()).await.changed);
        bed.as_before(&node, &before, &undo.name()).await;
        bed.scheduler_runs().await;
    }
    println!("{:#?}", bed.survey(&bed.control_plane).await);
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn a_fault_is_undone_by_its_deadline_when_nobody_else_does() {
    let bed = Bed::find().await;
    for (number, (node, deed, undo)) in bed.faults().await.into_iter().enumerate() {
        let before = bed.survey(&node).await;
        let id = format!("test-{number}");
        let set =
            NodeAction::DeadlineSet { id: id.clone(), after: Span::seconds(4), undo: Box::new(undo.clone()) };
        let how = bed.act(&node, set).await.how.expect("it is said how");
        let expected = if undo == NodeAction::Unpause {
            "process on the machine of the harness"
        } else {
            "systemd timer"
        };
        assert_eq!(how, expected);
        bed.act(&node, deed).await;
        let took = bed.as_before(&node, &before, &undo.name()).await;
        assert!(took > Duration::from_secs(1), "undone at once by whom? {took:?}");
        assert!(!bed.act(&node, undo).await.changed, "undone twice");
        assert!(!bed.act(&node, NodeAction::DeadlineClear { id }).await.changed, "over is over");
        bed.as_before(&node, &before, "clearing what is over").await;
        bed.scheduler_runs().await;
    }
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn a_deadline_that_was_called_off_does_nothing() {
    let bed = Bed::find().await;
    for (number, (node, deed, undo)) in bed.faults().await.into_iter().enumerate() {
        let before = bed.survey(&node).await;
        let id = format!("test-off-{number}");
        let set = |seconds| NodeAction::DeadlineSet {
            id: id.clone(),
            after: Span::seconds(seconds),
            undo: Box::new(undo.clone()),
        };
        bed.act(&node, set(3600)).await;
        // The second takes the place of the first.
        bed.act(&node, set(2)).await;
        bed.act(&node, deed).await;
        assert!(
            bed.act(&node, NodeAction::DeadlineClear { id: id.clone() }).await.changed
                || undo != NodeAction::Unpause
        );
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(3500) {
            assert_ne!(bed.survey(&node).await, before, "{} was undone", undo.name());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(bed.act(&node, undo.clone()).await.changed);
        bed.as_before(&node, &before, &undo.name()).await;
        bed.scheduler_runs().await;
    }
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn without_timers_of_systemd_a_shell_waits() {
    let bed = Bed::find().await;
    let before = bed.survey(&bed.worker).await;
    let hide = "p=$(command -v systemd-run) && mv \"$p\" /usr/local/hidden-systemd-run && echo \"$p\"";
    let path = bed.docker.shell(&bed.worker.name, hide).await.expect("hidden");
    let id = "test-shell".to_owned();
    let only = Some(bed.the_one(&bed.worker, Process::KubeProxy).await.id);
    let signal = |signal| NodeAction::Signal { process: Process::KubeProxy, signal, only: only.clone() };
    let set = |seconds| NodeAction::DeadlineSet {
        id: id.clone(),
        after: Span::seconds(seconds),
        undo: Box::new(signal(Signal::Cont)),
    };
    let first = bed.act(&bed.worker, set(3)).await;
    let restored = bed
        .docker
        .shell(&bed.worker.name, &format!("mv /usr/local/hidden-systemd-run {}", path.trim()))
        .await;
    restored.expect("restored");
    assert_eq!(first.how.as_deref(), Some("detached shell"));
    bed.act(&bed.worker, signal(Signal::Stop)).await;
    let took = bed.as_before(&bed.worker, &before, "its deadline").await;
    assert!(took > Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn an_overridden_unit_stays_down_until_the_override_is_removed() {
    let bed = Bed::find().await;
    let (unit, process) = (Unit::Kubelet, Process::Kubelet);
    let settings = BTreeMap::from([("Restart".to_owned(), "no".to_owned())]);
    let before = bed.the_one(&bed.worker, process).await;
    for _ in 0..2 {
        bed.act(&bed.worker, NodeAction::UnitOverride { unit, settings: settings.clone() }).await;
    }
    assert_eq!(bed.the_one(&bed.worker, process).await.id, before.id, "nothing is restarted");
    bed.act(&bed.worker, NodeAction::Signal { process, signal: Signal::Kill, only: None }).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        let found = bed.nodes.act(&bed.worker.name, &INSPECT(process)).await.expect("looked");
        assert!(found.processes.is_empty(), "systemd restarted it: {found:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(bed.act(&bed.worker, NodeAction::UnitOverrideRemove { unit }).await.changed);
    let after = bed.back(&bed.worker, process, &before.id).await;
    assert!(!bed.act(&bed.worker, NodeAction::UnitOverrideRemove { unit }).await.changed, "removed twice");
    let restarted = bed.act(&bed.worker, NodeAction::UnitRestart { unit }).await;
    assert!(restarted.changed && restarted.processes[0].id != after.id, "{restarted:?}");
    let strange = BTreeMap::from([("Restart".to_owned(), "no\nExecStart=/bin/false".to_owned())]);
    let refused =
        bed.nodes.act(&bed.worker.name, &NodeAction::UnitOverride { unit, settings: strange }).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn flags_of_a_static_pod_are_changed_added_and_put_back() {
    let bed = Bed::find().await;
    let (pod, node) = (StaticPod::KubeScheduler, &bed.control_plane);
    bed.scheduler_runs().await;
    let original = bed.docker.read_file(&node.name, MANIFEST).await.expect("a manifest");
    let survey = bed.survey(node).await;
    let before = bed.the_one(node, SCHEDULER).await;
    let args = |pairs: &[(&str, &str)]| NodeAction::ManifestArgs {
        pod,
        args: pairs.iter().map(|(flag, value)| ((*flag).to_owned(), (*value).to_owned())).collect(),
    };
    bed.act(node, args(&[("leader-elect", "true"), ("leader-elect-lease-duration", "60s")])).await;
    bed.act(node, args(&[("leader-elect-lease-duration", "61s")])).await;
    let changed = bed.docker.read_file(&node.name, MANIFEST).await.expect("a manifest");
    assert_ne!(bed.survey(node).await, survey, "other flags do not show");
    let (old, new) =
        (String::from_utf8_lossy(&original).into_owned(), String::from_utf8_lossy(&changed).into_owned());
    let added: Vec<&str> = new.lines().filter(|line| !old.lines().any(|other| other == *line)).collect();
    assert_eq!(added, ["    - --leader-elect-lease-duration=61s"]);
    assert_eq!(new.lines().count(), old.lines().count() + 1);
    let running = bed.back(node, SCHEDULER, &before.id).await;
    let command = format!("tr '\\0' ' ' < /proc/{}/cmdline", running.id.pid);
    let command = bed.docker.shell(&node.name, &command).await.unwrap_or_default();
    println!("          {command}");
    let listed =
        bed.docker.shell(&node.name, "ls -a /etc/kubernetes/manifests | sort").await.expect("listed");
    assert!(!listed.contains("recoup"), "nothing of ours in the kubelet's folder: {listed}");
    for wrong in [("a b", "c"), ("v", "two words"), ("v", "a: b"), ("v", "x\n- y")] {
        assert!(bed.nodes.act(&node.name, &args(&[wrong])).await.is_err(), "{wrong:?} was taken");
    }
    assert!(bed.act(node, NodeAction::ManifestRestore { pod }).await.changed);
    assert!(!bed.act(node, NodeAction::ManifestRestore { pod }).await.changed, "restored twice");
    assert_eq!(bed.docker.read_file(&node.name, MANIFEST).await.expect("back"), original);
    bed.back(node, SCHEDULER, &running.id).await;
    bed.as_before(node, &survey, "the return of the flags").await;
}
