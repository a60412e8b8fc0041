//! Records: judged again they say the same, made again they are the same, and killed runs can be read.

use std::{fs, path::Path};

use recoup_engine::{
    EVENTS,
    reader::{ReadError, Records, read_run},
};
use recoup_model::{event::Event, verdict::Verdict};
use recoup_tests::offline::{Lab, plan};

const ID: &str = "etcd/leader-loss/kill";

#[tokio::test(start_paused = true)]
async fn judging_the_record_gives_the_recorded_result_in_every_figure() {
    let plans = [plan(ID).unwrap(), plan("kubelet/down").unwrap()];
    let ran = Lab::new().unwrap();
    let ran_at = ran.run(&plans, 3).await.unwrap();
    let reading = read_run(&ran_at.dir, true).unwrap();
    assert_eq!(reading.warnings, Vec::<String>::new());
    assert!(reading.unjudged.is_empty() && reading.differences().is_empty());
    assert_eq!(reading.recorded, ran_at.run);
    assert_eq!(reading.judged, ran_at.run);
}

/// The record without what names the run.
fn events(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join(EVENTS)).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_record_and_another_gives_another() {
    let plans = [plan(ID).unwrap()];
    let mut records = Vec::new();
    for seed in [5, 5, 6] {
        let lab = Lab::new().unwrap();
        let ran = lab.run(&plans, seed).await.unwrap();
        records.push(events(&ran.dir));
    }
    let (first, again, other) = (&records[0], &records[1], &records[2]);
    for (number, (a, b)) in first.iter().zip(again).enumerate() {
        assert_eq!(a, b, "line {} differs", number + 2);
    }
    assert_eq!(first.len(), again.len());
    assert_ne!(first, other, "the seed changes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_record_can_be_read_from_wherever_the_run_died() {
    let lab = Lab::new().unwrap();
    let ran = lab.run(&[plan(ID).unwrap()], 1).await.unwrap();
    let text = fs::read_to_string(ran.dir.join(EVENTS)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let dead = lab.runs().join("dead");
    fs::create_dir(&dead).unwrap();
    let write = |text: &str| fs::write(dead.join(EVENTS), text).unwrap();
    let began = lines.iter().position(|line| line.contains("\"experimentStarted\"")).unwrap();
    let ended = lines.iter().position(|line| line.contains("\"experimentFinished\"")).unwrap();

    for count in (1..=lines.len()).step_by(lines.len() / 12).chain([began, began + 1, ended, ended + 1]) {
        write(&format!("{}\n", lines[..count].join("\n")));
        let reading = read_run(&dead, true).unwrap();
        assert_eq!(reading.judged.incomplete, count < lines.len(), "{count} lines");
        assert_eq!(reading.judged.experiments.len(), usize::from(count > began), "{count} lines");
        for result in &reading.judged.experiments {
            let expected = if count > ended { Verdict::Pass } else { Verdict::Inconclusive };
            assert_eq!(result.verdict, expected, "{count} of {} lines: {:?}", lines.len(), result.reasons);
        }
    }
    for cut in [text.len() - 1, text.len() - 5, text.len() / 2, text.len() / 3] {
        write(&text[..cut]);
        read_run(&dead, true).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
    }
    write(&text[..lines[0].len() / 2]);
    assert!(matches!(read_run(&dead, true), Err(ReadError::Empty { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_file_is_what_was_told() {
    let lab = Lab::new().unwrap();
    let ran = lab.run(&[plan("scheduler/lease-expiry/kill").unwrap()], 1).await.unwrap();
    let read: Vec<_> = Records::open(&ran.dir).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(read == lab.records(), "the file and the listener differ");
    assert!(matches!(read[0].event, Event::RunStarted { .. }));
}
