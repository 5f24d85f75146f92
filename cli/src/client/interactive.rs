//! A session: prompt, history, completion, `?`.

use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};

use super::Client;

/// Completes by asking the server.
struct Completion {
    client: Rc<RefCell<Client>>,
}

impl Completer for Completion {
    type Candidate = Pair;
    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..position];
        let start = typed.rfind(' ').map_or(0, |at| at + 1);
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

/// Where lines are remembered between sessions.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    Some(state.join("maglane/history"))
}

/// Runs a session until the operator leaves; gives the exit status.
///
/// # Errors
/// In words, when the terminal or the connection fails.
pub fn interact(client: Client) -> Result<(), String> {
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
    loop {
        let line = match editor.readline("vpp# ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let _ = editor.add_history_entry(line);
        if ["quit", "q", "exit"].contains(&line) {
            return Ok(());
        }
        let mut show = |text: &str| {
            print!("{text}");
            std::io::stdout().flush()
        };
        client.borrow_mut().run_printing(line, &mut show).map_err(|error| error.to_string())?;
    }
}
