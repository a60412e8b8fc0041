//! All reports of a run in one directory.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use recoup_model::verdict::RunResult;

/// The files that [`write_all`] makes, in the order in which it makes them.
pub const FILES: [&str; 4] = ["results.json", "junit.xml", "summary.md", "report.html"];

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The results could not be written as JSON.
    #[error("results as json: {0}")]
    Json(#[from] serde_json::Error),
    /// The results could not be written as JUnit.
    #[error("results as junit: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// A file could not be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes `results.json`, `junit.xml`, `summary.md` and `report.html` into a directory, which is made where
/// it is missing. Each file appears whole or not at all; one of the same name is replaced.
///
/// # Errors
/// Where a report cannot be made or written. All four are made before the first is written, so that
/// a failure to make one leaves none of another run's age beside it.
pub fn write_all(dir: &Path, run: &RunResult) -> Result<Vec<PathBuf>, ReportError> {
    let texts = [crate::json(run)?, crate::junit(run)?, crate::summary(run), crate::html(run)];
    fs::create_dir_all(dir).map_err(|source| ReportError::File { path: dir.into(), source })?;
    FILES.iter().zip(texts).map(|(name, text)| replace(dir, name, &text)).collect()
}

/// A reader never sees half a file: the text goes to a neighbour, is synced, and takes the name at once.
fn replace(dir: &Path, name: &str, text: &str) -> Result<PathBuf, ReportError> {
    let path = dir.join(name);
    let neighbour = dir.join(format!(".{name}.{}.part", std::process::id()));
    let written = File::create(&neighbour).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&neighbour, &path)
    });
    match written {
        Ok(()) => Ok(path),
        Err(source) => {
            // The first error is the one worth telling; the neighbour may never have been made.
            let _ = fs::remove_file(&neighbour);
            Err(ReportError::File { path, source })
        }
    }
}
