//! The live settings of a real cluster.
//!
//! Looks only: `RECOUP_TEST_CLUSTER=name cargo test -p recoup-clusters --test kind_configuration -- --ignored --nocapture`

use recoup_clusters::{
    Cluster,
    kind::{Docker, KindCluster, KindNodes, command},
};
use recoup_model::{configuration::names, predict::predict, spec::builtin};

#[tokio::test]
#[ignore = "needs the kind cluster that RECOUP_TEST_CLUSTER names"]
async fn everything_that_predictions_need_is_read_live() {
    let name = std::env::var("RECOUP_TEST_CLUSTER").expect("RECOUP_TEST_CLUSTER names a kind cluster");
    let docker = Docker::connect().await.expect("docker answers");
    let nodes = KindNodes::connect(docker.clone(), &name).await.expect("it exists");
    let kubeconfig = command::kubeconfig(&name).await.expect("its kubeconfig");
    let version = command::version().await.expect("kind runs");
    let image = docker.containers(&name).await.expect("listed").remove(0).image;
    let cluster = KindCluster::connect(docker, nodes, &name, "ha", &kubeconfig, &image, &version)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let config = cluster.configuration();
    println!("{}", serde_json::to_string_pretty(config).expect("JSON"));
    // A cluster that nobody has tuned or broken: a doubt would be the reader's own.
    assert_eq!(config.doubts, Vec::<String>::new());
    assert!(config.minor > 0 && cluster.fingerprint().kubernetes.contains(&format!(".{}.", config.minor)));
    for name in [names::KUBELET_RESTART, names::CONTAINERD_RESTART, names::PROXY_SYNC] {
        assert!(!config.setting(name).source.starts_with("default"), "{name} was not read");
    }
    let planes = cluster
        .fingerprint()
        .nodes
        .iter()
        .filter(|node| node.role == recoup_model::topology::NodeRole::ControlPlane);
    assert_eq!(config.control_planes as usize, planes.count());
    assert_eq!(config.balancer.is_some(), config.control_planes > 1);
    for plan in builtin(&["ha"]).unwrap_or_else(|error| panic!("{error}")) {
        for (milestone, prediction) in predict(&plan, config) {
            println!("{:40} {milestone:44} {} to {}", plan.id, prediction.low, prediction.high);
        }
    }
}
