//! What the scripts ask of `tc` and `iptables`, told by stand-ins: few kernels that tests run on have netem. How it
//! then behaves is asked of a real node by the conformance body.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use recoup_model::{
    action::NodeAction,
    degrade::{SlowMeans, SlowRule},
    quantity::{Bitrate, Percent},
    time::Span,
};

use super::script;
use crate::kind::copy;

/// Notes what it is asked, and knows whether something was laid at the root.
const TC: &str = r#"echo "tc $*" >> "$LAB/asked"
case "$*" in
    "-s qdisc show "*) printf 'qdisc netem 7266: parent 7265:4 limit 20000\n Sent 420 bytes 6 pkt (dropped 1, overlimits 0 requeues 0)\n' ;;
    "qdisc show "*) [ -e "$LAB/laid" ] && echo "qdisc prio 7265: root refcnt 2 bands 4" || cat "$LAB/before" ;;
    "qdisc add dev "*" root "*) touch "$LAB/laid" ;;
    "qdisc del dev "*" root") rm "$LAB/laid" ;;
    *netem*) [ ! -e "$LAB/refuses" ] ;;
esac
"#;
const SAVE: &str = r#"[ ! -e "$LAB/rules" ] || cat "$LAB/rules""#;
/// Adds what is inserted; forgets all where something is deleted.
const RESTORE: &str = r#"while read -r line; do
    echo "$line" >> "$LAB/asked"
    case $line in
        -I*) echo "[0:0] $line" | sed 's/-I \([A-Z]*\) 1/-A \1/' >> "$LAB/rules" ;;
        -D*) : > "$LAB/rules" ;;
    esac
done
"#;

struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Lab {
        let lab = Lab(tempfile::tempdir().unwrap());
        let tools = [
            ("tc", TC),
            ("iptables-save", SAVE),
            ("iptables-restore", RESTORE),
            ("ip6tables-save", "exit 1"),
            ("unshare", ""),
        ];
        for (name, text) in tools {
            lab.write("text", &format!("#!/bin/sh\n{text}"));
            let tool = lab.path().join(name);
            copy(&lab.path().join("text"), &tool);
            fs::set_permissions(tool, fs::Permissions::from_mode(0o755)).unwrap();
        }
        lab.write("before", "qdisc noqueue 0: root refcnt 2\n");
        lab
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// Whether it ended well, and what it printed; the node's folders are below the lab's.
    fn run(&self, action: &NodeAction) -> (bool, String) {
        let script = script(action).unwrap();
        let argv = script.argv();
        let lab = self.path().display().to_string();
        let text =
            argv[2].replace("/run/recoup", &format!("{lab}/run")).replace("/var/lib/", &format!("{lab}/"));
        let output = Command::new("sh")
            .args(["-c", &text])
            .args(&argv[3..])
            .env("LAB", &lab)
            .env("PATH", format!("{lab}:{}", std::env::var("PATH").unwrap_or_default()))
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.path().join("asked")).unwrap_or_default()
    }
}

fn add() -> NodeAction {
    let rule = SlowRule {
        tag: "run-1".into(),
        peers: vec!["172.18.0.7".into()],
        ports: vec![2380],
        delay: Span::millis(100),
        jitter: Span::millis(10),
        loss: Percent(10_000),
        bandwidth: Some(Bitrate(1_000_000)),
    };
    NodeAction::SlowAdd { rule, life: Span::seconds(60), seed: 1, by: Some(SlowMeans::Netem) }
}

#[test]
fn netem_is_laid_into_a_class_of_its_own_and_taken_away_whole() {
    let lab = Lab::new();
    assert_eq!(lab.run(&add()), (true, "how netem\nchanged\n".into()), "{}", lab.asked());
    let asked = lab.asked();
    for wanted in [
        " root handle 7265: prio bands 4\n",
        " parent 7265:4 handle 7266: netem limit 20000 delay 100000us 10000us loss random 1.0000% rate 1000000bit\n",
        " parent 7265: protocol all prio 1 handle 0x100000/0x100000 fw classid 7265:4\n",
        "-d 172.18.0.7 -p tcp --sport 2380 -m comment --comment recoup:run-1 -j MARK --set-xmark 0x100000/0x100000\n",
        "-d 172.18.0.7 -p tcp --dport 2380 -m comment --comment recoup:run-1 -j MARK --set-xmark 0x100000/0x100000\n",
    ] {
        assert!(asked.contains(wanted), "{wanted:?} was not asked: {asked}");
    }
    assert!(asked.contains("-I POSTROUTING 1 -o "), "{asked}");
    let tag = || "run-1".to_owned();
    let counted = lab.run(&NodeAction::SlowCount { tag: tag() });
    assert_eq!(counted, (true, "how netem\nslowed 6 1 0 0 0 0\n".into()));
    let removed = lab.run(&NodeAction::SlowRemove { tag: tag() });
    assert_eq!(removed, (true, "changed\nchanged\nslowed 6 1 0 0 0 0\n".into()), "{}", lab.asked());
    assert!(!lab.path().join("laid").exists() && !lab.path().join("run").exists());
    assert_eq!(lab.run(&NodeAction::SlowRemove { tag: tag() }), (true, String::new()), "removed twice");
}

#[test]
fn a_queueing_discipline_of_somebody_elses_is_left_alone() {
    let lab = Lab::new();
    lab.write("before", "qdisc tbf 8001: root refcnt 2 rate 1Mbit\n");
    assert!(!lab.run(&add()).0, "netem was laid over it");
    let asked = lab.asked();
    assert!(!asked.contains("qdisc add") && !asked.contains("qdisc del"), "{asked}");
    assert!(!lab.path().join("run").exists(), "something is left");
}

#[test]
fn what_is_laid_by_half_is_taken_away() {
    let lab = Lab::new();
    lab.write("refuses", "");
    assert!(!lab.run(&add()).0, "netem refused");
    assert!(!lab.path().join("laid").exists() && !lab.path().join("run").exists(), "{}", lab.asked());
}
