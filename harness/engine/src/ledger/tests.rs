//! What a ledger keeps through deaths and full disks.

use super::*;

fn arm(ledger: &Ledger, node: &str) -> u64 {
    ledger.arm(ProviderKind::Kind, "c", node, 1, NodeAction::Unpause, false).unwrap().id
}

#[test]
fn what_was_armed_and_not_done_is_found_by_the_next_process_latest_first() {
    let runs = tempfile::tempdir().unwrap();
    let dir = runs.path().join("run");
    std::fs::create_dir(&dir).unwrap();
    let ledger = Ledger::open(&dir).unwrap();
    let (a, _b, _c) = (arm(&ledger, "a"), arm(&ledger, "b"), arm(&ledger, "c"));
    ledger.done(a).unwrap();
    assert!(matches!(Ledger::open(&dir), Err(LedgerError::Busy { .. })), "a live run's ledger was opened");
    assert!(unhealed(runs.path()).unwrap().is_empty(), "a live run was listed");
    drop(ledger);
    let found = unhealed(runs.path()).unwrap();
    let nodes: Vec<_> = found[0].1.pending().into_iter().map(|entry| entry.node).collect();
    assert_eq!(nodes, ["c", "b"]);
}

#[test]
fn a_line_cut_by_death_is_passed_over_and_later_ones_count() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    arm(&ledger, "a");
    drop(ledger);
    let path = dir.path().join(FILE);
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"armed\":{\"id\":2,\"prov");
    std::fs::write(&path, text).unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    arm(&ledger, "b");
    drop(ledger);
    assert_eq!(Ledger::open(dir.path()).unwrap().pending().len(), 2);
}

#[test]
fn a_foreign_line_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), "{\"done\":1}\nhello\n").unwrap();
    let error = Ledger::open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("ledger.jsonl:2: not a line of a ledger"), "{error}");
}

#[test]
fn a_cluster_is_owed_until_it_is_whole_and_where_it_is_to_be_deleted_until_that_is_done() {
    let runs = tempfile::tempdir().unwrap();
    let dir = runs.path().join("run");
    std::fs::create_dir(&dir).unwrap();
    let owed = || unhealed(runs.path()).unwrap().first().map(|(_, ledger)| ledger.clusters());
    let again = || Ledger::open(&dir).unwrap();
    for delete in [false, true] {
        again().making(ProviderKind::Kind, "c", delete).unwrap();
        assert!(owed().is_some_and(|all| all.len() == 1 && !all[0].whole), "half made");
        again().made("c").unwrap();
        assert_eq!(owed().is_some(), delete, "whole");
        again().settled("c").unwrap();
        assert_eq!(owed(), None, "settled");
    }
}

#[test]
fn a_live_run_with_a_fault_on_a_cluster_is_at_work_there_and_nowhere_else() {
    let runs = tempfile::tempdir().unwrap();
    let dir = runs.path().join("run");
    std::fs::create_dir(&dir).unwrap();
    let ledger = Ledger::open(&dir).unwrap();
    let working = |cluster| !at_work(runs.path(), ProviderKind::Kind, cluster).unwrap().is_empty();
    assert!(!working("c"), "nothing is done yet");
    let id = arm(&ledger, "a");
    assert!(working("c") && !working("d"));
    ledger.done(id).unwrap();
    assert!(!working("c"), "all is undone");
    arm(&ledger, "a");
    drop(ledger);
    assert!(!working("c"), "a dead run does nothing any more");
}

#[test]
fn a_full_disk_under_the_ledger_stops_neither_opening_nor_what_comes_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let first = arm(&ledger, "a");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let file = std::mem::replace(&mut ledger.lock().file, full);
    let refused = ledger.arm(ProviderKind::Kind, "c", "b", 1, NodeAction::Unpause, false);
    assert!(matches!(refused, Err(LedgerError::File { .. })), "what is not on disk must not be injected");
    assert!(ledger.done(first).is_err());
    assert!(ledger.pending().is_empty(), "what was undone is undone, on disk or not");
    ledger.lock().file = file;
    arm(&ledger, "b");
    drop(ledger);
    let nodes: Vec<_> = Ledger::open(dir.path()).unwrap().pending().into_iter().map(|e| e.node).collect();
    assert_eq!(nodes, ["b", "a"], "undone again at worst");
}

#[test]
fn deadlines_are_named_after_run_and_entry_in_letters_digits_and_dashes() {
    let runs = tempfile::tempdir().unwrap();
    let dir = runs.path().join("20250102T030405Z-1_x");
    std::fs::create_dir(&dir).unwrap();
    let ledger = Ledger::open(&dir).unwrap();
    let entry = ledger.arm(ProviderKind::Kind, "c", "n", 1, NodeAction::Unpause, true).unwrap();
    assert_eq!(entry.deadline.as_deref(), Some("20250102T030405Z-1-x-1"));
}
