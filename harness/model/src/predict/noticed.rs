//! The onset: the first failed attempt at what a fault takes away.

use std::time::Duration;

use super::{
    scene::{How, Missing, Scene},
    sum::Sum,
};
use crate::{action::Process, spec::When};

/// The interval of a milestone that names the hit component itself: it fails at once.
pub(super) fn sum(scene: &Scene<'_>) -> Result<Sum, Missing> {
    let When::Fails(pattern) = &scene.milestone.when else { return Err(Missing::Formula) };
    let parts: Vec<&str> = pattern.0.split('/').collect();
    let (process, seen_when_killed) = match parts.as_slice() {
        ["etcd", _, "@target"] => (Process::Etcd, true),
        ["api", _, "@target", _] => (Process::KubeApiserver, true),
        ["health", "kubelet", "@target"] => (Process::Kubelet, false),
        ["health", "kube-proxy", "@target"] => (Process::KubeProxy, false),
        _ => return Err(Missing::Formula),
    };
    let blow = scene.only(process).filter(|_| !scene.counts_from_undo()).ok_or(Missing::Formula)?;
    match blow.how {
        // A kubelet may be back between two looks; a container is not.
        How::Kill if seen_when_killed => {}
        How::Stop(_) | How::Held(_) => {}
        How::Kill | How::Term => return Err(Missing::Formula),
    }
    Ok(Sum::new().high(Duration::ZERO, "what was hit answers no more", "the fault's evidence"))
}
