//! Lines of JSON as the benches print them.

use std::path::Path;

use serde_json::Value;

/// All lines of a folder.
#[derive(Default)]
pub struct Lines(Vec<Value>);

impl Lines {
    /// Reads the files whose names end in `.jsonl`.
    ///
    /// # Errors
    /// The file, and what is wrong.
    pub fn read(folder: &Path) -> Result<Lines, String> {
        let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(wrong)? {
            files.push(entry.map_err(wrong)?.path());
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        let mut lines = Lines::default();
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            lines.add(&text).map_err(|(number, error)| format!("{}:{number}: {error}", file.display()))?;
        }
        Ok(lines)
    }

    /// Adds a file's lines; what is wrong comes with the line's number.
    fn add(&mut self, text: &str) -> Result<(), (usize, serde_json::Error)> {
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            self.0.push(serde_json::from_str(line).map_err(|error| (number, error))?);
        }
        Ok(())
    }

    /// The lines of a bench with these values. Where two measured the same, both come.
    pub fn of<'l>(&'l self, bench: &str, values: &[(&str, Value)]) -> Vec<&'l Value> {
        let fits = |line: &&Value| line["bench"] == bench && values.iter().all(|(name, value)| line[*name] == *value);
        self.0.iter().filter(fits).collect()
    }

    /// The lines of the graph bench with these values, and what it has otherwise: GRE4, IPv4, the small configuration, one
    /// worker, whole vectors.
    pub fn graph<'l>(&'l self, values: &[(&str, Value)]) -> Vec<&'l Value> {
        let usual: [(&str, Value); 7] = [
            ("encap", "gre4".into()),
            ("ip6", false.into()),
            ("vips", 1.into()),
            ("servers", 7.into()),
            ("routes", 0.into()),
            ("vector", 256.into()),
            ("workers", 1.into()),
        ];
        let mut all: Vec<(&str, Value)> = values.to_vec();
        all.extend(usual.into_iter().filter(|(name, _)| values.iter().all(|(own, _)| own != name)));
        self.of("graph", &all)
    }
}

/// The number in a field.
pub fn number(line: &Value, field: &str) -> Option<f64> {
    line[field].as_f64()
}

/// Pairs of numbers, one for each value of the first field in order: the median of the second where several measured it.
pub fn points(lines: &[&Value], x: &str, y: &str) -> Vec<(f64, f64)> {
    let mut all: Vec<(f64, f64)> = lines.iter().filter_map(|line| Some((number(line, x)?, number(line, y)?))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    all.chunk_by(|a, b| a.0 == b.0).map(|same| same[same.len() / 2]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_what_they_say() {
        let mut lines = Lines::default();
        let text = r#"
            {"bench": "a", "flows": 10, "path": 5.0, "encap": "x"}
            {"bench": "a", "flows": 1, "path": 9, "encap": "x"}
            {"bench": "a", "flows": 10, "path": 7.5, "encap": "x"}
            {"bench": "a", "flows": 10, "path": 6.5, "encap": "x"}
            {"bench": "b", "flows": 10, "path": 1, "encap": "x"}"#;
        lines.add(text).unwrap();
        let found = lines.of("a", &[("encap", "x".into())]);
        assert_eq!(points(&found, "flows", "path"), [(1.0, 9.0), (10.0, 6.5)]);
        assert!(lines.of("a", &[("encap", "y".into())]).is_empty());
        assert_eq!(lines.add("{}\nnot json").unwrap_err().0, 2);
    }

    #[test]
    fn the_graph_benchs_usual_configuration_is_meant_where_nothing_is_said() {
        let mut lines = Lines::default();
        let line = |encap: &str, vips: u32| {
            format!(
                r#"{{"bench":"graph","encap":"{encap}","ip6":false,"vips":{vips},"servers":7,"routes":0,"vector":256,"workers":1}}"#
            )
        };
        lines.add(&[line("gre4", 1), line("gre4", 1000), line("gre6", 1)].join("\n")).unwrap();
        assert_eq!(lines.graph(&[]).len(), 1);
        assert_eq!(lines.graph(&[("vips", 1000.into())]).len(), 1);
        assert_eq!(lines.graph(&[("encap", "gre6".into())]).len(), 1);
    }
}
