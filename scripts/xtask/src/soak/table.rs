//! The kills as a table in Markdown.

use std::{collections::BTreeMap, fmt::Write as _};

use super::kill::Kill;

/// The table, and a line for each kill that was not put right.
#[must_use]
pub fn table(cluster: &str, kills: &[Kill]) -> String {
    let of =
        |alone: bool| kills.iter().filter(|kill| kill.happened() && kill.alone == alone).collect::<Vec<_>>();
    let mut text = format!("| {cluster} | reaper at work | reaper killed too |\n| --- | ---: | ---: |\n");
    let mut row = |what: &str, value: &dyn Fn(&[&Kill]) -> String| {
        let _ = writeln!(text, "| {what} | {} | {} |", value(&of(false)), value(&of(true)));
    };
    let count = |of: &[&Kill], which: &dyn Fn(&Kill) -> bool| {
        of.iter().filter(|kill| which(kill)).count().to_string()
    };
    row("kills", &|of| of.len().to_string());
    for phase in kills
        .iter()
        .filter(|kill| kill.happened())
        .map(|kill| (kill.phase.clone(), ()))
        .collect::<BTreeMap<_, ()>>()
        .keys()
    {
        row(&format!("died in: {phase}"), &|of| count(of, &|kill| kill.phase == *phase));
    }
    row("with a fault armed", &|of| count(of, &|kill| kill.armed > 0));
    row("faults armed at death", &|of| of.iter().map(|kill| kill.armed).sum::<usize>().to_string());
    row("kills with residue", &|of| count(of, &|kill| !kill.residue.is_empty()));
    row("residue, lines", &|of| of.iter().map(|kill| kill.residue.len()).sum::<usize>().to_string());
    row("undos left in the ledger by the reaper", &|of| {
        if of.first().is_none_or(|kill| kill.alone) {
            "–".into()
        } else {
            of.iter().map(|kill| kill.left).sum::<usize>().to_string()
        }
    });
    row("undos left to `recoup heal` by the deadlines", &|of| {
        let heals = of.iter().filter(|kill| kill.alone).filter_map(|kill| kill.heal.as_ref());
        if of.first().is_none_or(|kill| !kill.alone) {
            "–".into()
        } else {
            heals.map(|heal| heal.undone + heal.failed).sum::<usize>().to_string()
        }
    });
    row("reaper gone after the kill, p50 / max", &|of| spread(of.iter().filter_map(|kill| kill.reaper_ms)));
    row("… with a fault armed", &|of| {
        spread(of.iter().filter(|kill| kill.armed > 0).filter_map(|kill| kill.reaper_ms))
    });
    row("nodes as before after the kill, fault armed, p50 / max", &|of| {
        spread(of.iter().filter(|kill| kill.armed > 0).filter_map(|kill| kill.clean_ms))
    });
    row("record's last event before the kill, p50 / max", &|of| {
        spread(of.iter().filter_map(|kill| kill.lost_ms))
    });
    row("cluster healthy after the kill, p50 / max", &|of| {
        spread(of.iter().filter_map(|kill| kill.healthy_ms))
    });
    row("kills not put right", &|of| count(of, &|kill| !kill.failures().is_empty()));
    let over = kills.iter().filter(|kill| !kill.happened()).count();
    if over > 0 {
        let _ = writeln!(text, "\n{over} more runs were over before their moment came, and are not counted.");
    }
    for kill in kills.iter().filter(|kill| !kill.failures().is_empty()) {
        let _ =
            writeln!(text, "\nkill {} ({}, {}, seed {}):", kill.kill, kill.experiment, kill.phase, kill.seed);
        for failure in kill.failures() {
            let _ = writeln!(text, "- {failure}");
        }
    }
    text
}

/// Median and greatest, in seconds.
fn spread(values: impl Iterator<Item = u64>) -> String {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let seconds = |ms: u64| format!("{}.{:02} s", ms / 1000, ms % 1000 / 10);
    match (values.get(values.len().saturating_sub(1) / 2), values.last()) {
        (Some(middle), Some(last)) => format!("{} / {}", seconds(*middle), seconds(*last)),
        _ => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_that_left_something_is_counted_and_named() {
        let fine = Kill {
            phase: "fault".into(),
            armed: 1,
            reaper_ms: Some(4200),
            clean_ms: Some(4300),
            ..Kill::default()
        };
        let left = Kill { kill: 7, residue: vec!["n: + paused".into()], left: 1, ..fine.clone() };
        let text = table("kind", &[fine.clone(), left]);
        assert!(text.contains("| kills with residue | 1 | 0 |"), "{text}");
        assert!(text.contains("| reaper gone after the kill, p50 / max | 4.20 s / 4.20 s | – |"), "{text}");
        assert!(
            text.contains("kill 7") && text.contains("- n: + paused") && text.contains("- the reaper left 1"),
            "{text}"
        );
        assert!(!table("kind", std::slice::from_ref(&fine)).contains("kill 0"));
        let late = Kill { reaper_ms: Some(15_001), ..fine.clone() };
        assert_eq!(late.failures().len(), 1);
        let none = Kill { reaper_ms: None, ..fine.clone() };
        assert_eq!(none.failures().len(), 1, "an armed fault and no reaper");
        let alone = Kill {
            alone: true,
            reaper_ms: None,
            heal: Some(super::super::kill::Heal { undone: 1, ..Default::default() }),
            ..fine
        };
        assert_eq!(alone.failures().len(), 1, "a deadline that did nothing");
    }
}
