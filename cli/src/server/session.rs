//! One connection: what it is, what it has sent, what it still has to get.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::edit::{Editor, Key};
use super::telnet::{Decoder, Input};
use super::{MAX_LINE, Polled, Ran, SessionId, Shell};

/// A client that has not named its terminal by then is taken for a person's.
const PATIENCE: Duration = Duration::from_secs(1);
/// Terminals that understand colours and cursor keys are not told apart; this is the prompt of all.
const PROMPT: &str = "vpp# ";

/// What kind of client this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It has not said.
    Unknown,
    /// VPP's `vppctl` with a command or a script: a NUL ends each answer.
    Script,
    /// Maglane's own: a NUL and a status end each answer.
    Own,
    /// A person: the server echoes, edits and shows a prompt.
    Person,
}

/// The terminal type by which Maglane's own client makes itself known.
pub(crate) const OWN_TERMINAL: &str = "maglane-vppctl";
/// First byte of a request for completions, from Maglane's own client.
pub(crate) const COMPLETE: u8 = 0x05;
/// First byte of a request for help.
pub(crate) const HELP: u8 = 0x06;

/// A connection's state.
pub(super) struct Session {
    id: SessionId,
    kind: Kind,
    since: Instant,
    decoder: Decoder,
    line: Vec<u8>,
    /// Lines still to run; `None` ends a chunk.
    queue: VecDeque<Option<String>>,
    running: bool,
    /// The last command of this chunk failed.
    failed: bool,
    wake: Option<Instant>,
    pub(super) out: Vec<u8>,
    pub(super) closing: bool,
    editor: Editor,
    height: u16,
    /// Lines that wait for the pager.
    paged: VecDeque<String>,
}

impl Session {
    pub(super) fn new(id: SessionId) -> Session {
        Session {
            id,
            kind: Kind::Unknown,
            since: Instant::now(),
            decoder: Decoder::default(),
            line: Vec::new(),
            queue: VecDeque::new(),
            running: false,
            failed: false,
            wake: None,
            out: super::telnet::GREETING.to_vec(),
            closing: false,
            editor: Editor::default(),
            height: 0,
            paged: VecDeque::new(),
        }
    }

