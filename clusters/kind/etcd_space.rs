//! etcd's quota: used up, freed, looked at.

use recoup_model::action::{ActionReport, NodeAction};

use super::scripts::{Script, script};

/// So much is filled in and no more: through three members on one machine 256 MiB take half a minute.
const MOST: u64 = 256 << 20;

pub(super) fn script(action: &NodeAction) -> Result<Script, String> {
    match action {
        NodeAction::EtcdFill => Ok(script!("process.sh", "etcd_space.sh", "etcd_fill.sh"; MOST)),
        NodeAction::EtcdFree => Ok(script!("process.sh", "etcd_space.sh", "etcd_free.sh";)),
        NodeAction::EtcdLook => Ok(script!("process.sh", "etcd_space.sh", "etcd_look.sh";)),
        other => Err(format!("{} is none of etcd's quota", other.name())),
    }
}

/// Takes in the words of a line `space SIZE IN_USE QUOTA` or `alarm NAME`; none where they are no such line's.
pub(super) fn read(words: &[&str], report: &mut ActionReport) -> Option<()> {
    let space = report.space.get_or_insert_default();
    match words {
        ["space", size, in_use, quota] => {
            space.size = size.parse().ok()?;
            space.in_use = in_use.parse().ok()?;
            space.quota = quota.parse().ok()?;
        }
        ["alarm", name] => space.alarms.push((*name).to_owned()),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// Runs a text behind the functions, with a `curl` of the test's own.
    fn with_answers(curl: &str, text: &str) -> (bool, String) {
        let functions =
            format!("{}{}", include_str!("scripts/process.sh"), include_str!("scripts/etcd_space.sh"));
        let script = format!("{functions}\ncurl() {{\n{curl}\n}}\n{text}");
        let output = Command::new("sh").args(["-c", &script, "t"]).output().expect("sh runs");
        (output.status.success(), String::from_utf8(output.stdout).expect("text"))
    }

    #[test]
    fn space_and_alarms_are_read_from_what_a_member_says() {
        // As etcd 3.5 says it: numbers as text, or with an exponent, and spaces here and there.
        let curl = r#"case $* in
            */metrics*) printf 'etcd_mvcc_db_total_size_in_bytes 6.1e+07\netcd_mvcc_db_total_size_in_use_in_bytes 24576\netcd_server_quota_backend_bytes 2.147483648e+09\n\n200\n' ;;
            */alarm*) printf '{"header":{"member_id":"7", "revision":"54"}, "alarms":[{"memberID":"11", "alarm":"NOSPACE"},{"memberID":"12","alarm":"NOSPACE"}]}\n200\n' ;;
        esac"#;
        let (well, told) = with_answers(curl, "tell_space");
        assert!(well);
        let report = super::super::scripts::read(&told).expect("readable");
        let space = report.space.expect("a size");
        assert_eq!((space.size, space.in_use, space.quota), (61_000_000, 24_576, 2_147_483_648));
        assert_eq!(space.alarms, ["NOSPACE"]);
        assert_eq!(with_answers(curl, "alarms").1, "11 NOSPACE\n12 NOSPACE\n");
    }

    #[test]
    fn a_refusal_is_no_answer_whatever_it_looks_like() {
        let curl = r#"printf '{"code":8, "message":"etcdserver: mvcc: database space exceeded"}\n429\n'"#;
        let (well, told) = with_answers(&format!("{curl}\n"), "sleep() { :; }\nask kv/put '{}'");
        assert!(!well && told.is_empty(), "{told}");
        let (well, _) = with_answers("return 7", "sleep() { :; }\nask kv/put '{}' || tell_space");
        assert!(!well, "nobody answers");
    }

    /// What `curl` was asked for by the freeing of a member, and whether that ended well. In `noted`: what the note of
    /// who fills says before.
    fn freed(range: &str, noted: &str) -> (bool, String) {
        let dir = tempfile::tempdir().expect("a directory");
        let (note, asked) = (dir.path().join("etcd-fill"), dir.path().join("asked"));
        if !noted.is_empty() {
            std::fs::write(&note, noted).expect("written");
        }
        let curl = format!(
            r#"for url; do :; done
            echo "${{url#*/v3/}}" >> {asked}
            case $* in
                */metrics*) printf 'etcd_mvcc_db_total_size_in_bytes 1\netcd_mvcc_db_total_size_in_use_in_bytes 1\netcd_server_quota_backend_bytes 1\n\n200\n' ;;
                */kv/range*) {range} ;;
                */member/list*) printf '{{"members":[{{"clientURLs":["https://m1:2379"]}}]}}\n200\n' ;;
                *) printf '{{"header":{{"revision":"54"}}}}\n200\n' ;;
            esac"#,
            asked = asked.display()
        );
        let script = include_str!("scripts/etcd_free.sh");
        let text = format!("filling={}\nsleep() {{ :; }}\n{script}", note.display());
        let (well, told) = with_answers(&curl, &text);
        assert_eq!(well, !note.exists(), "the note stays until all is freed: {told}");
        (well, std::fs::read_to_string(&asked).expect("it asks"))
    }

    #[test]
    fn a_member_that_does_not_answer_has_not_nothing_left() {
        let (well, asked) = freed("return 7", "freeing");
        assert!(!well && !asked.contains("deleterange"), "{asked}");
        let (well, asked) = freed(r"printf '{}\n200\n'", "");
        assert!(well && !asked.contains("defragment"), "{asked}");
        let (well, asked) = freed(r#"printf '{"count":"3"}\n200\n'"#, "");
        assert!(well && asked.contains("kv/deleterange") && asked.contains("defragment"), "{asked}");
        let (well, asked) = freed(r"printf '{}\n200\n'", "freeing");
        assert!(well && asked.contains("defragment"), "an attempt that stopped half-way: {asked}");
    }
}
