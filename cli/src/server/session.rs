//! One connection: what it is, what it has sent, what it still has to get.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::edit::{Editor, Key};
use super::pager::Pager;
use super::telnet::{Decoder, GREETING, Input};
use super::{MAX_LINE, MAX_OUT, Polled, Ran, SessionId, Shell};

/// A client that has not named its terminal by then is taken for a person's.
const PATIENCE: Duration = Duration::from_secs(1);
/// If the server had no time to look by then, because of others' commands, the client gets so much more, once.
const GRACE: Duration = Duration::from_millis(200);
/// A session that has worked for so long lets the others go first.
const SLICE: Duration = Duration::from_millis(5);
/// The prompt of every terminal: there are no colours in it, so that nobody need know who understands them.
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

/// The terminal type of VPP's `vppctl` that is no terminal.
const SCRIPT_TERMINAL: &str = "vppctl";
/// The terminal type by which Maglane's own client makes itself known. VPP, which does not look at the case of letters,
/// takes it for its own client.
pub(crate) const OWN_TERMINAL: &str = "VPPCTL";
/// First byte of a request for completions, from Maglane's own client.
pub(crate) const COMPLETE: u8 = 0x05;
/// First byte of a request for help.
pub(crate) const HELP: u8 = 0x06;
/// What an interrupt key sends.
const INTERRUPT: u8 = 0x03;

/// A connection's state.
pub(super) struct Session {
    id: SessionId,
    kind: Kind,
    /// When a client that has not named its terminal is taken for a person's; not before it could have been heard.
    verdict: Option<Instant>,
    /// The verdict was put off because the server came late to it.
    put_off: bool,
    decoder: Decoder,
    /// What was read and not looked at yet; `None` where a read ended.
    unread: VecDeque<Option<u8>>,
    line: Vec<u8>,
    /// Braces of the line that are open: a group may go on in the next lines of a script.
    open: usize,
    /// Where the last of the line's lines begins.
    last: usize,
    /// Lines have been run that no NUL has ended yet.
    chunk_open: bool,
    /// The last command of this chunk failed.
    failed: bool,
    running: bool,
    wake: Option<Instant>,
    /// What a person's command has printed since it last waited: if that is all, it is shown by screens.
    held: String,
    pub(super) out: VecDeque<u8>,
    pub(super) closing: bool,
    editor: Editor,
    /// The last key was CR: an LF right behind it belongs to it.
    returned: bool,
    height: u16,
    pager: Option<Pager>,
}

impl Session {
    pub(super) fn new(id: SessionId) -> Session {
        Session {
            id,
            kind: Kind::Unknown,
            verdict: None,
            put_off: false,
            decoder: Decoder::default(),
            unread: VecDeque::new(),
            line: Vec::new(),
            open: 0,
            last: 0,
            chunk_open: false,
            failed: false,
            running: false,
            wake: None,
            held: String::new(),
            out: GREETING.into(),
            closing: false,
            editor: Editor::default(),
            returned: false,
            height: 0,
            pager: None,
        }
    }

