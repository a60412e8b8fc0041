//! Markdown tables, and the marked parts of a file that are generated.

use anyhow::{Context as _, Result};

/// A Markdown table. Cells are made one line, and safe for the table.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = line(head.iter().map(|cell| (*cell).to_owned()).collect());
    text.push_str(&line(vec!["---".to_owned(); head.len()]));
    for row in rows {
        text.push_str(&line(row));
    }
    text
}

fn escape(cell: &str) -> String {
    cell.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// `file` with the part between its markers of that name replaced.
///
/// # Errors
/// Where a marker is missing: then nothing would ever be replaced, unnoticed.
pub fn replace(file: &str, name: &str, part: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- generated: {name} -->"), "<!-- end of generated -->");
    let start = file.find(&begin).with_context(|| format!("no {begin}"))? + begin.len();
    let length = file[start..].find(end).with_context(|| format!("no {end} after {begin}"))?;
    Ok(format!("{}\n{}\n{}", &file[..start], part.trim_end(), &file[start + length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_break_its_table() {
        let text = table(&["a"], [vec!["x | y\nz".to_owned()]]);
        assert_eq!(text, "| a |\n| --- |\n| x \\| y z |\n");
    }

    #[test]
    fn only_the_marked_part_is_replaced_and_twice_is_once() {
        let file = "before\n<!-- generated: t -->\nold\n<!-- end of generated -->\nafter\n";
        let once = replace(file, "t", "new\n").unwrap();
        assert_eq!(once, "before\n<!-- generated: t -->\nnew\n<!-- end of generated -->\nafter\n");
        assert_eq!(replace(&once, "t", "new\n").unwrap(), once);
    }

    #[test]
    fn a_missing_marker_is_an_error() {
        assert!(replace("nothing here", "t", "new").is_err());
        assert!(replace("<!-- generated: t --> cut", "t", "new").is_err());
    }
}
