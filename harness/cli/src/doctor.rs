//! `recoup doctor`: what this machine has and lacks for real clusters, each with how to mend it.

use anyhow::Result;
use recoup_clusters::{Profile, Wanted, kind::doctor as examine};

use crate::{
    args,
    exit::Exit,
    output::{print, real_time},
};

/// The profile of most experiments, so the one that a machine should carry.
const PROFILE: &str = "ha";

/// Looks at Docker, kind, images, kernel and limits, and says on stdout what it finds. Changes nothing.
///
/// # Errors
/// Where stdout cannot be written.
pub fn doctor(args: &args::Doctor) -> Result<Exit> {
    let making = &args.making;
    let wanted = Wanted {
        profile: Profile::load(PROFILE)?,
        name: making.name.clone().unwrap_or_else(|| format!("recoup-{PROFILE}")),
        image: making.image.clone(),
        version: making.kubernetes.clone(),
        adopt: false,
        seed: 0,
        making: recoup_clusters::Making::default(),
    };
    let checks = real_time()?.block_on(examine(&wanted));
    let mut text = String::new();
    for check in &checks {
        let sign = match (check.ok, check.required) {
            (true, _) => "ok",
            (false, true) => "MISSING",
            (false, false) => "warning",
        };
        text += &format!("{sign:<8} {}: {}\n", check.name, check.found);
        if !check.remedy.is_empty() {
            text += &format!("           to mend it: {}\n", check.remedy);
        }
    }
    let usable = checks.iter().all(|check| check.ok || !check.required);
    text += if usable {
        "\nReal clusters can be made here.\n"
    } else {
        "\nNo real cluster of that profile can be made here as it is. Simulated ones can: recoup run --cluster sim\n"
    };
    print(&text)?;
    Ok(if usable { Exit::Passed } else { Exit::NoCluster })
}
