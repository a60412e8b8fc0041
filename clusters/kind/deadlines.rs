//! Undos that happen by themselves after a time, whoever is left by then: on the node, or for a frozen
//! node on this machine.
//!
//! A deadline is a file. What waits for the time looks whether its file is still there, so calling it off is
//! removing the file, and no process has to be found and killed.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::docker::quoted;
use crate::ClusterError;

/// A systemd unit's name holds 255 characters; this leaves room.
const LONGEST_ID: usize = 100;
/// How often a node tries to carry out an undo that failed, a second apart.
const TRIES: u32 = 5;

/// Is that a deadline's name, which becomes part of file and unit names?
///
/// # Errors
/// Why it is not.
pub(super) fn check(id: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match !id.is_empty() && id.len() <= LONGEST_ID && id.chars().all(fits) {
        true => Ok(()),
        false => Err(format!("{id:?} names no deadline: up to {LONGEST_ID} letters, digits and - do")),
    }
}

/// Seconds, rounded up: neither `date` nor a person needs finer ones.
pub(super) fn seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0)
}

/// The file that a node runs when the time has come: a script with its arguments, tried again where it fails,
/// and the file's own end.
pub(super) fn node_text(script: &str, arguments: &[String]) -> String {
    let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    format!(
        "tries=0\nuntil (\nset -- {}\n{script}\n) > /dev/null; do\ntries=$((tries + 1))\n\
         [ $tries -lt {TRIES} ] || break\nsleep 1\ndone\nrm -f -- \"$0\"\nrmdir /run/recoup 2> /dev/null\nexit 0\n",
        words.join(" ")
    )
}

/// FILE TOKEN DUE NODE: unpauses a node when the time has come, unless its file is gone or another one's by then.
const UNPAUSE: &str = r#"
trap '' HUP INT
while [ "$(date +%s)" -lt "$3" ]; do
    sleep 1
    { read -r token rest < "$1"; } 2> /dev/null && [ "$token" = "$2" ] || exit 0
done
tries=0
while [ $tries -lt 30 ]; do
    docker unpause "$4" > /dev/null 2>&1
    [ "$(docker inspect --format '{{.State.Paused}}' "$4" 2> /dev/null)" != false ] || break
    tries=$((tries + 1))
    sleep 1
done
rm -f -- "$1"
"#;

/// Deadlines on this machine, for nodes on which nothing can run.
#[derive(Clone, Debug)]
pub(super) struct HostDeadlines {
    dir: PathBuf,
}

