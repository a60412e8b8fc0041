//! The conditions of a measurement: what must stand beside its figures.

use std::fs;

use serde::Serialize;

/// The machine, and how busy others kept it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// Logical processors.
    pub cores: u32,
    /// Processor model, where the kernel tells.
    pub model: String,
    /// Load average of the last minute before.
    pub load: f64,
}

impl Machine {
    /// As it is now.
    pub fn read() -> Machine {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let model = text("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
        Machine {
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            cores: cores(),
            model: model.unwrap_or_else(|| "unknown".into()),
            load: text("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(f64::NAN),
        }
    }

    /// In one line.
    pub fn words(&self) -> String {
        let Machine { kernel, cores, model, load } = self;
        format!("Linux {kernel}, {cores} cores ({model}), load average {load} before")
    }
}

/// Logical processors that this process may use.
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}