    /// When this session needs attention though nothing arrives.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.closing || self.is_full() {
            return None;
        }
        if self.running {
            return Some(self.wake.unwrap_or_else(Instant::now));
        }
        match self.kind {
            _ if !self.unread.is_empty() => Some(Instant::now()),
            Kind::Unknown => self.verdict,
            _ => None,
        }
    }

    /// Whether there is room for more of what the client sends.
    pub(super) fn wants_input(&self) -> bool {
        !self.closing && !self.is_full() && self.unread.len() <= MAX_LINE
    }

    /// Whether all that was sent is done.
    pub(super) fn is_idle(&self) -> bool {
        !self.running && self.unread.is_empty()
    }

    /// Output waits for the client, so work waits, too.
    fn is_full(&self) -> bool {
        self.out.len() > MAX_OUT
    }

    /// Takes what one read brought.
    pub(super) fn input(&mut self, bytes: &[u8], shell: &mut dyn Shell) {
        for byte in bytes {
            match self.decoder.take(*byte) {
                None => (),
                Some(Input::Terminal(name)) => self.terminal(&name, shell),
                Some(Input::Size(_, height)) => self.height = height,
                Some(Input::Byte(byte)) => self.unread.push_back(Some(byte)),
            }
        }
        self.unread.push_back(None);
        self.work(shell);
    }

    /// Whether the client has still to say what it is.
    pub(super) fn is_unknown(&self) -> bool {
        self.kind == Kind::Unknown
    }

    /// Nothing that the client has sent is left to read: who has kept silent for long is a person. Only here does silence
    /// count, because a server that was busy has not listened.
    pub(super) fn silence(&mut self, shell: &mut dyn Shell) {
        if self.kind != Kind::Unknown || self.closing {
            return;
        }
        let now = Instant::now();
        let verdict = *self.verdict.get_or_insert(now + PATIENCE);
        if now >= verdict + GRACE && !self.put_off {
            self.put_off = true;
            self.verdict = Some(now + GRACE);
        } else if now >= verdict {
            self.become_person(shell);
            self.work(shell);
        }
    }

    fn terminal(&mut self, name: &str, shell: &mut dyn Shell) {
        if self.kind != Kind::Unknown {
            return;
        }
        match name {
            SCRIPT_TERMINAL => self.kind = Kind::Script,
            OWN_TERMINAL => self.kind = Kind::Own,
            _ => self.become_person(shell),
        }
    }

    fn become_person(&mut self, shell: &mut dyn Shell) {
        self.kind = Kind::Person;
        self.put(&format!("\r{}{PROMPT}", shell.banner()));
        // What was typed before the terminal was known.
        for byte in std::mem::take(&mut self.line).into_iter().rev() {
            self.unread.push_front(Some(byte));
        }
    }

    /// Goes on with what was sent and what takes time, until something has to be waited for.
    pub(super) fn work(&mut self, shell: &mut dyn Shell) {
        let now = Instant::now();
        while !self.closing && !self.is_full() && now.elapsed() < SLICE {
            if self.running {
                if let Some(at) = self.unread.iter().position(|byte| *byte == Some(INTERRUPT)) {
                    self.unread.drain(..=at);
                    self.interrupt(shell);
                } else if self.wake.is_some_and(|wake| Instant::now() < wake) {
                    return;
                } else {
                    self.poll(shell);
                }
                continue;
            }
            match self.unread.pop_front() {
                None => return,
                Some(None) => self.end_of_read(),
                Some(Some(byte)) if self.kind == Kind::Person => self.key(byte, shell),
                Some(Some(byte)) => self.byte(byte, shell),
            }
        }
    }

    fn poll(&mut self, shell: &mut dyn Shell) {
        match shell.poll(self.id) {
            Polled::Print(text) => {
                self.wake = None;
                if self.kind == Kind::Person && Pager::fits(self.height) {
                    self.held += &text;
                } else {
                    self.put(&printable(&text));
                }
            }
            Polled::Wait(when) => {
                self.wake = Some(when);
                let held = std::mem::take(&mut self.held);
                self.put(&printable(&held));
            }
            Polled::Done { text, ok } => self.done(&text, ok),
        }
    }

    fn interrupt(&mut self, shell: &mut dyn Shell) {
        shell.cancel(self.id);
        self.done(if self.kind == Kind::Person { "^C\n" } else { "interrupted\n" }, false);
    }

    /// A byte of a script.
    fn byte(&mut self, byte: u8, shell: &mut dyn Shell) {
        match byte {
            // Nothing runs that it could end.
            INTERRUPT => (),
            b'\n' if self.open > 0 && self.line.len() < MAX_LINE => {
                if leaves(&self.line[self.last..]) {
                    self.put("`{' is never closed\n");
                    self.closing = true;
                }
                self.line.push(b' ');
                self.last = self.line.len();
            }
            b'\n' => self.end_of_line(shell),
            0 => {
                if !self.line.is_empty() {
                    self.end_of_line(shell);
                }
                if self.running {
                    // The answer ends when the command does.
                    self.unread.push_front(Some(0));
                } else {
                    self.end_chunk();
                }
            }
            _ if self.line.len() >= MAX_LINE => {
                self.refuse_length();
            }
            byte => {
                match byte {
                    b'{' => self.open += 1,
                    b'}' => self.open = self.open.saturating_sub(1),
                    _ => (),
                }
                self.line.push(byte);
            }
        }
    }

    fn end_of_line(&mut self, shell: &mut dyn Shell) {
        let bytes = std::mem::take(&mut self.line);
        (self.open, self.last) = (0, 0);
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches('\r');
        if self.kind == Kind::Unknown {
            // Whoever sends lines before its terminal's type is a script.
            self.kind = Kind::Script;
        }
        self.chunk_open = true;
        // The rest of a chunk after an error is not run.
        if !self.failed {
            self.run(line, shell);
        }
    }

    fn refuse_length(&mut self) {
        self.put(&format!("line longer than {MAX_LINE} bytes\n"));
        self.closing = true;
    }

    fn end_of_read(&mut self) {
        if self.kind == Kind::Script {
            self.end_chunk();
        }
    }

    fn end_chunk(&mut self) {
        if !std::mem::take(&mut self.chunk_open) {
            return;
        }
        self.out.push_back(0);
        if self.kind == Kind::Own {
            self.out.push_back(if self.failed { b'1' } else { b'0' });
        }
        self.failed = false;
    }

    fn run(&mut self, line: &str, shell: &mut dyn Shell) {
        match line.as_bytes() {
            [COMPLETE, ..] if self.kind == Kind::Own => {
                let found = shell.complete(&line[1..]);
                self.put(&printable(&found.iter().map(|word| format!("{word}\n")).collect::<String>()));
            }
            [HELP, ..] if self.kind == Kind::Own => {
                let help = shell.help(&line[1..]);
                self.put(&help);
            }
            _ => match shell.run(self.id, line) {
                Ran::Done { text, ok } => self.done(&text, ok),
                Ran::Later => {
                    self.running = true;
                    self.wake = None;
                }
                Ran::Quit => self.closing = true,
            },
        }
    }

    fn done(&mut self, text: &str, ok: bool) {
        self.running = false;
        let text = std::mem::take(&mut self.held) + text;
        let text = printable(&text);
        if self.kind == Kind::Person {
            self.page(&text);
        } else {
            self.failed = !ok;
            self.put(&text);
        }
    }

    /// A person's key.
    fn key(&mut self, byte: u8, shell: &mut dyn Shell) {
        // Enter is CR, LF, CR LF or CR NUL, by terminal and client (RFC 854).
        let returned = std::mem::replace(&mut self.returned, byte == b'\r');
        if byte == 0 || returned && byte == b'\n' {
            return;
        }
        let mut echo = String::new();
        if let Some(pager) = &mut self.pager {
            if pager.key(byte, self.height, &mut echo) {
                self.pager = None;
                echo.push_str(PROMPT);
            }
            return self.put(&echo);
        }
        let key = self.editor.key(byte, &mut echo);
        self.put(&echo);
        if self.editor.is_full() {
            self.put("\n");
            return self.refuse_length();
        }
        match key {
            Key::None => (),
            Key::End => self.closing = true,
            Key::Enter(line) if line.trim().is_empty() => self.put(PROMPT),
            Key::Enter(line) => self.run(&line, shell),
            Key::Complete(line) => self.complete(&line, shell),
            Key::Help(line) => {
                let mut help = format!("?\n{}{PROMPT}", shell.help(&line));
                self.editor.redraw(&mut help);
                self.put(&help);
            }
        }
    }

    fn complete(&mut self, line: &str, shell: &mut dyn Shell) {
        let found = shell.complete(line);
        let last = line.rsplit(char::is_whitespace).next().unwrap_or_default();
        let common = common_prefix(&found);
        let more = common.strip_prefix(last).unwrap_or_default();
        let mut echo = String::new();
        match found.as_slice() {
            [] => return,
            [_] => self.editor.insert(&format!("{more} "), &mut echo),
            _ if !more.is_empty() => self.editor.insert(more, &mut echo),
            several => {
                echo = format!("\n{}\n{PROMPT}", several.join("  "));
                self.editor.redraw(&mut echo);
            }
        }
        self.put(&echo);
    }

    /// Shows a person's output, a screen at a time if it is long.
    fn page(&mut self, text: &str) {
        let mut shown = String::new();
        self.pager = Pager::start(text, self.height, &mut shown);
        if self.pager.is_none() {
            shown = format!("{text}{PROMPT}");
        }
        self.put(&shown);
    }

    /// Queues output: line ends as CR LF, and no NUL, which ends answers. The byte that begins a telnet command, 0xff, is in
    /// no UTF-8 text.
    fn put(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'\n' => self.out.extend(b"\r\n"),
                0 => (),
                byte => self.out.push_back(byte),
            }
        }
    }
}

/// Output without what a terminal would obey: names may come from elsewhere, and errors repeat what was typed.
fn printable(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(obeyed) { Cow::Owned(text.replace(obeyed, "?")) } else { Cow::Borrowed(text) }
}

/// Whether a line of a script asks to leave.
fn leaves(line: &[u8]) -> bool {
    matches!(line.trim_ascii(), b"quit" | b"q" | b"exit")
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
