//! What was done so far: counters, and a histogram of how long packets were really held.

use std::{fs, io, path::Path, time::Duration};

/// Parts of each power of two: figures are good to 0.4 %.
const PARTS: usize = 256;
/// `PARTS` is two to this.
const PARTS_LOG: u32 = PARTS.ilog2();

/// Counters, and times in microseconds.
#[derive(Debug, Default)]
pub struct Statistics {
    pub packets: u64,
    pub lost: u64,
    pub overflowed: u64,
    held: Vec<u64>,
    max: u64,
}

impl Statistics {
    /// A packet went after having been held for so long.
    pub fn held(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let place = place(micros);
        if self.held.len() <= place {
            self.held.resize(place + 1, 0);
        }
        self.held[place] += 1;
        self.packets += 1;
        self.max = self.max.max(micros);
    }

    /// So many of a hundred were held for at most so many microseconds; 0 where none was.
    fn percentile(&self, share: u64) -> u64 {
        let rank = (self.packets * share).div_ceil(100);
        let mut seen = 0;
        for (place, count) in self.held.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                return upper(place).min(self.max);
            }
        }
        self.max
    }

    /// One line: packets, lost and overflowed, and the held times' median, 99th percentile and longest.
    pub fn line(&self) -> String {
        format!(
            "slowed {} {} {} {} {} {}\n",
            self.packets,
            self.lost,
            self.overflowed,
            self.percentile(50),
            self.percentile(99),
            self.max
        )
    }

    /// Writes them, after a line of the writer's own, so that a reader sees all of it or what was there before.
    ///
    /// # Errors
    /// Where the file cannot be written: its folder is gone.
    pub fn write(&self, writer: &str, file: &Path) -> io::Result<()> {
        let new = file.with_extension("new");
        fs::write(&new, format!("{writer}\n{}", self.line()))?;
        fs::rename(&new, file)
    }
}

/// Where a time is counted: by itself where it is small, else by its power of two and the parts of that.
fn place(micros: u64) -> usize {
    let octave = (u64::BITS - micros.leading_zeros()).saturating_sub(PARTS_LOG + 1);
    let part = usize::try_from(micros >> octave).unwrap_or(PARTS);
    octave as usize * PARTS + part
}

/// The longest time that is counted there.
fn upper(place: usize) -> u64 {
    if place < 2 * PARTS {
        return place as u64;
    }
    let octave = place / PARTS - 1;
    let part = (place - octave * PARTS) as u64;
    ((part + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_its_place_and_the_places_are_fine() {
        for micros in
            (0..2000).chain((1..60).map(|power| 1_u64 << power)).chain([50_000, 50_199, 200_000_000])
        {
            let longest = upper(place(micros));
            assert!(longest >= micros && longest - micros <= micros / 256, "{micros}: {longest}");
            assert_eq!(place(longest), place(micros));
        }
        assert!((1..5000).all(|micros| place(micros) - place(micros - 1) <= 1), "a gap between two places");
    }

    #[test]
    fn percentiles_are_those_of_what_was_held() {
        let mut statistics = Statistics::default();
        assert_eq!(statistics.line(), "slowed 0 0 0 0 0 0\n");
        for millis in 1..=100 {
            statistics.held(Duration::from_millis(millis));
        }
        statistics.lost = 3;
        statistics.overflowed = 2;
        let line = statistics.line();
        let numbers: Vec<u64> = line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect();
        assert_eq!((numbers[0], numbers[1], numbers[2], numbers[5]), (100, 3, 2, 100_000));
        assert!(numbers[3].abs_diff(50_000) <= 200 && numbers[4].abs_diff(99_000) <= 400, "{line}");
    }

    #[test]
    fn a_file_is_written_whole_and_only_where_its_folder_is() {
        let dir = std::env::temp_dir().join(format!("recoup-delay-statistics-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("stats");
        Statistics::default().write("process 1 2", &file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "process 1 2\nslowed 0 0 0 0 0 0\n");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing else is left");
        fs::remove_dir_all(&dir).unwrap();
        assert!(Statistics::default().write("process 1 2", &file).is_err());
    }
}
