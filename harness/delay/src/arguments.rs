//! The command line. Every option of `hold` must be given: a default would be a value that nobody asked for.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use crate::schedule::Manner;

const USAGE: &str = "usage: recoup-delay hold --queue NUMBER --delay MICROSECONDS --jitter MICROSECONDS --loss MILLIONTHS \
     --bandwidth BITS_PER_SECOND (0: no limit) --life SECONDS --seed NUMBER --stats FILE, or \
     recoup-delay roundtrips --times NUMBER ADDRESS:PORT...";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Hold(Hold),
    RoundTrips(RoundTrips),
}

/// The settings of `hold`.
#[derive(Debug, PartialEq, Eq)]
pub struct Hold {
    /// The queue's number in this network namespace.
    pub queue: u16,
    pub manner: Manner,
    /// It ends by itself after this long.
    pub life: Duration,
    /// Jitter and loss come from it.
    pub seed: u64,
    /// Where it writes what it has done. When the file's folder is gone, it ends.
    pub stats: PathBuf,
}

/// The settings of `roundtrips`.
#[derive(Debug, PartialEq, Eq)]
pub struct RoundTrips {
    /// With each party.
    pub times: u32,
    pub to: Vec<SocketAddr>,
}

/// The words after the program's name.
pub fn read(arguments: &[String]) -> Result<Command, String> {
    match arguments.split_first() {
        Some((command, rest)) if command == "hold" => hold(rest).map(Command::Hold),
        Some((command, rest)) if command == "roundtrips" => round_trips(rest).map(Command::RoundTrips),
        _ => Err(USAGE.to_owned()),
    }
}

/// Options by name; none is there twice.
struct Options<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Options<'a> {
    /// `--name value` pairs, and what follows them.
    fn read(words: &'a [String], known: &[&str]) -> Result<(Options<'a>, &'a [String]), String> {
        let mut options = Options(Vec::new());
        let mut rest = words;
        while let Some(name) = rest.first().and_then(|word| word.strip_prefix("--")) {
            if !known.contains(&name) {
                return Err(format!("there is no option --{name}; {USAGE}"));
            }
            if options.find(name).is_some() {
                return Err(format!("--{name} is given twice"));
            }
            let value = rest.get(1).ok_or_else(|| format!("--{name} needs a value"))?;
            options.0.push((name, value));
            rest = rest.get(2..).unwrap_or_default();
        }
        Ok((options, rest))
    }

    fn find(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Result<&'a str, String> {
        self.find(name).ok_or_else(|| format!("--{name} is missing; {USAGE}"))
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T, String> {
        let text = self.text(name)?;
        text.parse().map_err(|_| format!("--{name} {text:?} is not a whole number, or too large"))
    }
}

fn hold(words: &[String]) -> Result<Hold, String> {
    let known = ["queue", "delay", "jitter", "loss", "bandwidth", "life", "seed", "stats"];
    let (options, rest) = Options::read(words, &known)?;
    if let Some(word) = rest.first() {
        return Err(format!("{word:?} is no option; {USAGE}"));
    }
    let (delay, jitter, loss): (u64, u64, u32) =
        (options.number("delay")?, options.number("jitter")?, options.number("loss")?);
    if jitter > delay {
        return Err(format!(
            "--jitter {jitter} is more than --delay {delay}: no packet leaves before it came"
        ));
    }
    if loss > 1_000_000 {
        return Err(format!("--loss {loss} is more than all packets, which are 1000000"));
    }
    let bandwidth = options.number("bandwidth")?;
    Ok(Hold {
        queue: options.number("queue")?,
        manner: Manner {
            delay: Duration::from_micros(delay),
            jitter: Duration::from_micros(jitter),
            loss,
            bandwidth: (bandwidth > 0).then_some(bandwidth),
        },
        life: Duration::from_secs(options.number("life")?),
        seed: options.number("seed")?,
        stats: PathBuf::from(options.text("stats")?),
    })
}

fn round_trips(words: &[String]) -> Result<RoundTrips, String> {
    let (options, rest) = Options::read(words, &["times"])?;
    let address = |word: &String| {
        word.parse().map_err(|_| format!("{word:?} is not ADDRESS:PORT, as in 172.18.0.2:6443"))
    };
    let to = rest.iter().map(address).collect::<Result<Vec<SocketAddr>, String>>()?;
    if to.is_empty() {
        return Err(format!("no ADDRESS:PORT is given; {USAGE}"));
    }
    Ok(RoundTrips { times: options.number("times")?, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Result<Command, String> {
        read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    const SOUND: &str = "hold --queue 7 --delay 50000 --jitter 5000 --loss 10000 --bandwidth 1000000 --life 60 --seed 3 \
                         --stats /run/x";

    #[test]
    fn a_whole_command_line_is_read() {
        let Ok(Command::Hold(hold)) = told(SOUND) else { panic!("{:?}", told(SOUND)) };
        assert_eq!((hold.queue, hold.life, hold.seed), (7, Duration::from_secs(60), 3));
        assert_eq!(hold.manner.delay, Duration::from_millis(50));
        assert_eq!((hold.manner.loss, hold.manner.bandwidth), (10_000, Some(1_000_000)));
        let Ok(Command::Hold(free)) = told(&SOUND.replace("1000000", "0")) else { panic!("no limit") };
        assert_eq!(free.manner.bandwidth, None);
        let Ok(Command::RoundTrips(trips)) = told("roundtrips --times 3 10.0.0.1:80 [::1]:443") else {
            panic!("round trips")
        };
        assert_eq!((trips.times, trips.to.len()), (3, 2));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, says) in [
            ("", "usage"),
            ("hold", "--delay is missing"),
            (&SOUND.replace("--queue 7", ""), "--queue is missing"),
            (&SOUND.replace("--queue 7", "--queue 70000"), "--queue \"70000\""),
            (&SOUND.replace("--jitter 5000", "--jitter 60000"), "more than --delay"),
            (&SOUND.replace("--loss 10000", "--loss 1000001"), "more than all packets"),
            (&SOUND.replace("--seed 3", "--seed 3 --seed 4"), "--seed is given twice"),
            (&SOUND.replace("--seed 3", "--speed 3"), "no option --speed"),
            (&format!("{SOUND} more"), "\"more\" is no option"),
            ("hold --queue", "needs a value"),
            ("roundtrips --times 3", "no ADDRESS:PORT"),
            ("roundtrips --times 3 localhost:80", "is not ADDRESS:PORT"),
            ("roundtrips 10.0.0.1:80", "--times is missing"),
        ] {
            let error = told(line).unwrap_err();
            assert!(error.contains(says), "{line:?}: {error}");
        }
    }
}
