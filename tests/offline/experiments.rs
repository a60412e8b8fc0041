//! Every built-in experiment runs on the simulation and passes.

use recoup_model::verdict::Verdict;
use recoup_tests::offline::{Lab, plans};

async fn all_pass(area: &str) {
    let plans = plans(&[area]).unwrap();
    let ran = Lab::new().unwrap().run(&plans, 1).await.unwrap();
    assert_eq!(ran.run.experiments.len(), plans.len());
    assert!(ran.run.simulated && !ran.run.incomplete);
    for result in &ran.run.experiments {
        assert!(result.simulated, "{} does not say SIMULATED", result.id);
        assert_eq!(result.verdict, Verdict::Pass, "{}: {:#?}", result.id, result.reasons);
        assert!(!result.bands.is_empty(), "{} broke nothing", result.id);
        assert!(
            result.bands.iter().all(|band| band.evidence.iter().any(|(_, held, _)| *held)),
            "{}",
            result.id
        );
    }
}

macro_rules! areas {
    ($($test:ident: $area:literal),* $(,)?) => {
        $(#[tokio::test(start_paused = true)]
        async fn $test() {
            all_pass($area).await;
        })*

        #[test]
        fn no_area_is_left_out() {
            let areas = [$($area),*];
            for plan in plans(&[""]).unwrap() {
                assert!(areas.iter().any(|area| plan.id.starts_with(area)), "{} is not run here", plan.id);
            }
        }
    };
}

areas! {
    etcd: "etcd/",
    apiserver: "apiserver/",
    controller_manager: "controller-manager/",
    scheduler: "scheduler/",
    kubelet: "kubelet/",
    kube_proxy: "kube-proxy/",
}
