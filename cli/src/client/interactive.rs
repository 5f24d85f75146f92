//! A session: prompt, history, completion, `?`.

use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ConditionalEventHandler, Context, Editor, Event, EventContext, EventHandler, Helper, KeyEvent, RepeatCount,
};

use super::Client;
use super::view::{Watched, watch};

/// Completes by asking the server.
struct Completion {
    client: Rc<RefCell<Client>>,
}

impl Completer for Completion {
    type Candidate = Pair;
    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..position];
        let last = typed.rsplit(char::is_whitespace).next().unwrap_or_default();
        let start = typed.len() - last.len();
        let words = self.client.borrow_mut().complete(typed).unwrap_or_default();
        let pair = |word: String| Pair { display: word.clone(), replacement: format!("{word} ") };
        Ok((start, words.into_iter().map(pair).collect()))
    }
}

impl Helper for Completion {}
impl Highlighter for Completion {}
impl Hinter for Completion {
    type Hint = String;
}
impl Validator for Completion {}

/// The key `?` ends the input of a line for as long as it takes to explain it.
struct Question {
    asked: Arc<AtomicBool>,
}

impl ConditionalEventHandler for Question {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        self.asked.store(true, Ordering::Relaxed);
        Some(Cmd::AcceptLine)
    }
}

/// Where lines are remembered between sessions.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    Some(state.join("maglane/history"))
}

/// Interrupts as something that can be waited for: they end a command, not the session.
fn interrupts() -> nix::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Runs a session until the operator leaves.
///
/// # Errors
/// In words, when the terminal or the connection fails.
pub fn interact(mut client: Client) -> Result<(), String> {
    client.set_interrupts(interrupts().map_err(|error| format!("cannot watch interrupts: {error}"))?);
    let client = Rc::new(RefCell::new(client));
    let config = rustyline::Config::builder().completion_type(rustyline::CompletionType::List).build();
    let mut editor: Editor<Completion, FileHistory> = Editor::with_config(config).map_err(|error| error.to_string())?;
    editor.set_helper(Some(Completion { client: client.clone() }));
    let history = history_file();
    if let Some(file) = &history {
        // The first session has no history yet.
        let _ = editor.load_history(file);
    }
    let result = lines(&mut editor, &client);
    if let Some(file) = &history {
        // A session is worth more than its history.
        let _ = file.parent().map(std::fs::create_dir_all);
        let _ = editor.save_history(file);
    }
    result
}

fn lines(editor: &mut Editor<Completion, FileHistory>, client: &RefCell<Client>) -> Result<(), String> {
    let asked = Arc::new(AtomicBool::new(false));
    let question = Question { asked: asked.clone() };
    editor.bind_sequence(KeyEvent::from('?'), EventHandler::Conditional(Box::new(question)));
    let mut typed = String::new();
    loop {
        let line = match editor.readline_with_initial("vpp# ", (&std::mem::take(&mut typed), "")) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        if asked.swap(false, Ordering::Relaxed) {
            let help = client.borrow_mut().help(&line).map_err(|error| error.to_string())?;
            show(&help).map_err(|error| error.to_string())?;
            typed = line;
            continue;
        }
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let _ = editor.add_history_entry(line);
        if ["quit", "q", "exit"].contains(&line) {
            return Ok(());
        }
        let watched = watch(&mut client.borrow_mut(), line)?;
        match watched {
            Watched::Last(answer) => show(&answer.text).map_err(|error| error.to_string())?,
            Watched::No => {
                client.borrow_mut().run_printing(line, &mut show).map_err(|error| error.to_string())?;
            }
        }
    }
}

fn show(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}
