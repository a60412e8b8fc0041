//! `hold`: the loop between the kernel's queue and the schedule.

use std::{
    collections::VecDeque,
    fs, io,
    time::{Duration, Instant},
};

use crate::{
    arguments::Hold,
    netlink::{self, Told, Verdict},
    schedule::{Fate, MOST_WAITING, Schedule},
    statistics::Statistics,
    sys::{self, Socket},
};

/// Between two writings of what was done.
const REPORT: Duration = Duration::from_millis(200);
/// The kernel answers a request at once.
const ANSWER: Duration = Duration::from_secs(2);
/// So many messages are taken in before it is looked which packets are due.
const ROUND: usize = 64;
/// A message holds one byte of a packet, and about 100 of what the kernel knows of it.
const BUFFER: usize = 4096;
/// `EPERM`, which the kernel says of a queue that another socket holds, and `EBUSY`.
const TAKEN: [i32; 2] = [1, 16];

/// Why packets are not held.
#[derive(Debug)]
pub enum Failed {
    /// Another program has the queue.
    Taken(String),
    Otherwise(String),
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> Failed {
    move |error| Failed::Otherwise(format!("{doing}: {error}"))
}

/// A packet that waits for its time.
struct Waiting {
    id: u32,
    came: Duration,
    due: Duration,
}

/// Holds packets back until its life is over, it is asked to end, or the folder of its file is gone.
pub fn run(settings: &Hold) -> Result<(), Failed> {
    sys::note_signals();
    let socket = Socket::open().map_err(failed("a netlink socket"))?;
    take_queue(&socket, settings.queue)?;
    sys::come_first();
    let mut queue = Queue {
        socket,
        number: settings.queue,
        schedule: Schedule::new(settings.manner, settings.seed),
        statistics: Statistics::default(),
        waiting: VecDeque::new(),
        verdicts: Vec::new(),
        began: Instant::now(),
    };
    let me = identity().map_err(failed("/proc/self/stat"))?;
    queue.statistics.write(&me, &settings.stats).map_err(failed("the statistics"))?;
    let ended = queue.hold(settings, &me);
    // Whatever ended it: nothing that waits may be lost.
    let open = queue.let_all_go();
    // Whoever removed the folder does not want them.
    let _ = queue.statistics.write(&me, &settings.stats);
    ended.and(open)
}

/// Makes the queue ours.
fn take_queue(socket: &Socket, queue: u16) -> Result<(), Failed> {
    let most = u32::try_from(MOST_WAITING * 2).unwrap_or(u32::MAX);
    for (number, request) in netlink::configuration(queue, most).iter().enumerate() {
        socket.send(request).map_err(failed("the packet queue"))?;
        match answer(socket).map_err(failed("the packet queue"))? {
            0 => {}
            code if number == 0 && TAKEN.contains(&code) => {
                return Err(Failed::Taken(format!("queue {queue} is taken, or this is not root")));
            }
            code => {
                let error = io::Error::from_raw_os_error(code);
                return Err(Failed::Otherwise(format!("queue {queue}, request {number}: {error}")));
            }
        }
    }
    Ok(())
}

fn answer(socket: &Socket) -> io::Result<i32> {
    let mut buffer = [0; BUFFER];
    let began = Instant::now();
    while began.elapsed() < ANSWER {
        let told = socket.receive(&mut buffer)?.map(netlink::read).unwrap_or_default();
        let answered = told.iter().find_map(|one| match one {
            Told::Answer(code) => Some(*code),
            Told::Packet { .. } => None,
        });
        match answered {
            Some(code) => return Ok(code),
            None => socket.wait(ANSWER)?,
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel does not answer"))
}

/// `process PID STARTED`, which tells this process from a later one of the same number.
fn identity() -> io::Result<String> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // Field 22; the second, in parentheses, may hold anything.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let started = fields.split(' ').nth(19).ok_or_else(|| io::Error::other("it has no start time"))?;
    Ok(format!("process {} {started}", std::process::id()))
}

struct Queue {
    socket: Socket,
    number: u16,
    schedule: Schedule,
    statistics: Statistics,
    /// In the order in which they go, which is that in which they came.
    waiting: VecDeque<Waiting>,
    /// To be sent.
    verdicts: Vec<u8>,
    began: Instant,
}

impl Queue {
    fn hold(&mut self, settings: &Hold, me: &str) -> Result<(), Failed> {
        let mut report = REPORT;
        while !sys::asked_to_end() {
            self.take_in(false).map_err(failed("reading the packet queue"))?;
            let now = self.began.elapsed();
            self.let_due_go(now).map_err(failed("answering the packet queue"))?;
            if now >= settings.life {
                break;
            }
            if now >= report {
                report = now + REPORT;
                if self.statistics.write(me, &settings.stats).is_err() {
                    break;
                }
            }
            let next = self.waiting.front().map_or(report, |first| first.due.min(report)).min(settings.life);
            let left = next.saturating_sub(self.began.elapsed());
            if !left.is_zero() {
                self.socket.wait(left).map_err(failed("waiting for packets"))?;
            }
        }
        Ok(())
    }

    /// Takes in some of what has come; true where there may be more. With `open` everything goes at once.
    fn take_in(&mut self, open: bool) -> io::Result<bool> {
        let mut buffer = [0; BUFFER];
        for _ in 0..ROUND {
            let Some(bytes) = self.socket.receive(&mut buffer)? else { return Ok(false) };
            let now = self.began.elapsed();
            for told in netlink::read(bytes) {
                // An answer is about a packet that is gone, with its device for example.
                let Told::Packet { id, length } = told else { continue };
                let fate = match open {
                    true => Fate::At(now),
                    false => self.schedule.arrive(now, length, self.waiting.len()),
                };
                match fate {
                    Fate::Lost => {
                        self.statistics.lost += 1;
                        netlink::verdict(&mut self.verdicts, self.number, id, Verdict::Drop);
                    }
                    Fate::AtOnce => {
                        self.statistics.overflowed += 1;
                        netlink::verdict(&mut self.verdicts, self.number, id, Verdict::Accept);
                    }
                    Fate::At(due) => self.waiting.push_back(Waiting { id, came: now, due }),
                }
            }
        }
        Ok(true)
    }

    /// Lets everything go whose time has come by `now`.
    fn let_due_go(&mut self, now: Duration) -> io::Result<()> {
        while self.waiting.front().is_some_and(|first| first.due <= now) {
            if let Some(first) = self.waiting.pop_front() {
                netlink::verdict(&mut self.verdicts, self.number, first.id, Verdict::Accept);
                self.statistics.held(self.began.elapsed().saturating_sub(first.came));
            }
        }
        if !self.verdicts.is_empty() {
            self.socket.send(&self.verdicts)?;
            self.verdicts.clear();
        }
        Ok(())
    }

    /// Everything that waits or is still to be read; the kernel drops what is in a queue that is closed.
    fn let_all_go(&mut self) -> Result<(), Failed> {
        loop {
            let more = self.take_in(true).map_err(failed("reading the packet queue"))?;
            self.let_due_go(Duration::MAX).map_err(failed("answering the packet queue"))?;
            if !more {
                return Ok(());
            }
        }
    }
}
