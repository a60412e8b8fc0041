//! The page's structure; how it looks is for eyes.

mod fixtures;
#[path = "fixtures/repeated.rs"]
mod trials;

use recoup_report::html;

/// Elements that have no end tag.
const VOID: [&str; 2] = ["meta", "br"];

/// Every element that is opened is closed, in order: with the policy in the head and no comments in the
/// body, this simple reader is enough.
fn unbalanced(page: &str) -> Option<String> {
    let start = page.find("<body").expect("a body");
    let end = page.find("<script>").expect("a script at the end");
    let mut open: Vec<&str> = Vec::new();
    for piece in page[start..end].split('<').skip(1) {
        let tag = piece.split('>').next().expect("split gives one at least");
        let name = tag.split([' ', '\n']).next().expect("split gives one at least");
        if let Some(closed) = name.strip_prefix('/') {
            match open.pop() {
                Some(last) if last == closed => {}
                last => return Some(format!("</{closed}> closes {last:?}")),
            }
        } else if !VOID.contains(&name) {
            open.push(name);
        }
    }
    (open != ["body"]).then(|| format!("left open: {open:?}"))
}

#[test]
fn the_page_is_well_formed() {
    for run in [fixtures::mixed(), fixtures::simulated(), trials::drifting(), fixtures::run(Vec::new())] {
        assert_eq!(unbalanced(&html(&run)), None);
    }
    assert!(unbalanced("<body><p><b></p><script>").is_some(), "the check checks nothing");
}

#[test]
fn nothing_from_a_record_becomes_markup() {
    let page = html(&fixtures::mixed());
    assert!(!page.contains("<script>alert"), "a description was taken as markup");
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert_eq!(page.matches("<script>").count(), 1, "only the page's own");
}

#[test]
fn nothing_is_fetched() {
    let page = html(&fixtures::mixed());
    let without_names = page.replace("http://www.w3.org/2000/svg", "");
    for wanted in ["http://", "https://", "src=", "<link", "@import", "url(", "<img"] {
        assert!(!without_names.contains(wanted), "the page refers to {wanted}");
    }
}

#[test]
fn every_experiment_has_its_answer_and_its_drawings() {
    let run = fixtures::mixed();
    let page = html(&run);
    for (number, experiment) in run.experiments.iter().enumerate() {
        assert!(page.contains(&format!("id=\"e{}\"", number + 1)));
        assert!(page.contains(&format!("#e{}", number + 1)), "the matrix leads to {}", experiment.id);
        assert!(page.contains(&experiment.verdict.to_string()));
    }
    assert!(page.contains("No writes for 1.9 s; new leader after 1.4 s (budget 4 s)"));
    assert!(page.contains("New holder still missing 60 s after the fault (budget 26 s)"));
    assert!(page.contains("No verdict on the cluster: no evidence that step 1 took effect"));
    assert!(page.contains("Not run: the profile single has 1 control plane"));
    let drawn = run.experiments.iter().filter(|e| !e.streams.is_empty()).count();
    assert_eq!(page.matches("Timeline of ").count(), drawn);
    assert_eq!(page.matches("Waterfall of ").count(), drawn);
}

#[test]
fn what_never_came_is_an_open_arrow_and_no_figure() {
    let page = html(&fixtures::run(vec![fixtures::lease_expiry()]));
    assert_eq!(page.matches("class=\"arrow fail\"").count(), 2);
    assert!(page.contains("still missing when observation ended"));
    assert!(page.contains("more than 60 s"));
    assert!(!page.contains("after 60.0 s"), "a time-out is not a recovery time");
    assert!(page.contains("class=\"outage open\""));
    assert!(page.contains("nothing failed: an outage was shorter than 110 ms"));
}

#[test]
fn calm_points_of_view_are_folded_away() {
    let run = fixtures::run(vec![fixtures::kubelet_down()]);
    let calm = run.experiments[0].streams.iter().filter(|s| s.outages.is_empty()).count();
    let page = html(&run);
    // Writes through the load balancer stay in sight, calm or not.
    assert!(page.contains(&format!("No outage seen in {} more points of view", calm - 1)));
    assert!(page.contains(">Ready → Ready=Unknown → Ready<"));
}

#[test]
fn a_simulated_page_cannot_be_mistaken() {
    let page = html(&fixtures::simulated());
    assert!(page.contains("<title>SIMULATED recoup"));
    assert!(page.contains("class=\"banner\""));
    assert!(page.contains("class=\"watermark\""));
    let real = html(&fixtures::mixed());
    assert!(!real.contains("SIMULATED"));
    assert!(!real.contains("<div class=\"watermark\""));
}

#[test]
fn a_state_that_a_milestone_waited_for_is_drawn_even_where_it_never_changed() {
    let page = html(&fixtures::run(vec![fixtures::lease_expiry()]));
    let lane = "<title>holder of kube-controller-manager</title>";
    assert!(page.contains(lane), "standing still is the finding");
    assert!(!page.contains("<title>holder of kube-scheduler</title>"), "nobody waited for this one");
}