    /// When this session needs attention though nothing arrives.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.kind {
            Kind::Unknown => Some(self.since + PATIENCE),
            _ if self.running => Some(self.wake.unwrap_or_else(Instant::now)),
            _ => None,
        }
    }

    /// Takes what one read brought.
    pub(super) fn input(&mut self, bytes: &[u8], shell: &mut dyn Shell) {
        for byte in bytes {
            if self.closing {
                return;
            }
            match self.decoder.take(*byte) {
                None => (),
                Some(Input::Terminal(name)) => self.terminal(&name, shell),
                Some(Input::Size(_, height)) => self.height = height,
                Some(Input::Byte(byte)) if self.kind == Kind::Person => self.key(byte, shell),
                Some(Input::Byte(byte)) => self.byte(byte, shell),
            }
        }
        if self.kind != Kind::Person && matches!(self.queue.back(), Some(Some(_))) {
            self.queue.push_back(None);
        }
        self.advance(shell);
    }

    fn terminal(&mut self, name: &str, shell: &mut dyn Shell) {
        if self.kind != Kind::Unknown {
            return;
        }
        match name {
            "vppctl" => self.kind = Kind::Script,
            OWN_TERMINAL => self.kind = Kind::Own,
            _ => self.become_person(shell),
        }
    }

    fn become_person(&mut self, shell: &mut dyn Shell) {
        self.kind = Kind::Person;
        self.put(&format!("\n{}", shell.banner()));
        self.put(PROMPT);
        // What was typed before the terminal was known.
        for byte in std::mem::take(&mut self.line) {
            self.key(byte, shell);
        }
    }

    fn byte(&mut self, byte: u8, shell: &mut dyn Shell) {
        match byte {
            0 | b'\n' => {
                if byte == b'\n' || !self.line.is_empty() {
                    let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                    if self.kind == Kind::Unknown {
                        // Whoever sends lines before its terminal's type is a script.
                        self.kind = Kind::Script;
                    }
                    self.queue.push_back(Some(line.trim_end_matches('\r').to_string()));
                }
                if byte == 0 && matches!(self.queue.back(), Some(Some(_))) {
                    self.queue.push_back(None);
                }
            }
            0x03 if self.running => {
                shell.cancel(self.id);
                self.ran(Ran::Done { text: "cancelled\n".into(), ok: false }, shell);
            }
            byte if self.line.len() >= MAX_LINE => {
                let _ = byte;
                self.put(&format!("line longer than {MAX_LINE} bytes\n"));
                self.closing = true;
            }
            byte => self.line.push(byte),
        }
    }

    fn key(&mut self, byte: u8, shell: &mut dyn Shell) {
        if !self.paged.is_empty() {
            return self.pager_key(byte);
        }
        if self.running {
            if byte == 0x03 {
                shell.cancel(self.id);
                self.ran(Ran::Done { text: "^C\n".into(), ok: false }, shell);
            }
            return;
        }
        if byte == 0 {
            return;
        }
        let mut echo = String::new();
        let key = self.editor.key(byte, &mut echo);
        self.put(&echo);
        match key {
            Key::None => (),
            Key::End => self.closing = true,
            Key::Enter(line) => {
                self.queue.push_back(Some(line));
                self.advance(shell);
            }
            Key::Complete(line) => self.complete(&line, shell),
            Key::Help(line) => {
                let help = shell.help(&line);
                let mut again = format!("?\n{help}{PROMPT}");
                self.editor.redraw(&mut again);
                self.put(&again);
            }
        }
    }

    fn complete(&mut self, line: &str, shell: &mut dyn Shell) {
        let found = shell.complete(line);
        let last = if line.ends_with(' ') { "" } else { line.rsplit(' ').next().unwrap_or("") };
        let common = common_prefix(&found);
        let mut echo = String::new();
        match found.as_slice() {
            [] => return,
            [only] => self.editor.insert(&format!("{} ", only.get(last.len()..).unwrap_or_default()), &mut echo),
            _ if common.len() > last.len() => self.editor.insert(&common[last.len()..], &mut echo),
            several => {
                echo = format!("\n{}\n{PROMPT}", several.join("  "));
                self.editor.redraw(&mut echo);
            }
        }
        self.put(&echo);
    }

    /// Runs what is queued, until something takes time.
    fn advance(&mut self, shell: &mut dyn Shell) {
        while !self.running && !self.closing && self.paged.is_empty() {
            let Some(next) = self.queue.pop_front() else { return };
            let Some(line) = next else {
                self.end_chunk();
                continue;
            };
            if self.failed {
                // The rest of a chunk after an error.
                continue;
            }
            match line.as_bytes() {
                [COMPLETE, ..] if self.kind == Kind::Own => {
                    let found = shell.complete(&line[1..]);
                    self.put(&found.iter().map(|word| format!("{word}\n")).collect::<String>());
                }
                [HELP, ..] if self.kind == Kind::Own => {
                    let help = shell.help(&line[1..]);
                    self.put(&help);
                }
                _ => {
                    let ran = shell.run(self.id, &line);
                    self.ran(ran, shell);
                }
            }
        }
    }

    fn end_chunk(&mut self) {
        if matches!(self.kind, Kind::Script | Kind::Own) {
            self.out.push(0);
        }
        if self.kind == Kind::Own {
            self.out.push(if self.failed { b'1' } else { b'0' });
        }
        self.failed = false;
    }

    fn ran(&mut self, ran: Ran, shell: &mut dyn Shell) {
        match ran {
            Ran::Done { text, ok } => {
                self.running = false;
                self.failed = !ok && self.kind != Kind::Person;
                if self.kind == Kind::Person {
                    self.page(&text);
                } else {
                    self.put(&text);
                }
            }
            Ran::Later => {
                self.running = true;
                self.wake = None;
                self.tick(shell);
            }
            Ran::Quit => self.closing = true,
        }
    }

    /// Goes on with what took time, and with clients that keep silent.
    pub(super) fn tick(&mut self, shell: &mut dyn Shell) {
        let now = Instant::now();
        if self.kind == Kind::Unknown && now >= self.since + PATIENCE {
            self.become_person(shell);
        }
        // A long script yields to others now and then.
        for _ in 0..256 {
            if !self.running || self.wake.is_some_and(|wake| now < wake) || self.out.len() > super::MAX_OUT {
                return;
            }
            match shell.poll(self.id) {
                Polled::Print(text) => self.put(&text),
                Polled::Wait(when) => self.wake = Some(when),
                Polled::Done { text, ok } => {
                    self.wake = None;
                    self.ran(Ran::Done { text, ok }, shell);
                    self.advance(shell);
                }
            }
        }
        self.wake = None;
    }

    /// Shows a person's output a screen at a time.
    fn page(&mut self, text: &str) {
        let lines: Vec<_> = text.split_inclusive('\n').map(ToString::to_string).collect();
        let screen = usize::from(self.height).saturating_sub(1);
        if screen < 2 || lines.len() <= screen {
            self.put(text);
            self.put(PROMPT);
            return;
        }
        self.paged = lines.into();
        self.show_page(screen);
    }

    fn show_page(&mut self, lines: usize) {
        for line in self.paged.drain(..lines.min(self.paged.len())).collect::<Vec<_>>() {
            self.put(&line);
        }
        if self.paged.is_empty() {
            self.put(PROMPT);
        } else {
            let left = self.paged.len();
            self.put(&format!("\r-- more -- ({left} lines)"));
        }
    }

    fn pager_key(&mut self, byte: u8) {
        self.put("\r\u{1b}[K");
        match byte {
            b'q' | b'Q' | 0x03 => {
                self.paged.clear();
                self.put(PROMPT);
            }
            b'\r' | b'\n' => self.show_page(1),
            _ => self.show_page(usize::from(self.height).saturating_sub(1).max(1)),
        }
    }

    /// Queues output: line ends as CR LF, and never the byte that begins a telnet command.
    fn put(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'\n' => self.out.extend(b"\r\n"),
                0 => (),
                byte => self.out.push(byte),
            }
        }
    }
}

fn common_prefix(words: &[String]) -> String {
    let mut common = words.first().cloned().unwrap_or_default();
    for word in words {
        while !word.starts_with(&common) {
            common.pop();
        }
    }
    common
}
