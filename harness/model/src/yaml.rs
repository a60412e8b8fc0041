//! Reading YAML: the only module that names the YAML library.
//!
//! An error says the file, the line, the column and the field, and what would be right.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_yaml::granit_parser::{Event, Parser};

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1; 0 where it is not known.
    pub line: usize,
    /// Column, from 1; 0 where it is not known.
    pub column: usize,
    /// The field's path, as in `spec.variants[0].steps[1].signal`; empty for the file as a whole.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// The line's text.
    pub source: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        if self.line > 0 && !self.source.trim().is_empty() {
            let indent = " ".repeat(self.column.saturating_sub(1));
            write!(f, "\n  | {}\n  | {indent}^", self.source.trim_end())?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a suite, profile or version file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuiteError {
    /// The file was read, and these are its faults, in the order of their lines.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
}

impl SuiteError {
    /// The problems, in the order of their lines.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        let SuiteError::Invalid(problems) = self;
        problems
    }

    /// One error of several files' problems; none where there is none.
    ///
    /// # Errors
    /// Where there is a problem.
    pub(crate) fn check(mut problems: Vec<Problem>) -> Result<(), SuiteError> {
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(SuiteError::Invalid(problems)) }
    }
}

/// Reads one YAML document.
///
/// # Errors
/// The first problem, with its place.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, SuiteError> {
    let options = serde_yaml::options! { with_snippet: false };
    serde_yaml::from_str_with_options(text, options).map_err(|error| {
        let places = Places::new(file, text);
        SuiteError::Invalid(vec![places.explain(&error)])
    })
}

/// Where each field of a file stands.
pub(crate) struct Places<'a> {
    file: &'a str,
    text: &'a str,
    nodes: Vec<Node>,
}

/// A value, with its key where it has one.
struct Node {
    path: String,
    /// Where the entry begins: its key, or the value of a list's item. Line and column from 1.
    at: (usize, usize),
    /// Where the value begins, and its first and last byte.
    value_at: (usize, usize),
    bytes: (usize, usize),
    /// The column at which the entry ends.
    end: (usize, usize),
}

/// A mapping or list that is being read.
struct Open {
    path: String,
    node: Option<usize>,
    list: bool,
    count: usize,
    key: Option<(String, (usize, usize))>,
}

