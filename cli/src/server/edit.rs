//! Line editing for interactive clients that leave it to the server.

/// Lines that are remembered.
const HISTORY: usize = 100;

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Nothing more than what was echoed.
    None,
    /// Run the line.
    Enter(String),
    /// Complete the line up to the cursor.
    Complete(String),
    /// Explain the line so far.
    Help(String),
    /// Leave.
    End,
}

/// A line being edited.
#[derive(Debug, Default)]
pub(super) struct Editor {
    line: Vec<char>,
    cursor: usize,
    history: Vec<String>,
    recalled: usize,
    escape: Vec<u8>,
    /// Bytes of a character that is not complete yet.
    partial: Vec<u8>,
}

impl Editor {
    /// Takes one byte; what is to be echoed is appended to `out`.
    pub(super) fn key(&mut self, byte: u8, out: &mut String) -> Key {
        if !self.escape.is_empty() || byte == 0x1b {
            self.escape.push(byte);
            self.escape_sequence(out);
            return Key::None;
        }
        match byte {
            b'\r' | b'\n' => {
                out.push('\n');
                let line: String = self.line.drain(..).collect();
                self.cursor = 0;
                if !line.trim().is_empty() && self.history.last() != Some(&line) {
                    self.history.push(line.clone());
                    if self.history.len() > HISTORY {
                        self.history.remove(0);
                    }
                }
                self.recalled = self.history.len();
                return Key::Enter(line);
            }
            b'\t' => return Key::Complete(self.line[..self.cursor].iter().collect()),
            b'?' => return Key::Help(self.line.iter().collect()),
            0x01 => self.move_to(0, out),
            0x05 => self.move_to(self.line.len(), out),
            0x02 => self.move_to(self.cursor.saturating_sub(1), out),
            0x06 => self.move_to((self.cursor + 1).min(self.line.len()), out),
            0x04 if self.line.is_empty() => return Key::End,
            0x04 => self.delete(self.cursor, self.cursor + 1, out),
            0x08 | 0x7f => self.delete(self.cursor.saturating_sub(1), self.cursor, out),
            0x0b => self.delete(self.cursor, self.line.len(), out),
            0x15 => self.delete(0, self.cursor, out),
            0x17 => self.delete(self.word_start(), self.cursor, out),
            0x10 => self.recall(self.recalled.saturating_sub(1), out),
            0x0e => self.recall(self.recalled + 1, out),
            0x03 => {
                out.push_str("^C\n");
                self.line.clear();
                self.cursor = 0;
                return Key::Enter(String::new());
            }
            0x20.. => self.character(byte, out),
            _ => (),
        }
        Key::None
    }

    /// Whether the line is as long as a line may be.
    pub(super) fn is_full(&self) -> bool {
        self.line.len() >= super::MAX_LINE
    }

    /// Puts text in at the cursor.
    pub(super) fn insert(&mut self, text: &str, out: &mut String) {
        for character in text.chars() {
            if !self.is_full() {
                self.line.insert(self.cursor, character);
                self.cursor += 1;
                out.push(character);
            }
        }
        self.redraw_tail(0, out);
    }

    /// The line and the cursor again, after something else was printed.
    pub(super) fn redraw(&self, out: &mut String) {
        out.extend(&self.line);
        back(self.line.len() - self.cursor, out);
    }

    fn character(&mut self, byte: u8, out: &mut String) {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                let text = text.to_string();
                self.partial.clear();
                self.insert(&text, out);
            }
            Err(error) if error.error_len().is_some() || self.partial.len() >= 4 => self.partial.clear(),
            Err(_) => (),
        }
    }

    fn escape_sequence(&mut self, out: &mut String) {
        let done = match self.escape.as_slice() {
            [_] | [_, b'[' | b'O'] => false,
            [_, b'[', .., b'0'..=b'9' | b';'] => self.escape.len() > 8,
            _ => true,
        };
        if !done {
            return;
        }
        match std::mem::take(&mut self.escape).as_slice() {
            [_, b'[' | b'O', b'A'] => self.recall(self.recalled.saturating_sub(1), out),
            [_, b'[' | b'O', b'B'] => self.recall(self.recalled + 1, out),
            [_, b'[' | b'O', b'C'] => self.move_to((self.cursor + 1).min(self.line.len()), out),
            [_, b'[' | b'O', b'D'] => self.move_to(self.cursor.saturating_sub(1), out),
            [_, b'[' | b'O', b'H'] | [_, b'[', b'1', b'~'] => self.move_to(0, out),
            [_, b'[' | b'O', b'F'] | [_, b'[', b'4', b'~'] => self.move_to(self.line.len(), out),
            [_, b'[', b'3', b'~'] => self.delete(self.cursor, self.cursor + 1, out),
            _ => (),
        }
    }

    fn word_start(&self) -> usize {
        let before = &self.line[..self.cursor];
        let end = before.iter().rposition(|c| *c != ' ').map_or(0, |at| at + 1);
        before[..end].iter().rposition(|c| *c == ' ').map_or(0, |at| at + 1)
    }

    fn move_to(&mut self, to: usize, out: &mut String) {
        if to < self.cursor {
            back(self.cursor - to, out);
        } else {
            out.extend(&self.line[self.cursor..to]);
        }
        self.cursor = to;
    }

    fn delete(&mut self, from: usize, to: usize, out: &mut String) {
        let to = to.min(self.line.len());
        if from >= to {
            return;
        }
        self.move_to(from, out);
        self.line.drain(from..to);
        self.redraw_tail(to - from, out);
    }

    fn recall(&mut self, which: usize, out: &mut String) {
        let which = which.min(self.history.len());
        let text = self.history.get(which).cloned().unwrap_or_default();
        self.move_to(0, out);
        let old = self.line.len();
        self.line.clear();
        self.redraw_tail(old, out);
        self.insert(&text, out);
        self.recalled = which;
    }

    /// Prints what is behind the cursor, blanks over `gone` characters that were behind it, and comes back.
    fn redraw_tail(&self, gone: usize, out: &mut String) {
        out.extend(&self.line[self.cursor..]);
        out.extend(std::iter::repeat_n(' ', gone));
        back(self.line.len() - self.cursor + gone, out);
    }
}

fn back(columns: usize, out: &mut String) {
    out.extend(std::iter::repeat_n('\u{8}', columns));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(editor: &mut Editor, keys: &[u8]) -> Option<String> {
        let mut out = String::new();
        keys.iter().find_map(|key| match editor.key(*key, &mut out) {
            Key::Enter(line) => Some(line),
            _ => None,
        })
    }

    #[test]
    fn lines_are_edited_and_recalled() {
        let mut editor = Editor::default();
        assert_eq!(typed(&mut editor, b"show intx\x7f\n").unwrap(), "show int");
        assert_eq!(typed(&mut editor, b"ab\x1b[Dx\x01y\x05z\n").unwrap(), "yaxbz");
        assert_eq!(typed(&mut editor, b"one two\x17three\n").unwrap(), "one three");
        assert_eq!(typed(&mut editor, b"\x1b[A\x1b[A\n").unwrap(), "yaxbz");
        assert_eq!(typed(&mut editor, b"gone\x15kept\n").unwrap(), "kept");
        assert_eq!(typed(&mut editor, b"half\x01\x0b\n").unwrap(), "");
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(keys: Vec<u8>) {
            typed(&mut Editor::default(), &keys);
        }
    }
}
