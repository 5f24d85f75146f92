//! Commands that are watched: shown again every second until the operator has seen enough.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};

use super::{Answer, Client};

/// How often a view is shown anew.
const EVERY: Duration = Duration::from_secs(1);
/// The screen's last line.
const FOOT: &str = "q ends; arrows, space and b scroll";
/// The other screen, where lines are not wrapped, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?7l\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?7h\x1b[?1049l";

/// How a view ended.
pub enum Watched {
    /// The line is not to be watched, or there is nobody who could: it is a command as any other.
    No,
    /// The operator has seen enough, or the command failed: what it said last.
    Last(Answer),
}

/// Watches a command whose second word is `top`, if a person is there and a server that knows such commands.
///
/// # Errors
/// In words, when the connection or the terminal fails, or somebody ends this program.
pub fn watch(client: &mut Client, line: &str) -> Result<Watched, String> {
    let person = io::stdin().is_terminal() && io::stdout().is_terminal();
    let wanted = line.split_whitespace().nth(1) == Some("top");
    if !(wanted && person && client.is_maglane().map_err(|error| error.to_string())?) {
        return Ok(Watched::No);
    }
    let mut answer = client.run(line).map_err(|error| error.to_string())?;
    if !answer.ok {
        return Ok(Watched::Last(answer));
    }
    let unusable = |error: io::Error| format!("cannot use the terminal: {error}");
    let mut screen = Screen::enter().map_err(unusable)?;
    let mut next = Instant::now() + EVERY;
    let mut from = 0;
    loop {
        screen.show(&answer.text, &mut from).map_err(unusable)?;
        match screen.wait(next).map_err(unusable)? {
            Event::Leave => return Ok(Watched::Last(answer)),
            Event::Ended(signal) => return Err(format!("ended by {signal}")),
            Event::Scroll(lines) => from = from.saturating_add_signed(lines),
            Event::Page(pages) => from = from.saturating_add_signed(pages * screen.page()),
            Event::Redraw => (),
            Event::Time => {
                // A server that was late is not asked several times in a row.
                next = (next + EVERY).max(Instant::now());
                answer = client.run(line).map_err(|error| error.to_string())?;
                if !answer.ok {
                    return Ok(Watched::Last(answer));
                }
            }
        }
    }
}

/// What a view waits for.
enum Event {
    Leave,
    Ended(Signal),
    Scroll(isize),
    Page(isize),
    Redraw,
    Time,
}

/// The terminal, as long as a view has it: keys come one by one and are not echoed. It is given back as it was.
struct Screen {
    before: Termios,
    blocked_before: SigSet,
    signals: SignalFd,
}