impl<'a> Places<'a> {
    /// Finds every field of the text, as far as it is YAML.
    pub(crate) fn new(file: &'a str, text: &'a str) -> Places<'a> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            let start = (span.start.line(), span.start.col() + 1);
            let end = (span.end.line(), span.end.col() + 1);
            let bytes = (span.start.byte_offset().unwrap_or(0), span.end.byte_offset().unwrap_or(0));
            let container = match &event {
                Event::SequenceStart(..) => Some(true),
                Event::MappingStart(..) => Some(false),
                _ => None,
            };
            let scalar = match &event {
                Event::Scalar(value, ..) => Some(value.to_string()),
                Event::Alias(_) | Event::UnresolvedAlias(_) => Some(String::new()),
                _ => None,
            };
            if matches!(event, Event::SequenceEnd | Event::MappingEnd) {
                if let Some(node) = open.pop().and_then(|done| done.node).and_then(|n| nodes.get_mut(n)) {
                    node.end = end;
                    node.bytes.1 = bytes.1;
                }
                continue;
            }
            if container.is_none() && scalar.is_none() {
                continue;
            }
            let mut path = String::new();
            let mut at = start;
            if let Some(parent) = open.last_mut() {
                if parent.list {
                    path = format!("{}[{}]", parent.path, parent.count);
                    parent.count += 1;
                } else if let Some((key, key_at)) = parent.key.take() {
                    path = if parent.path.is_empty() { key } else { format!("{}.{key}", parent.path) };
                    at = key_at;
                } else {
                    parent.key = Some((scalar.unwrap_or_default(), start));
                    continue;
                }
            }
            nodes.push(Node { path: path.clone(), at, value_at: start, bytes, end });
            if let Some(list) = container {
                open.push(Open { path, node: Some(nodes.len() - 1), list, count: 0, key: None });
            }
        }
        Places { file, text, nodes }
    }

    /// A problem with the field of that path, placed at the nearest enclosing field that the file has.
    pub(crate) fn problem(&self, path: &str, message: impl fmt::Display) -> Problem {
        let mut known = path;
        let found = loop {
            if let Some(node) = self.nodes.iter().find(|node| node.path == known) {
                break Some(node.at);
            }
            match known.rfind(['.', '[']) {
                Some(cut) => known = &known[..cut],
                None => break None,
            }
        };
        self.placed(found.unwrap_or((0, 0)), path.to_owned(), message.to_string())
    }

    /// Reads one field by itself and says what is wrong with it; nothing where the file does not have it.
    pub(crate) fn check<T: DeserializeOwned>(&self, path: &str) -> Option<Problem> {
        let node = self.nodes.iter().find(|node| node.path == path)?;
        let value = self.text.get(node.bytes.0..node.bytes.1)?;
        // Blank lines and blanks in front keep every line and column what it is in the whole file.
        let lines = "\n".repeat(node.value_at.0.saturating_sub(1));
        let padded = format!("{lines}{}{value}", " ".repeat(node.value_at.1.saturating_sub(1)));
        let options = serde_yaml::options! { with_snippet: false };
        match serde_yaml::from_str_with_options::<T>(&padded, options) {
            Ok(_) | Err(serde_yaml::Error::UnknownAnchor { .. }) => None,
            Err(error) => Some(self.explain(&error)),
        }
    }

    /// How many items the list of that path has.
    pub(crate) fn items(&self, path: &str) -> usize {
        (0..).take_while(|n| self.nodes.iter().any(|node| node.path == format!("{path}[{n}]"))).count()
    }

    fn placed(&self, at: (usize, usize), field: String, message: String) -> Problem {
        let source =
            at.0.checked_sub(1).and_then(|n| self.text.lines().nth(n)).unwrap_or_default().to_owned();
        Problem { file: self.file.to_owned(), line: at.0, column: at.1, field, message, source }
    }

    /// The library's error in this project's words.
    fn explain(&self, error: &serde_yaml::Error) -> Problem {
        let error = error.without_snippet();
        let at = error.location().map_or((0, 0), |location| {
            let number = |n: u64| usize::try_from(n).unwrap_or(0);
            (number(location.line()), number(location.column()))
        });
        let inside = self.nodes.iter().rev().find(|node| node.at <= at && (at < node.end || node.at == at));
        let field = inside.map(|node| node.path.clone()).unwrap_or_default();
        let message = match error {
            serde_yaml::Error::SerdeUnknownField { field, expected, .. } => {
                format!("unknown field `{field}`; {}", choices(field, expected))
            }
            serde_yaml::Error::SerdeUnknownVariant { variant, expected, .. } => {
                format!("`{variant}` is not known here; {}", choices(variant, expected))
            }
            serde_yaml::Error::SerdeMissingField { field, .. } => format!("the field `{field}` is missing"),
            serde_yaml::Error::SerdeInvalidType { unexpected, expected, .. }
            | serde_yaml::Error::SerdeInvalidValue { unexpected, expected, .. } => {
                format!("{unexpected} cannot stand here: {expected} is wanted")
            }
            serde_yaml::Error::DuplicateMappingKey { key, .. } => {
                format!("the field {} stands here twice", key.as_deref().unwrap_or("of this name"))
            }
            other => bare(&other.to_string()),
        };
        if let (serde_yaml::Error::SerdeMissingField { .. }, Some(node)) = (error, inside)
            && node.value_at != at
        {
            // The library points to the last field that is there; the place is what encloses it.
            let parent = &field[..field.rfind(['.', '[']).unwrap_or(0)];
            return self.problem(parent, message);
        }
        self.placed(at, field, message)
    }
}

/// The library's message without the place that it ends in: the place stands in front already.
fn bare(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    match first.rfind(" at line ") {
        Some(cut) => first[..cut].trim_end_matches([',', ':']).to_owned(),
        None => first.to_owned(),
    }
}

/// What may stand instead: the nearest by name first, where one is near.
pub(crate) fn choices(given: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|word| (distance(&given.to_lowercase(), &word.to_lowercase()), *word))
        .filter(|(distance, word)| *distance <= 1 + word.len().min(given.len()) / 4)
        .min_by_key(|(distance, _)| *distance);
    let known = if known.is_empty() {
        "nothing may stand here".to_owned()
    } else {
        format!("known are {}", known.join(", "))
    };
    match near {
        Some((_, word)) => format!("did you mean `{word}`? {known}"),
        None => known,
    }
}

/// Levenshtein's distance: insertions, deletions and replacements that make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let kept = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = kept.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
