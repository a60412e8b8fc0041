//! Packets held back where the kernel lacks netem, and handshakes timed: what recoup runs on a node.
//!
//! `recoup-delay hold` takes the packets that a rule of the packet filter hands to a queue of the kernel
//! (`NFQUEUE`), and lets each go when its time has come. It fails open: when it ends, when it is told to, and when
//! too many packets wait, they go at once. `recoup-delay roundtrips` times TCP handshakes, which says how late
//! packets really are. Standard library only: the program is built statically into recoup itself.

mod arguments;
mod hold;
mod netlink;
mod roundtrips;
mod schedule;
mod statistics;
mod sys;

use std::{env, process::ExitCode};

use arguments::Command;

/// The queue's number belongs to another program: whoever started this one can take the next number.
const TAKEN: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments::read(&arguments) {
        Ok(Command::Hold(settings)) => hold::run(&settings),
        Ok(Command::RoundTrips(settings)) => {
            roundtrips::run(&settings);
            Ok(())
        }
        Err(wrong) => Err(hold::Failed::Otherwise(wrong)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(hold::Failed::Taken(message)) => {
            eprintln!("{message}");
            ExitCode::from(TAKEN)
        }
        Err(hold::Failed::Otherwise(message)) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
