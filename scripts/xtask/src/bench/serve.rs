//! `bench serve`: targets that are always up, for a measurement of what the probing process alone uses.

use anyhow::Result;
use recoup_engine::runtime::real_time;
use serde::{Deserialize, Serialize};

use super::{cluster::Address, script::Mode, target::Target};

/// A server, as told on standard output.
#[derive(Serialize, Deserialize)]
pub struct Told {
    name: String,
    url: String,
    authority: Option<Vec<u8>>,
}

impl From<Told> for Address {
    fn from(told: Told) -> Address {
        Address { name: told.name, url: told.url, authority: told.authority }
    }
}

/// Tells the servers in one line of JSON and serves until standard input ends.
pub fn run(count: usize) -> Result<()> {
    let runtime = real_time()?;
    let told = runtime.block_on(async {
        let mut told = Vec::new();
        for number in 0..u16::try_from(count)? {
            // Beside those of an accuracy measurement.
            let mut target =
                Target::open(0x8000 + number, Mode::Hang, true, std::time::Duration::ZERO).await?;
            let authority = target.authority().map(<[u8]>::to_vec);
            told.push(Told { name: format!("target-{number}"), url: target.url(), authority });
            tokio::spawn(async move { target.serve().await });
        }
        anyhow::Ok(told)
    })?;
    println!("{}", serde_json::to_string(&told)?);
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    runtime.shutdown_background();
    Ok(())
}
