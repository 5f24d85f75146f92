//! The tables in a text: what stands between their marks is made anew.

const BEGIN: &str = "<!-- table ";
const END: &str = "<!-- end -->";

/// Puts what `make` gives for a name between `<!-- table NAME -->` and `<!-- end -->`; what has nothing to say stays as it is.
///
/// # Errors
/// A mark without an end, or a name that nobody knows.
pub fn renew(text: &str, make: impl Fn(&str) -> Option<Option<String>>) -> Result<String, String> {
    let (mut made, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(" -->").ok_or_else(|| format!("`{BEGIN}' without `-->'"))?;
        let (old, after) = after.split_once(END).ok_or_else(|| format!("table {name} has no `{END}'"))?;
        let new = make(name).ok_or_else(|| format!("there is no table {name}"))?;
        let body = new.map_or_else(|| old.to_string(), |table| format!("\n{}\n", table.trim()));
        made += &format!("{before}{BEGIN}{name} -->{body}{END}");
        rest = after;
    }
    Ok(made + rest)
}

/// A table of Markdown; without rows there is none.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> Option<String> {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.to_vec());
    text += &line((0..head.len()).map(|column| if column == 0 { "---" } else { "---:" }).collect());
    rows.iter().for_each(|row| text += &line(row.iter().map(String::as_str).collect()));
    (!rows.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_between_their_marks() {
        let text = "a\n<!-- table x -->\nold\n<!-- end -->\nb\n<!-- table y -->\nkept\n<!-- end -->\nc";
        let make = |name: &str| match name {
            "x" => Some(table(&["k", "v"], &[vec!["1".into(), "2".into()]])),
            "y" => Some(None),
            _ => None,
        };
        let expected = "a\n<!-- table x -->\n| k | v |\n| --- | ---: |\n| 1 | 2 |\n<!-- end -->\nb\n<!-- table y -->\nkept\n<!-- end -->\nc";
        assert_eq!(renew(text, make).unwrap(), expected);
        assert_eq!(renew(expected, make).unwrap(), expected);
        assert!(renew("<!-- table z -->\n<!-- end -->", make).unwrap_err().contains("no table z"));
        assert!(renew("<!-- table x -->\n", make).unwrap_err().contains("no `<!-- end -->'"));
    }
}
