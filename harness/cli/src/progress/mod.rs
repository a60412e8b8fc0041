//! Live progress on stderr: bars on a terminal, otherwise a line per change of state. No colour anywhere.

mod narrator;

use std::{
    io::{IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use recoup_engine::Listener;
use recoup_model::event::Record;

use narrator::{Narrator, Status};

/// Bars are drawn at most this often.
const DRAW: Duration = Duration::from_millis(100);

/// Tells people what happens. Clones write to the same place.
#[derive(Clone)]
pub struct Progress(Arc<Mutex<Inner>>);

struct Inner {
    narrator: Narrator,
    bars: Option<Bars>,
}

struct Bars {
    all: MultiProgress,
    run: ProgressBar,
    phase: ProgressBar,
    drawn: Instant,
}

impl Progress {
    /// For stderr as it is.
    #[must_use]
    pub fn new() -> Progress {
        let bars = std::io::stderr().is_terminal().then(Bars::new).flatten();
        Progress(Arc::new(Mutex::new(Inner { narrator: Narrator::default(), bars })))
    }

    /// What a session tells its records to.
    #[must_use]
    pub fn listener(&self) -> Listener {
        let this = self.clone();
        Arc::new(move |record| this.tell(record))
    }

    /// A line of the command itself.
    pub fn say(&self, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).line(text);
    }

    /// Takes the bars away.
    pub fn end(&self) {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bars) = &inner.bars {
            bars.run.finish_and_clear();
            bars.phase.finish_and_clear();
        }
    }

    fn tell(&self, record: &Record) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in inner.narrator.tell(record) {
            let at = format!("+{:.1}s", record.at.seconds());
            inner.line(&format!("{at:>9}  {}", clean(&line)));
        }
        inner.draw();
    }
}

/// Text from a cluster must not steer the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Inner {
    fn line(&self, text: &str) {
        // Nobody reads any more: the run goes on.
        let _ = match &self.bars {
            Some(bars) => bars.all.println(text),
            None => writeln!(std::io::stderr().lock(), "{text}"),
        };
    }

    fn draw(&mut self) {
        let Some(bars) = &mut self.bars else { return };
        if bars.drawn.elapsed() >= DRAW {
            bars.drawn = Instant::now();
            bars.show(&self.narrator.status());
        }
    }
}

impl Bars {
    fn new() -> Option<Bars> {
        let all = MultiProgress::new();
        let run = ProgressStyle::with_template("[{bar:24}] {pos}/{len} {msg}").ok()?.progress_chars("=> ");
        let run = all.add(ProgressBar::new(0).with_style(run));
        let phase = ProgressStyle::with_template("{spinner} {wide_msg}").ok()?.tick_chars("-\\|/ ");
        let phase = all.add(ProgressBar::new_spinner().with_style(phase));
        Some(Bars { all, run, phase, drawn: Instant::now() })
    }

    fn show(&self, status: &Status) {
        let Some((number, total, id)) = &status.experiment else { return };
        self.run.set_length(*total as u64);
        self.run.set_position(number.saturating_sub(1) as u64);
        self.run.set_message(id.clone());
        let mut text = String::new();
        if let Some((phase, length)) = status.phase {
            text += &format!("{phase} {:.0} s", length.as_secs_f64());
        }
        for (name, length) in &status.outages {
            text += &format!(" | no answer: {name} {:.1} s", length.as_secs_f64());
        }
        self.phase.set_message(text);
        self.phase.tick();
    }
}