impl HostDeadlines {
    /// Those of this user. Below the cache folder, for a runtime folder goes with the user's last session.
    pub(super) fn of_this_user() -> io::Result<HostDeadlines> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        let none = || io::Error::new(io::ErrorKind::NotFound, "neither XDG_CACHE_HOME nor HOME is set");
        Ok(HostDeadlines { dir: cache.ok_or_else(none)?.join("recoup/deadlines") })
    }

    /// Has a process of its own, which outlives this one, unpause the node after that time.
    pub(super) fn set(&self, id: &str, after: Duration, node: &str) -> Result<(), ClusterError> {
        let file = self.dir.join(id);
        let failed = |source| ClusterError::File { path: file.display().to_string(), source };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let token = format!("{}-{}", now.as_nanos(), std::process::id());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(failed)?;
        let new = self.dir.join(format!("{id}.new"));
        fs::write(&new, format!("{token} {node}\n"))
            .and_then(|()| fs::rename(&new, &file))
            .map_err(failed)?;
        let due = seconds(now + after).to_string();
        let waiting = tokio::process::Command::new("sh")
            .args(["-c", UNPAUSE, "recoup-unpause"])
            .arg(&file)
            .args([&token, &due, node])
            // What ends this process and its group must not end the other.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        // Not awaited: it is to go on without this process.
        waiting.map(drop).map_err(|source| {
            fs::remove_file(&file).ok();
            failed(source)
        })
    }

    /// Calls it off; true where there was one for that node.
    pub(super) fn clear(&self, id: &str, node: &str) -> Result<bool, ClusterError> {
        let file = self.dir.join(id);
        if node_of(&file).as_deref() != Some(node) {
            return Ok(false);
        }
        match fs::remove_file(&file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(ClusterError::File { path: file.display().to_string(), source }),
        }
    }

    /// The names of those that are set for a node, sorted.
    pub(super) fn of_node(&self, node: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let ours = entries.flatten().filter(|entry| node_of(&entry.path()).as_deref() == Some(node));
        let mut names: Vec<String> =
            ours.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// The node that a deadline's file names.
fn node_of(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok()?.split_whitespace().nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_name_deadlines() {
        check("20261121T170000Z-7-1").expect("a run's");
        for wrong in ["", "a b", "../x", "a.new", "x;y", &"x".repeat(200)] {
            assert!(check(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn what_a_node_runs_gets_its_arguments_whole_is_tried_again_and_removes_itself() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, out) = (dir.path().join("deadline"), dir.path().join("out"));
        let strange = "it's $HOME `x` \"y\"";
        // Fails at first: the attempt is repeated.
        let script = "printf '%s|' \"$@\" >> \"$1\"; [ \"$(grep -o '|' \"$1\" | wc -l)\" -ge 4 ] || exit 1";
        let text = node_text(script, &[out.display().to_string(), strange.to_owned()]);
        fs::write(&file, text).expect("written");
        let ended = std::process::Command::new("sh").arg(&file).status().expect("sh runs");
        assert!(ended.success());
        let once = format!("{}|{strange}|", out.display());
        assert_eq!(fs::read_to_string(&out).expect("written"), once.repeat(2));
        assert!(!file.exists(), "it removes itself");
    }

    fn wait_for(path: &Path, gone: bool) {
        for _ in 0..100 {
            if path.exists() != gone {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{} {}", path.display(), if gone { "is still there" } else { "did not come" });
    }

    #[tokio::test]
    async fn a_deadline_on_this_machine_is_listed_called_off_and_only_for_its_node() {
        let dir = tempfile::tempdir().expect("a directory");
        let deadlines = HostDeadlines { dir: dir.path().join("deadlines") };
        deadlines.set("run-1", Duration::from_secs(3600), "no-such-node").expect("set");
        assert_eq!(deadlines.of_node("no-such-node"), ["run-1"]);
        assert!(deadlines.of_node("no-such-nod").is_empty());
        assert!(!deadlines.clear("run-1", "another").expect("looked"), "another node's");
        assert!(deadlines.clear("run-1", "no-such-node").expect("cleared"));
        assert!(!deadlines.clear("run-1", "no-such-node").expect("looked"), "called off twice");
        assert!(deadlines.of_node("no-such-node").is_empty());
    }

    #[test]
    fn the_waiting_process_unpauses_when_the_time_has_come_and_not_once_it_was_called_off() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        // A `docker` of the test's own, which notes what it is asked.
        let (docker, asked) = (dir.path().join("docker"), dir.path().join("asked"));
        let fake = format!(
            "#!/bin/sh\ncase $1 in\ninspect) [ -e {0} ] && echo false || echo true ;;\nunpause) echo \"$2\" > {0} ;;\nesac\n",
            quoted(&asked.display().to_string())
        );
        let text = dir.path().join("text");
        fs::write(&text, fake).expect("written");
        crate::kind::copy(&text, &docker);
        fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).expect("executable");
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
        let wait = |file: &Path, token: &str, due: u64| {
            std::process::Command::new("sh")
                .args(["-c", UNPAUSE, "t"])
                .arg(file)
                .args([token, &due.to_string(), "node-1"])
                .env("PATH", &path)
                .spawn()
                .expect("sh runs")
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let file = dir.path().join("deadline");

        // Another one has taken its place: the first ends and does nothing.
        fs::write(&file, "second node-1\n").expect("written");
        assert!(wait(&file, "first", now + 3600).wait().expect("ended").success());
        assert!(!asked.exists() && file.exists());

        let mut waiting = wait(&file, "second", now + 2);
        wait_for(&asked, false);
        assert!(waiting.wait().expect("ended").success());
        assert_eq!(fs::read_to_string(&asked).expect("asked"), "node-1\n");
        wait_for(&file, true);
    }
}
