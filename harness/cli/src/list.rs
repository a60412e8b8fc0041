//! `recoup list`.

use anyhow::Result;
use serde_json::json;

use crate::{
    args,
    exit::Exit,
    output::print,
    plan::foreseen,
    select::select,
    words::{about, duration},
};

/// Lists experiments on stdout.
///
/// # Errors
/// Where the selection is wrong.
pub fn list(args: &args::List) -> Result<Exit> {
    let plans = select(&args.selection)?;
    if args.json {
        let rows: Vec<_> = plans
            .iter()
            .map(|plan| {
                let (least, most) = duration(&foreseen(plan)?);
                Ok(json!({
                    "id": plan.id,
                    "smoke": plan.smoke,
                    "profile": plan.profile,
                    "hypothesis": plan.hypothesis,
                    "leastSeconds": least.as_secs(),
                    "mostSeconds": most.as_secs(),
                }))
            })
            .collect::<Result<_>>()?;
        print(&format!("{:#}\n", serde_json::Value::from(rows)))?;
        return Ok(Exit::Passed);
    }
    let mut text = String::new();
    for plan in &plans {
        let smoke = if plan.smoke { ", smoke" } else { "" };
        let (least, _) = duration(plan);
        text += &format!("{} (profile {}{smoke}, at least {})\n", plan.id, plan.profile, about(least));
        text += &format!("    {}\n", plan.hypothesis.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    print(&text)?;
    Ok(Exit::Passed)
}