impl Screen {
    fn enter() -> io::Result<Screen> {
        let watched = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGWINCH];
        let signals: SigSet = watched.into_iter().collect();
        let before = tcgetattr(io::stdin())?;
        let mut keys = before.clone();
        keys.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
        keys.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
        keys.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        let screen = Screen {
            before,
            signals: SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?,
            blocked_before: signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?,
        };
        tcsetattr(io::stdin(), SetArg::TCSANOW, &keys)?;
        write(ENTER)?;
        Ok(screen)
    }

    /// Rows of the terminal; 24 where it does not say.
    fn rows() -> usize {
        let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_row));
        if rows == 0 { 24 } else { rows }
    }

    /// How far a page scrolls.
    fn page(&self) -> isize {
        Screen::rows().saturating_sub(4).max(1) as isize
    }

    fn show(&self, text: &str, from: &mut usize) -> io::Result<()> {
        let lines: Vec<&str> = text.lines().collect();
        write(&frame(&lines, from, Screen::rows()))
    }

    /// Waits for a key, a signal, or the time.
    fn wait(&mut self, until: Instant) -> io::Result<Event> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            let stdin = io::stdin();
            let mut waited =
                [PollFd::new(stdin.as_fd(), PollFlags::POLLIN), PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waited, timeout) {
                Ok(0) => return Ok(Event::Time),
                Err(nix::errno::Errno::EINTR) => continue,
                other => other?,
            };
            let [typed, signalled] = waited.map(|fd| fd.any().unwrap_or(true));
            if signalled && let Ok(Some(signal)) = self.signals.read_signal() {
                return Ok(match Signal::try_from(signal.ssi_signo as i32) {
                    Ok(Signal::SIGWINCH) => Event::Redraw,
                    Ok(Signal::SIGINT) => Event::Leave,
                    Ok(other) => Event::Ended(other),
                    Err(_) => continue,
                });
            }
            if typed {
                let mut keys = [0; 64];
                return match io::stdin().read(&mut keys)? {
                    // The terminal has gone.
                    0 => Ok(Event::Leave),
                    count => match meaning(&keys[..count]) {
                        Some(event) => Ok(event),
                        None => continue,
                    },
                };
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing is left to do about a terminal that has gone.
        let _ = write(LEAVE);
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before);
        let _ = self.blocked_before.thread_set_mask();
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What the keys that were pressed ask for.
fn meaning(keys: &[u8]) -> Option<Event> {
    match keys {
        [b'q' | b'Q' | 0x03 | 0x04, ..] => Some(Event::Leave),
        b"\x1b[A" | b"\x1bOA" | b"k" => Some(Event::Scroll(-1)),
        b"\x1b[B" | b"\x1bOB" | b"j" | b"\r" | b"\n" => Some(Event::Scroll(1)),
        b"\x1b[5~" | b"b" => Some(Event::Page(-1)),
        b"\x1b[6~" | b" " => Some(Event::Page(1)),
        // Several at once: the first that is understood alone.
        [first, rest @ ..] if *first != 0x1b && !rest.is_empty() => meaning(&[*first]).or_else(|| meaning(rest)),
        _ => None,
    }
}

/// A screen of this many rows: the lines from `from` on, as many as there is room for, and the last line, which has the
/// totals, in any case. `from` is put right where it is beyond the end.
fn frame(lines: &[&str], from: &mut usize, rows: usize) -> String {
    let room = rows.saturating_sub(1).max(1);
    let mut shown: Vec<&str> = Vec::new();
    if lines.len() <= room {
        *from = 0;
        shown.extend(lines);
    } else {
        let upper = room.saturating_sub(1);
        *from = (*from).min(lines.len() - 1 - upper);
        shown.extend(&lines[*from..*from + upper]);
        shown.extend(lines.last());
    }
    let mut text = String::from("\x1b[H");
    for line in shown {
        text += line;
        text += "\x1b[K\n";
    }
    // What is left of a longer screen goes; the last line has no end, or all would move up.
    text + FOOT + "\x1b[K\x1b[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(count: usize, from: &mut usize, rows: usize) -> Vec<String> {
        let lines: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let text = frame(&lines, from, rows);
        let text = text.strip_prefix("\x1b[H").unwrap().strip_suffix("\x1b[J").unwrap();
        text.split('\n').map(|line| line.strip_suffix("\x1b[K").unwrap().to_string()).collect()
    }

    #[test]
    fn a_frame_has_as_many_lines_as_fit_and_always_the_last() {
        let mut from = 7;
        assert_eq!(shown(3, &mut from, 4), ["0", "1", "2", FOOT]);
        assert_eq!((from, shown(5, &mut from, 4)), (0, ["0", "1", "4", FOOT].map(Into::into).to_vec()));
        from = 1;
        assert_eq!(shown(5, &mut from, 4), ["1", "2", "4", FOOT]);
        from = 100;
        assert_eq!((shown(5, &mut from, 4), from), (["2", "3", "4", FOOT].map(Into::into).to_vec(), 2));
        // A terminal that has almost no room.
        for rows in 0..3 {
            assert_eq!(shown(5, &mut from, rows), ["4", FOOT]);
            assert_eq!(shown(0, &mut from, rows), [FOOT]);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(count in 0..100usize, mut from: usize, rows in 0..60usize, keys: Vec<u8>) {
            let lines = shown(count, &mut from, rows);
            assert!(lines.len() <= rows.max(2) && from <= count);
            let _ = meaning(&keys);
        }
    }
}
