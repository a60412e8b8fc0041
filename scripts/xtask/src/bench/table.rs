//! The figures as a Markdown table and as JSON.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use recoup_model::time::Span;
use serde_json::{Value, json};

use super::{
    accuracy::{Figures, Key, Rows, words},
    machine::Machine,
    score::Errors,
};

/// One row: what it is about, and what came out.
pub struct Row {
    /// The first columns.
    pub name: Vec<String>,
    /// The probes' period.
    pub period: Span,
    /// The figures.
    pub figures: Figures,
}

/// All that was measured, with its conditions.
pub struct Report {
    machine: Machine,
    seed: u64,
    /// By period, load, kind of outage, connection and protocol.
    pub rows: Rows,
    /// Processor time in use while it was measured, as a share of all, by load.
    pub loads: Vec<(bool, Option<f64>)>,
    /// Real clusters that were measured, in words.
    pub clusters: Vec<String>,
}

impl Report {
    /// Nothing yet.
    pub fn new(machine: Machine, seed: u64) -> Report {
        Report { machine, seed, rows: Rows::new(), loads: Vec::new(), clusters: Vec::new() }
    }

    /// What missed its goal, by row of the table.
    pub fn complaints(&self) -> Vec<String> {
        let mut rows = self.summary();
        rows.extend(self.detail());
        let all = rows.iter().flat_map(|row| {
            let name = row.name.join(", ");
            row.figures.score.complaints(row.period.0).into_iter().map(move |what| format!("{name}: {what}"))
        });
        all.collect()
    }

    /// Writes accuracy.md and accuracy.json, and prints the first.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let markdown = self.markdown()?;
        let figures = serde_json::to_string_pretty(&self.json())?;
        write(dir, "accuracy", &markdown, &figures)
    }

    /// By load and period, whatever the outage was.
    fn summary(&self) -> Vec<Row> {
        let keys: BTreeSet<(bool, bool, Duration)> =
            self.rows.keys().map(|k| (k.frozen(), k.busy, k.period)).collect();
        let row = |(frozen, busy, period): (bool, bool, Duration)| {
            let what = if frozen { "API server" } else { "all targets" };
            let name = vec![words(busy).to_owned(), Span(period).to_string(), what.to_owned()];
            Row::of(name, period, &self.rows, |key| {
                (key.frozen(), key.busy, key.period) == (frozen, busy, period)
            })
        };
        keys.into_iter().filter_map(row).collect()
    }

    /// By load, period, kind of outage and connection.
    fn detail(&self) -> Vec<Row> {
        let keys: BTreeSet<Key> = self.rows.keys().map(|key| Key { tls: false, ..*key }).collect();
        let row = |wanted: Key| {
            let Key { busy, period, mode, new, .. } = wanted;
            let conn = if new { "new" } else { "kept" };
            let name = [words(busy).into(), Span(period).to_string(), mode.to_string(), conn.into()];
            Row::of(name.to_vec(), period, &self.rows, |key| Key { tls: false, ..*key } == wanted)
        };
        keys.into_iter().filter_map(row).collect()
    }

    fn markdown(&self) -> Result<String> {
        let mut text = String::new();
        writeln!(text, "# Accuracy of the probes\n")?;
        writeln!(text, "{}; seed {}.", self.machine.words(), self.seed)?;
        for (busy, used) in &self.loads {
            let used = used.map_or("unknown".into(), |used| format!("{:.0} %", used * 100.0));
            writeln!(
                text,
                "{}: {used} of all processor time in use, the bench's own included.",
                words(*busy)
            )?;
        }
        let worst = |of: fn(&Figures) -> f64| self.rows.values().map(of).fold(0.0, f64::max);
        let (latest, stalled) = (worst(|f| f.latest), worst(|f| f.stalled));
        writeln!(
            text,
            "The machine kept a probe from being sent for {latest:.0} ms at worst, and let nothing run (or a real server answer) for {stalled:.0} ms."
        )?;
        for cluster in &self.clusters {
            writeln!(text, "{cluster}")?;
        }
        let head = "\nErrors are measured minus true, in milliseconds; ± is the 95 % interval of the mean. \
                    Missed: of those longer than two periods, not seen, or seen as one with another. Outside: \
                    not within the stated bounds. Extra: seen, but not the target's doing. Unknown: beside a time of half a \
                    period or longer in which the machine let nothing run, or a real server was slow by itself; \
                    counted and not judged.\n";
        writeln!(text, "{head}")?;
        table(&mut text, &["load", "period", "what"], &self.summary())?;
        writeln!(text, "\n## By kind of outage and connection\n")?;
        table(&mut text, &["load", "period", "outage", "connection"], &self.detail())?;
        Ok(text)
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|(key, figures)| row_json(key, figures)).collect();
        let loads: Vec<Value> = self
            .loads
            .iter()
            .map(|(busy, used)| json!({"load": words(*busy), "processorShare": used}))
            .collect();
        json!({
            "machine": self.machine,
            "seed": self.seed,
            "loads": loads,
            "clusters": self.clusters,
            "missedGoals": self.complaints(),
            "rows": rows,
        })
    }
}

fn row_json(key: &Key, figures: &Figures) -> Value {
    let score = &figures.score;
    json!({
        "load": words(key.busy),
        "period": Span(key.period),
        "outage": key.mode,
        "connection": if key.new { "new" } else { "kept" },
        "tls": key.tls,
        "outages": score.outages,
        "unknown": score.unknown,
        "missed": score.missed,
        "merged": score.merged,
        "extra": score.invented,
        "outsideBounds": score.outside,
        "length": Errors::of(&score.length),
        "start": Errors::of(&score.start),
        "end": Errors::of(&score.end),
        "boundsWidth": Errors::of(&score.width),
        "truthKnownTo": score.fuzzy,
        "attempts": figures.attempts,
        "lost": figures.lost,
        "latestAttempt": figures.latest,
        "machineStalled": figures.stalled,
    })
}

fn table(text: &mut String, columns: &[&str], rows: &[Row]) -> Result<()> {
    let figures = "outages | unknown | missed | outside | extra | length: bias | p50 | p99 | max | start: bias | p99 | goals";
    writeln!(text, "| {} | {figures} |", columns.join(" | "))?;
    writeln!(text, "|{}{}", " --- |".repeat(columns.len()), " ---: |".repeat(11) + " --- |")?;
    for Row { name, period, figures } in rows {
        let score = &figures.score;
        let (length, start) = (Errors::of(&score.length), Errors::of(&score.start));
        let bias = |e: Errors| format!("{:+.2} ± {:.2}", e.bias, 1.96 * e.uncertainty);
        let goals = if score.complaints(period.0).is_empty() { "reached" } else { "missed" };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {} | {:.1} | {goals} |",
            name.join(" | "),
            score.outages,
            score.unknown,
            score.missed + score.merged,
            score.outside,
            score.invented,
            bias(length),
            length.p50,
            length.p99,
            length.max,
            bias(start),
            start.p99,
        )?;
    }
    Ok(())
}

/// Writes both files, and prints the Markdown.
pub fn write(dir: &Path, name: &str, markdown: &str, json: &str) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    for (end, text) in [("md", markdown), ("json", json)] {
        let path = dir.join(format!("{name}.{end}"));
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        eprintln!("written: {}", path.display());
    }
    println!("{markdown}");
    Ok(())
}
