//! The few calls of the C library that the standard library lacks: netlink sockets, waiting to the microsecond,
//! signals, priority. All that is unsafe of this program is here.
#![expect(
    unsafe_code,
    reason = "the standard library has no netlink sockets, and the program is compiled with rustc alone"
)]

use std::{
    ffi::{c_int, c_long, c_uint, c_ulong, c_void},
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

// Numbers of Linux, the same on x86_64 and aarch64 (include/uapi).
const AF_NETLINK: u16 = 16;
const SOCK_RAW: c_int = 3;
const SOCK_CLOEXEC: c_int = 0o2_000_000;
const NETLINK_NETFILTER: c_int = 12;
const SOL_SOCKET: c_int = 1;
const SO_RCVBUFFORCE: c_int = 33;
const SOL_NETLINK: c_int = 270;
const NETLINK_NO_ENOBUFS: c_int = 5;
const MSG_DONTWAIT: c_int = 0x40;
const POLLIN: i16 = 1;
const SIGINT: c_int = 2;
const SIGTERM: c_int = 15;
const SCHED_FIFO: c_int = 1;
const PRIO_PROCESS: c_int = 0;

/// Room for what arrives while the program is not scheduled: a message takes about 1 KiB of it.
const RECEIVE_BUFFER: c_int = 32 << 20;

#[repr(C)]
struct SockaddrNl {
    family: u16,
    pad: u16,
    pid: u32,
    groups: u32,
}

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

#[repr(C)]
struct TimeSpec {
    seconds: i64,
    nanos: c_long,
}

unsafe extern "C" {
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn bind(fd: c_int, address: *const SockaddrNl, length: c_uint) -> c_int;
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_int, length: c_uint) -> c_int;
    fn send(fd: c_int, bytes: *const c_void, length: usize, flags: c_int) -> isize;
    fn recv(fd: c_int, bytes: *mut c_void, length: usize, flags: c_int) -> isize;
    fn ppoll(fds: *mut PollFd, count: c_ulong, limit: *const TimeSpec, mask: *const c_void) -> c_int;
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn sched_setscheduler(pid: c_int, policy: c_int, priority: *const c_int) -> c_int;
    fn setpriority(which: c_int, who: c_uint, nice: c_int) -> c_int;
}

/// A socket to the kernel's packet queues, in this process' network namespace.
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens one that never fails for lack of room: what does not fit goes through unheld.
    pub fn open() -> io::Result<Socket> {
        // SAFETY: no memory is handed over.
        let fd = done(unsafe { socket(AF_NETLINK.into(), SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER) })?;
        // SAFETY: the descriptor was made a moment ago, and nobody else has it.
        let opened = Socket(unsafe { OwnedFd::from_raw_fd(fd) });
        let address = SockaddrNl { family: AF_NETLINK, pad: 0, pid: 0, groups: 0 };
        let length = c_uint::try_from(size_of::<SockaddrNl>()).unwrap_or(0);
        // SAFETY: the address lives through the call and is as long as is said.
        done(unsafe { bind(opened.0.as_raw_fd(), &raw const address, length) })?;
        opened.set(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)?;
        // Root may have more than the system's limit; without it the usual room must do.
        let _ = opened.set(SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
        Ok(opened)
    }

    fn set(&self, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
        let length = c_uint::try_from(size_of::<c_int>()).unwrap_or(0);
        // SAFETY: the value lives through the call and is as long as is said.
        done(unsafe { setsockopt(self.0.as_raw_fd(), level, name, &raw const value, length) }).map(drop)
    }

    /// Sends whole messages.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: the pointer and the length are those of one slice that lives through the call.
        let sent = unsafe { send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// What has come; none where nothing has.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        // SAFETY: the pointer and the length are those of one slice that nobody else uses meanwhile.
        let got = unsafe { recv(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), MSG_DONTWAIT) };
        match usize::try_from(got) {
            Ok(length) => Ok(Some(buffer.get(..length).unwrap_or_default())),
            Err(_) => match io::Error::last_os_error() {
                error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    Ok(None)
                }
                error => Err(error),
            },
        }
    }

    /// Waits until something comes, the time is over or a signal came.
    pub fn wait(&self, limit: Duration) -> io::Result<()> {
        let mut fds = PollFd { fd: self.0.as_raw_fd(), events: POLLIN, revents: 0 };
        let limit = TimeSpec {
            seconds: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            nanos: c_long::from(limit.subsec_nanos().cast_signed()),
        };
        // SAFETY: one descriptor and one time, both alive through the call; no mask means none is set.
        let ended = unsafe { ppoll(&raw mut fds, 1, &raw const limit, std::ptr::null()) };
        match done(ended) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

fn done(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

static ASKED_TO_END: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: c_int) {
    ASKED_TO_END.store(true, Ordering::Relaxed);
}

/// From now on TERM and INT are noted and do not end the process.
pub fn note_signals() {
    for number in [SIGTERM, SIGINT] {
        // SAFETY: the handler only stores to an atomic, which is allowed in one.
        unsafe { signal(number, note) };
    }
}

/// TERM or INT has come.
pub fn asked_to_end() -> bool {
    ASKED_TO_END.load(Ordering::Relaxed)
}

/// Ahead of others on the processor, as far as the system lets it: packets wait for this process.
pub fn come_first() {
    let lowest_of_real_time: c_int = 1;
    // SAFETY: `sched_param` is one int, which lives through the call; the others take no memory.
    unsafe {
        if sched_setscheduler(0, SCHED_FIFO, &raw const lowest_of_real_time) != 0 {
            setpriority(PRIO_PROCESS, 0, -20);
        }
    }
}
