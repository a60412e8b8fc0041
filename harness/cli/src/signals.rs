//! Ctrl-C, SIGTERM and a terminal that goes away cancel the run, which then heals.

use tokio_util::sync::CancellationToken;

use crate::progress::Progress;

/// Cancels at the first signal; a further one is told that healing is under way and changes nothing.
pub fn watch(cancel: CancellationToken, progress: Progress) {
    tokio::spawn(async move {
        loop {
            if !signal().await {
                return;
            }
            if cancel.is_cancelled() {
                progress.say("healing is under way: faults are being undone, please wait (recoup heal does it later, too)");
            } else {
                progress.say("interrupted: undoing what was done, then writing the reports");
                cancel.cancel();
            }
        }
    });
}

/// Waits for one; false where signals cannot be listened to.
#[cfg(unix)]
async fn signal() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let listen =
        || -> std::io::Result<_> { Ok((signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)) };
    let Ok((mut terminate, mut hangup)) = listen() else { return tokio::signal::ctrl_c().await.is_ok() };
    tokio::select! {
        heard = tokio::signal::ctrl_c() => heard.is_ok(),
        heard = terminate.recv() => heard.is_some(),
        heard = hangup.recv() => heard.is_some(),
    }
}

#[cfg(not(unix))]
async fn signal() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}
