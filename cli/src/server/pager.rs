//! A person's long output, a screen at a time.

/// Output of which a part is on the screen.
pub(super) struct Pager {
    lines: Vec<String>,
    /// Lines above the screen.
    from: usize,
    /// Lines above the screen's end.
    to: usize,
    /// What is at the screen's foot.
    foot: String,
    escape: Vec<u8>,
}

/// What a key asks for.
enum Move {
    Forward(usize),
    Back(usize),
    End,
    None,
}

impl Pager {
    /// Shows the first screen of a text that is longer than one; `height` is the terminal's, 0 if it did not say.
    pub(super) fn start(text: &str, height: u16, out: &mut String) -> Option<Pager> {
        let screen = screen(height);
        if !Pager::fits(height) || text.lines().count() <= screen {
            return None;
        }
        let lines = text.split_inclusive('\n').map(ToString::to_string).collect();
        let mut pager = Pager { lines, from: 0, to: 0, foot: String::new(), escape: Vec::new() };
        pager.forward(screen, screen, out);
        Some(pager)
    }

    /// Whether a terminal of this height, 0 if it did not say, has room for a screen and its foot.
    pub(super) fn fits(height: u16) -> bool {
        height >= 3
    }

    /// Takes a key; gives whether the output is over.
    pub(super) fn key(&mut self, byte: u8, height: u16, out: &mut String) -> bool {
        let screen = screen(height);
        match self.meaning(byte, screen) {
            Move::None => return false,
            Move::End => {
                self.wipe(out);
                return true;
            }
            Move::Forward(lines) => {
                self.wipe(out);
                self.forward(lines, screen, out);
            }
            Move::Back(lines) => {
                self.wipe(out);
                self.to = self.from.saturating_sub(lines);
                self.forward(screen, screen, out);
            }
        }
        self.to == self.lines.len()
    }

    fn meaning(&mut self, byte: u8, screen: usize) -> Move {
        if self.escape.is_empty() {
            match byte {
                b'q' | b'Q' | 0x03 | 0x04 => return Move::End,
                b'\r' | b'\n' => return Move::Forward(1),
                b' ' => return Move::Forward(screen),
                0x1b => self.escape.push(byte),
                _ => (),
            }
            return Move::None;
        }
        self.escape.push(byte);
        let meaning = match self.escape.as_slice() {
            [_, b'[' | b'O'] | [_, b'[', b'0'..=b'9'] => return Move::None,
            [_, b'[' | b'O', b'A'] => Move::Back(1),
            [_, b'[' | b'O', b'B'] => Move::Forward(1),
            [_, b'[' | b'O', b'C'] | [_, b'[', b'6', b'~'] => Move::Forward(screen),
            [_, b'[' | b'O', b'D'] | [_, b'[', b'5', b'~'] => Move::Back(screen),
            _ => Move::None,
        };
        self.escape.clear();
        meaning
    }

    /// Prints the next lines, and where they stand if they are not the last.
    fn forward(&mut self, lines: usize, screen: usize, out: &mut String) {
        let end = (self.to + lines).min(self.lines.len());
        out.extend(self.lines[self.to..end].iter().map(String::as_str));
        self.to = end;
        self.from = end.saturating_sub(screen);
        if end < self.lines.len() {
            self.foot = format!("-- more -- ({}-{}/{})", self.from + 1, end, self.lines.len());
            out.push('\r');
            out.push_str(&self.foot);
        }
    }

    /// Blanks the screen's foot: any terminal understands that.
    fn wipe(&mut self, out: &mut String) {
        out.push('\r');
        out.extend(std::iter::repeat_n(' ', self.foot.len()));
        out.push('\r');
    }
}

/// Lines of output that fit above the foot.
fn screen(height: u16) -> usize {
    usize::from(height).saturating_sub(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        (1..=9).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn short_output_is_not_paged() {
        let mut out = String::new();
        assert!(Pager::start("a\nb\n", 3, &mut out).is_none());
        assert!(Pager::start(&text(), 0, &mut out).is_none());
        assert_eq!(out, "");
    }

    #[test]
    fn keys_move_by_lines_and_screens() {
        let mut out = String::new();
        let mut pager = Pager::start(&text(), 4, &mut out).unwrap();
        assert_eq!(out, "1\n2\n3\n\r-- more -- (1-3/9)");
        let wiped = format!("\r{}\r", " ".repeat(18));
        let mut press = |keys: &[u8], done: bool| {
            let mut out = String::new();
            let results: Vec<_> = keys.iter().map(|key| pager.key(*key, 4, &mut out)).collect();
            assert_eq!(results.last(), Some(&done));
            out
        };
        assert_eq!(press(b"x", false), "");
        assert_eq!(press(b"\n", false), format!("{wiped}4\n\r-- more -- (2-4/9)"));
        assert_eq!(press(b"\x1b[A", false), format!("{wiped}1\n2\n3\n\r-- more -- (1-3/9)"));
        assert_eq!(press(b" ", false), format!("{wiped}4\n5\n6\n\r-- more -- (4-6/9)"));
        assert_eq!(press(b" ", true), format!("{wiped}7\n8\n9\n"));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(keys: Vec<u8>, height: u16) {
            let mut out = String::new();
            if let Some(mut pager) = Pager::start(&text(), height, &mut out) {
                let _ = keys.iter().any(|key| pager.key(*key, height, &mut out));
            }
        }
    }
}
