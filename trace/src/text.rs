//! The text a record prints: lines at an indent, as VPP's `format_*_trace` functions print them.

use std::fmt::{self, Write};

/// What one node recorded about one packet: owned values, printed later.
///
/// `serde::Serialize` gives the JSON form; [`Record::text`] gives the lines under the node's name in `show trace`.
pub trait Record: serde::Serialize + Send + Sync + 'static {
    /// Writes the lines of the body. `show trace` has already indented them by two columns.
    fn text(&self, text: &mut Text);
}

/// A record of a node that has nothing to say.
impl Record for () {
    fn text(&self, _: &mut Text) {}
}

/// Collects indented lines.
///
/// ```
/// let mut text = trace::Text::new();
/// text.line(format_args!("UDP: {} -> {}", 7, 8));
/// text.nest(2, |text| text.line("length 14"));
/// assert_eq!(text.as_str(), "UDP: 7 -> 8\n  length 14\n");
/// ```
#[derive(Default, Debug, Clone)]
pub struct Text {
    out: String,
    indent: usize,
}

impl Text {
    /// An empty text at column 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes one line at the current indent.
    pub fn line(&mut self, line: impl fmt::Display) {
        let indent = self.indent;
        writeln!(self.out, "{:indent$}{line}", "").expect("writing to a String cannot fail");
    }

    /// Runs `body` with the indent `columns` further in.
    pub fn nest(&mut self, columns: usize, body: impl FnOnce(&mut Self)) {
        self.indent += columns;
        body(self);
        self.indent -= columns;
    }

    /// Writes one line at column 0, whatever the indent (VPP's load balancer prints its server there).
    pub fn flush_left(&mut self, line: impl fmt::Display) {
        writeln!(self.out, "{line}").expect("writing to a String cannot fail");
    }

    /// Writes an empty line, without trailing spaces.
    pub fn blank(&mut self) {
        self.out.push('\n');
    }

    /// What was written so far.
    pub fn as_str(&self) -> &str {
        &self.out
    }

    /// What was written.
    pub fn into_string(self) -> String {
        self.out
    }
}
