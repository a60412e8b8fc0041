//! When a packet that comes now may go: a pure function of its time of arrival and of those before it.

use std::time::Duration;

/// So many may wait at a time. A thousand a second held for ten seconds are half of it; beyond it the harness,
/// not the network, would be what is slow.
pub const MOST_WAITING: usize = 20_000;

/// How packets are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Each is held for so long …
    pub delay: Duration,
    /// … give or take so much, uniformly.
    pub jitter: Duration,
    /// So many of a million are lost.
    pub loss: u32,
    /// The rest leaves one after the other at so many bits a second.
    pub bandwidth: Option<u64>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is dropped.
    Lost,
    /// It goes now: too many wait.
    AtOnce,
    /// It goes at that time.
    At(Duration),
}

/// The schedule of one queue. Times count from its own start.
///
/// Packets keep the order in which they came, as those of one connection do on a real line: no packet goes before
/// the one before it. So with jitter, packets that follow each other more quickly than the jitter lasts are held
/// for longer than `delay` on average, up to `delay + jitter`.
#[derive(Debug)]
pub struct Schedule {
    manner: Manner,
    dice: Dice,
    /// When the last one goes, and the line behind it is free again.
    free: Duration,
}

impl Schedule {
    pub fn new(manner: Manner, seed: u64) -> Schedule {
        Schedule { manner, dice: Dice(seed), free: Duration::ZERO }
    }

    /// A packet of that length comes `now`, while so many wait.
    pub fn arrive(&mut self, now: Duration, bytes: u32, waiting: usize) -> Fate {
        let Manner { delay, jitter, loss, bandwidth } = self.manner;
        if self.dice.below(1_000_000) < u64::from(loss) {
            return Fate::Lost;
        }
        if waiting >= MOST_WAITING {
            return Fate::AtOnce;
        }
        let width = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX / 4) * 2;
        let shift = Duration::from_micros(self.dice.below(width + 1));
        let mut due = (now + delay + shift).saturating_sub(jitter).max(self.free);
        if let Some(bits) = bandwidth {
            due += on_the_line(bytes, bits);
        }
        self.free = due;
        Fate::At(due)
    }
}

/// How long so many bytes take at so many bits a second.
fn on_the_line(bytes: u32, bits: u64) -> Duration {
    let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(bits.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// `SplitMix64` (Steele, Lea and Flood 2014): all that jitter and loss need, and the same everywhere.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// A number below `most`. The bias towards small ones is below one in 10^12 for what is asked here.
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Manner =
        Manner { delay: Duration::from_millis(50), jitter: Duration::ZERO, loss: 0, bandwidth: None };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// How long packets that come so far apart are held, the lost ones left out.
    fn held(manner: Manner, apart: Duration, count: u32) -> Vec<Duration> {
        let mut schedule = Schedule::new(manner, 7);
        let mut held = Vec::new();
        for number in 0..count {
            let now = apart * number;
            if let Fate::At(due) = schedule.arrive(now, 1250, 0) {
                held.push(due.checked_sub(now).expect("no packet goes before it came"));
            }
        }
        held
    }

    #[test]
    fn every_packet_is_held_for_the_delay() {
        assert!(held(PLAIN, ms(1), 1000).iter().all(|held| *held == ms(50)));
    }

    #[test]
    fn jitter_stays_in_its_bounds_fills_them_and_comes_from_the_seed() {
        let manner = Manner { jitter: ms(10), ..PLAIN };
        // Far enough apart that no packet waits for the one before.
        let times = held(manner, ms(100), 2000);
        assert!(times.iter().all(|held| (ms(40)..=ms(60)).contains(held)));
        let (least, most) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
        assert!(*least < ms(41) && *most > ms(59), "{least:?} {most:?}");
        let mean: Duration = times.iter().sum::<Duration>() / 2000;
        assert!(mean > ms(49) && mean < ms(51), "{mean:?}");
        assert_eq!(times, held(manner, ms(100), 2000));
    }

    #[test]
    fn packets_keep_their_order() {
        let mut schedule = Schedule::new(Manner { jitter: ms(50), ..PLAIN }, 1);
        let mut before = Duration::ZERO;
        for number in 0..2000 {
            let now = ms(1) * number;
            let Fate::At(due) = schedule.arrive(now, 100, 0) else { panic!("no losses were asked for") };
            assert!(due >= before && due >= now && due <= now + ms(100), "{due:?} after {before:?}");
            before = due;
        }
    }

    #[test]
    fn so_many_are_lost_as_were_asked_for() {
        for (loss, from, to) in
            [(0, 0, 0), (10_000, 800, 1200), (500_000, 49_000, 51_000), (1_000_000, 100_000, 100_000)]
        {
            let kept = held(Manner { loss, ..PLAIN }, ms(1), 100_000).len();
            let lost = 100_000 - kept;
            assert!((from..=to).contains(&lost), "{loss} of a million: {lost} of 100000");
        }
    }

    #[test]
    fn a_bandwidth_lets_packets_out_one_after_the_other() {
        // 1250 bytes are 10 ms at 1 Mbit/s; they come every 5 ms.
        let manner = Manner { bandwidth: Some(1_000_000), ..PLAIN };
        let times = held(manner, ms(5), 100);
        assert_eq!((times[0], times[1], times[99]), (ms(60), ms(65), ms(60 + 99 * 5)));
        // Slower than the line they do not wait for each other.
        assert!(held(manner, ms(20), 100).iter().all(|held| *held == ms(60)));
    }

    #[test]
    fn too_many_waiting_are_let_through() {
        let mut schedule = Schedule::new(PLAIN, 1);
        assert_eq!(schedule.arrive(ms(1), 100, MOST_WAITING), Fate::AtOnce);
        assert_eq!(schedule.arrive(ms(1), 100, MOST_WAITING - 1), Fate::At(ms(51)));
    }
}
