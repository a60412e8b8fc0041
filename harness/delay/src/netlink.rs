//! Messages of the kernel's packet queues (`linux/netfilter/nfnetlink_queue.h`), as bytes.
//!
//! A message is a header of 16 bytes, 4 bytes of nfnetlink's own, and attributes: length and kind of 2 bytes each,
//! and a value that is padded to 4 bytes. Headers are in the machine's byte order, values in the network's.

/// `NFNL_SUBSYS_QUEUE` in the upper byte of a message's kind.
const QUEUE: u16 = 3 << 8;
const MSG_PACKET: u16 = QUEUE;
const MSG_VERDICT: u16 = QUEUE | 1;
const MSG_CONFIG: u16 = QUEUE | 2;
/// `NLMSG_ERROR`: the answer to a request, good or bad.
const MSG_ERROR: u16 = 2;
const REQUEST: u16 = 1;
const ACK: u16 = 4;

const CFG_CMD: u16 = 1;
const CFG_PARAMS: u16 = 2;
const CFG_QUEUE_MAXLEN: u16 = 3;
const CFG_MASK: u16 = 4;
const CFG_FLAGS: u16 = 5;
const CMD_BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
/// `NFQA_CFG_F_FAIL_OPEN`: the kernel accepts what it cannot queue.
const FAIL_OPEN: u32 = 1;
/// `NFQA_CFG_F_GSO`: large packets come whole, as a queueing discipline gets them.
const GSO: u32 = 4;

const PACKET_HDR: u16 = 1;
const VERDICT_HDR: u16 = 2;
const PAYLOAD: u16 = 10;
const CAP_LEN: u16 = 13;

const HEADER: usize = 16;
const FAMILY: usize = 4;
const ALIGN: usize = 4;

/// `NF_DROP` and `NF_ACCEPT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Drop,
    Accept,
}

/// What the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A packet waits for its verdict.
    Packet {
        /// Names it in its verdict.
        id: u32,
        /// Its length in bytes, from the network layer on.
        length: u32,
    },
    /// How a request ended: 0, or an error's number.
    Answer(i32),
}

/// Requests one after another that make a queue ours, each of which is answered.
pub fn configuration(queue: u16, most: u32) -> Vec<Vec<u8>> {
    // One byte of each packet: with it comes the packet's whole length.
    let mut params = 1_u32.to_be_bytes().to_vec();
    params.push(COPY_PACKET);
    vec![
        // A command is followed by a byte of padding and a protocol family, which kernels from 3.8 on do not look at.
        config(queue, &[(CFG_CMD, &[CMD_BIND, 0, 0, 0])]),
        config(queue, &[(CFG_PARAMS, &params), (CFG_QUEUE_MAXLEN, &most.to_be_bytes())]),
        config(queue, &[(CFG_FLAGS, &FAIL_OPEN.to_be_bytes()), (CFG_MASK, &FAIL_OPEN.to_be_bytes())]),
        config(queue, &[(CFG_FLAGS, &GSO.to_be_bytes()), (CFG_MASK, &GSO.to_be_bytes())]),
    ]
}

fn config(queue: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    message(&mut bytes, MSG_CONFIG, REQUEST | ACK, queue, attributes);
    bytes
}

/// Adds a packet's verdict. It is answered only where the kernel does not know the packet (any more).
pub fn verdict(bytes: &mut Vec<u8>, queue: u16, id: u32, verdict: Verdict) {
    let mut value = match verdict {
        Verdict::Drop => 0_u32,
        Verdict::Accept => 1,
    }
    .to_be_bytes()
    .to_vec();
    value.extend(id.to_be_bytes());
    message(bytes, MSG_VERDICT, REQUEST, queue, &[(VERDICT_HDR, &value)]);
}

