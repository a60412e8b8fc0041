//! Programs for nodes that are part of recoup: compiled by build.rs, or named by the user.

use std::{borrow::Cow, env, fs};

use crate::ClusterError;

/// A static Linux program of the folder `source`: that which the variable names, else as this build compiled it.
/// `what` names it in the error.
///
/// # Errors
/// [`ClusterError::Missing`] where this build could not compile it (`built` is empty then).
pub(super) fn program(
    built: &'static [u8],
    variable: &str,
    what: &str,
    source: &str,
) -> Result<Cow<'static, [u8]>, ClusterError> {
    let program = match env::var(variable) {
        Ok(path) => Cow::Owned(fs::read(&path).map_err(|source| ClusterError::File { path, source })?),
        Err(_) => Cow::Borrowed(built),
    };
    if program.is_empty() {
        return Err(ClusterError::Missing {
            missing: format!("{what}: this build could not compile it for Linux"),
            remedy: format!(
                "`rustup target add {arch}-unknown-linux-musl` and build again, or let {variable} name a static \
                 Linux build of {source}",
                arch = env::consts::ARCH
            ),
        });
    }
    Ok(program)
}
