//! What makes a part of a cluster slow, full or busy, as data, and what is found of it on the node.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    quantity::{Bitrate, Bytes, Millicores, Percent},
    time::Span,
};

/// Packets between one node and others that are late, or do not come at all, on one of their two ways: netem holds what
/// leaves the node, the node's own program what arrives, and a round trip takes longer by the delay once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlowRule {
    /// Tells this rule from everybody else's: it stands in the comments of packet filter rules.
    pub tag: String,
    /// Addresses of the other party; none means everybody but the node itself and its own pods.
    pub peers: Vec<String>,
    /// TCP ports, on either side; none means all packets.
    pub ports: Vec<u16>,
    /// Every packet is held back for so long …
    pub delay: Span,
    /// … give or take so much, uniformly.
    pub jitter: Span,
    /// So many are lost.
    pub loss: Percent,
    /// The rest passes at no more than this.
    pub bandwidth: Option<Bitrate>,
}

/// By what packets are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SlowMeans {
    /// The kernel's queueing discipline.
    Netem,
    /// recoup's own program on the node, to which the packet filter hands them (`NFQUEUE`).
    Nfqueue,
}

impl SlowMeans {
    /// As it is written and recorded.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SlowMeans::Netem => "netem",
            SlowMeans::Nfqueue => "nfqueue",
        }
    }
}

/// What a slow rule has done so far, as the means itself counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slowed {
    /// Packets that it held back and let go.
    pub packets: u64,
    /// Packets that it lost on purpose.
    pub lost: u64,
    /// Packets that it let go at once because too many waited (it fails open).
    pub overflowed: u64,
    /// How long packets were really held: half of them at most so long. Zero where the means does not measure it.
    pub p50: Span,
    /// … 99 of 100 at most so long.
    pub p99: Span,
    /// … all at most so long.
    pub max: Span,
}

/// What a component's processes may use. What is none is not limited.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    /// Processor time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Millicores>,
    /// Reads from each disk, a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_iops: Option<u32>,
    /// Writes to each disk, a second. What a write-ahead log waits for is the number of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_iops: Option<u32>,
    /// Bytes read from each disk, a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<Bytes>,
    /// Bytes written to each disk, a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_bytes: Option<Bytes>,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.cpu.map(|cores| format!("{cores} of processor time")),
            self.read_iops.map(|reads| format!("{reads} reads a second")),
            self.write_iops.map(|writes| format!("{writes} writes a second")),
            self.read_bytes.map(|bytes| format!("{bytes} read a second")),
            self.write_bytes.map(|bytes| format!("{bytes} written a second")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// A limit as it is found in a component's control group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limited {
    /// The control group that bears it, as the node names it.
    pub cgroup: String,
    /// Every process of the component is in that group, and the group's settings are what was asked for.
    pub in_force: bool,
    /// Periods of the processor's quota in which the group ran …
    pub periods: u64,
    /// … those of them in which it was stopped for having used its quota …
    pub throttled: u64,
    /// … and for how long altogether.
    pub throttled_for: Span,
    /// Reads of the group that were sent to disks …
    #[serde(default)]
    pub reads: u64,
    /// … its writes …
    #[serde(default)]
    pub writes: u64,
    /// … and the bytes of both: those read …
    #[serde(default)]
    pub read_bytes: u64,
    /// … and those written.
    #[serde(default)]
    pub write_bytes: u64,
    /// On how many disks they are limited.
    #[serde(default)]
    pub disks: u32,
    /// How long the group's reads and writes waited altogether; none where the kernel does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_wait: Option<Span>,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let force = if self.in_force { "in force" } else { "not in force" };
        write!(f, "limit {force} in {}", self.cgroup)?;
        if self.periods > 0 {
            let (throttled, periods) = (self.throttled, self.periods);
            write!(
                f,
                ", {throttled} of {periods} periods throttled for {:.1} s",
                self.throttled_for.0.as_secs_f64()
            )?;
        }
        if self.disks > 0 {
            write!(f, ", {} reads and {} writes on {} disks", self.reads, self.writes, self.disks)?;
        }
        match self.io_wait {
            Some(wait) => write!(f, ", which waited for {:.1} s", wait.0.as_secs_f64()),
            None => Ok(()),
        }
    }
}

/// How full an etcd member's database is, asked of the member itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdSpace {
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of it in use: defragmentation gives the rest back.
    pub in_use: u64,
    /// The limit, by the member's flag or etcd's default of 2 GiB.
    pub quota: u64,
    /// Alarms that are raised, as in `NOSPACE`, for any member.
    pub alarms: Vec<String>,
}

impl fmt::Display for EtcdSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alarms = if self.alarms.is_empty() { "none".to_owned() } else { self.alarms.join(", ") };
        write!(
            f,
            "{} bytes of a quota of {}, {} in use, alarms: {alarms}",
            self.size, self.quota, self.in_use
        )
    }
}