fn message(bytes: &mut Vec<u8>, kind: u16, flags: u16, queue: u16, attributes: &[(u16, &[u8])]) {
    let padded = |length: usize| length.next_multiple_of(ALIGN);
    let values: usize = attributes.iter().map(|(_, value)| ALIGN + padded(value.len())).sum();
    let whole = u32::try_from(HEADER + FAMILY + values).unwrap_or(u32::MAX);
    bytes.extend(whole.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Neither number nor sender: answers come in the order of the requests, on a socket of our own.
    bytes.extend([0; 8]);
    // Any family, version 0, and the queue.
    bytes.extend([0, 0]);
    bytes.extend(queue.to_be_bytes());
    for (kind, value) in attributes {
        let length = u16::try_from(ALIGN + value.len()).unwrap_or(u16::MAX);
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(*value);
        bytes.resize(bytes.len() + padded(value.len()) - value.len(), 0);
    }
}

/// What the kernel's bytes say; what is cut short, or is neither packet nor answer, is left out.
pub fn read(bytes: &[u8]) -> Vec<Told> {
    let mut told = Vec::new();
    let mut rest = bytes;
    while let (Some(whole), Some(kind)) = (word(rest, 0), half(rest, 4)) {
        let whole = whole as usize;
        let Some(body) = rest.get(HEADER..whole) else { break };
        match kind {
            MSG_ERROR => {
                told.extend(word(body, 0).map(|code| Told::Answer(code.cast_signed().wrapping_neg())))
            }
            MSG_PACKET => told.extend(body.get(FAMILY..).and_then(packet)),
            _ => {}
        }
        rest = rest.get(whole.next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    told
}

fn packet(attributes: &[u8]) -> Option<Told> {
    let (mut id, mut copied, mut whole) = (None, 0, None);
    let mut rest = attributes;
    while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let length = usize::from(length);
        let value = rest.get(ALIGN..length)?;
        let number = || value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        // The two upper bits say how a value is to be read, not what it is.
        match kind & 0x3fff {
            PACKET_HDR => id = number(),
            CAP_LEN => whole = number(),
            PAYLOAD => copied = u32::try_from(value.len()).unwrap_or(u32::MAX),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    Some(Told::Packet { id: id?, length: whole.unwrap_or(copied) })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the kernel sends it, of attributes that are whole words.
    fn from_kernel(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        message(&mut bytes, kind, 0, 7, attributes);
        bytes
    }

    #[test]
    fn the_requests_are_those_of_the_kernels_header() {
        let requests = configuration(0x1234, 0x0001_0000);
        let mut bind = 28_u32.to_ne_bytes().to_vec();
        bind.extend(0x0302_u16.to_ne_bytes());
        bind.extend(5_u16.to_ne_bytes());
        bind.extend([0; 8]);
        bind.extend([0, 0, 0x12, 0x34]);
        bind.extend(8_u16.to_ne_bytes());
        bind.extend(1_u16.to_ne_bytes());
        bind.extend([1, 0, 0, 0]);
        assert_eq!(requests[0], bind);
        // Five bytes of parameters are padded to eight, and the length says five.
        assert_eq!(requests[1].len(), 16 + 4 + 4 + 8 + 4 + 4);
        assert_eq!(requests[1][20..22], 9_u16.to_ne_bytes());
        assert_eq!(requests[1][24..32], [0, 0, 0, 1, 2, 0, 0, 0]);
        assert_eq!(requests[1][36..40], [0, 1, 0, 0]);
    }

    #[test]
    fn verdicts_name_their_packets_and_go_together() {
        let mut bytes = Vec::new();
        verdict(&mut bytes, 7, 0x0102_0304, Verdict::Accept);
        verdict(&mut bytes, 7, 5, Verdict::Drop);
        assert_eq!(bytes.len(), 2 * 32);
        assert_eq!(bytes[24..32], [0, 0, 0, 1, 1, 2, 3, 4]);
        assert_eq!(bytes[56..64], [0, 0, 0, 0, 0, 0, 0, 5]);
    }

    #[test]
    fn packets_are_read_with_their_length() {
        let header: &[u8] = &[0, 0, 0, 9, 8, 0, 4];
        let bytes =
            from_kernel(MSG_PACKET, &[(PACKET_HDR, header), (PAYLOAD, &[69]), (CAP_LEN, &[0, 0, 5, 220])]);
        assert_eq!(read(&bytes), [Told::Packet { id: 9, length: 1500 }]);
        let short = from_kernel(MSG_PACKET, &[(PAYLOAD, &[69]), (PACKET_HDR, header)]);
        assert_eq!(read(&short), [Told::Packet { id: 9, length: 1 }], "all of it was copied");
    }

    #[test]
    fn answers_are_read_and_what_is_cut_short_is_left_out() {
        let mut bytes = 36_u32.to_ne_bytes().to_vec();
        bytes.extend(MSG_ERROR.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend((-16_i32).to_ne_bytes());
        bytes.extend([0; 16]);
        assert_eq!(read(&bytes), [Told::Answer(16)]);
        bytes.extend(from_kernel(MSG_PACKET, &[(PACKET_HDR, &[0, 0, 0, 9, 8, 0, 4])]));
        assert_eq!(read(&bytes), [Told::Answer(16), Told::Packet { id: 9, length: 0 }]);
        assert_eq!(read(&bytes[..50]), [Told::Answer(16)]);
        assert_eq!(read(&bytes[..7]), []);
        assert_eq!(read(&from_kernel(MSG_PACKET, &[])), [], "no packet without a number");
        assert_eq!(read(&[0; 32]), [], "a length of nothing ends the reading");
    }
}
