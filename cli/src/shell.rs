//! The console: a router and the commands that work on it, for sessions, scripts and tests.

use std::time::{Duration, Instant};

use vnet::router::InterfaceRecord;
use vnet::{NodeKind, Router};

use crate::command::{Outcome, Table};
use crate::files::read_text_file;
use crate::reply::{Job, Step};

/// Scripts may call scripts, this deep.
const DEPTH: usize = 8;

/// A router with its commands.
pub struct Console {
    router: Router,
    table: Table,
}

/// Work of a session that is not done yet: a long command, or what is left of a script.
pub struct Pending {
    job: Option<(&'static str, Box<dyn Job>)>,
    script: Vec<ScriptLines>,
}

/// The lines of a script that are still to run.
struct ScriptLines {
    name: String,
    lines: std::vec::IntoIter<(usize, String)>,
    at: usize,
}

/// How far pending work has come.
pub enum Progress {
    /// Show this and call again.
    Print(String),
    /// Call again at this time.
    Wait(Instant),
    /// Done; the error line where it failed.
    Done(Result<(), String>),
}

impl Console {
    /// A console on a router.
    pub fn new(router: Router, table: Table) -> Console {
        Console { router, table }
    }

    /// The router.
    pub fn router(&mut self) -> &mut Router {
        &mut self.router
    }

    /// The commands.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Begins a line; `None` asks to leave.
    pub fn begin(&mut self, line: &str) -> Option<Started> {
        self.begin_line(line, false)
    }

    fn begin_line(&mut self, line: &str, in_script: bool) -> Option<Started> {
        if let Some(file) = exec_file(line) {
            return Some(match read_script(file) {
                Ok(script) => Started::Pending(Pending { job: None, script: vec![script] }),
                Err(error) => Started::Done(Err(error)),
            });
        }
        let run = if in_script { Table::run_in_script } else { Table::run };
        Some(match run(&self.table, &mut self.router, line) {
            Outcome::Done(report) => Started::Done(Ok(report.map(|report| report.text()).unwrap_or_default())),
            Outcome::Failed(line) => Started::Done(Err(line)),
            Outcome::Later(path, job) => Started::Pending(Pending { job: Some((path, job)), script: Vec::new() }),
            Outcome::Quit => return None,
        })
    }

    /// Goes on with pending work as far as possible without waiting.
    pub fn go_on(&mut self, pending: &mut Pending) -> Progress {
        if let Some((path, mut job)) = pending.job.take() {
            let step = job.poll(&mut self.router);
            self.router.publish();
            match step {
                Step::Done(Err(error)) => return Progress::Done(Err(pending.blame(error.line(path)))),
                Step::Done(Ok(())) => (),
                Step::Print(text) => {
                    pending.job = Some((path, job));
                    return Progress::Print(text);
                }
                Step::Wait(when) => {
                    pending.job = Some((path, job));
                    return Progress::Wait(when);
                }
            }
        }
        let Some(script) = pending.script.last_mut() else {
            return Progress::Done(Ok(()));
        };
        let Some((number, line)) = script.lines.next() else {
            pending.script.pop();
            self.router.publish();
            return Progress::Print(String::new());
        };
        script.at = number;
        if pending.script.len() >= DEPTH && exec_file(&line).is_some() {
            return Progress::Done(Err(pending.blame("scripts call each other too deeply".into())));
        }
        match self.begin_line(&line, true) {
            None => {
                self.router.publish();
                Progress::Done(Ok(()))
            }
            Some(Started::Done(Ok(text))) => Progress::Print(text),
            Some(Started::Done(Err(error))) => Progress::Done(Err(pending.blame(error))),
            Some(Started::Pending(mut inner)) => {
                pending.job = inner.job.take();
                pending.script.append(&mut inner.script);
                Progress::Print(String::new())
            }
        }
    }

    /// Runs a line to its end, sleeping where it has to wait. For tests and start-up; sessions use [`Console::begin`].
    ///
    /// # Errors
    /// The line that says why the command was refused.
    pub fn exec(&mut self, line: &str) -> Result<String, String> {
        let mut text = String::new();
        let mut pending = match self.begin(line) {
            None => return Ok(text),
            Some(Started::Done(result)) => return result,
            Some(Started::Pending(pending)) => pending,
        };
        loop {
            match self.go_on(&mut pending) {
                Progress::Print(more) => text += &more,
                Progress::Done(Ok(())) => return Ok(text),
                Progress::Done(Err(error)) => return Err(error),
                Progress::Wait(when) => {
                    self.router.step();
                    std::thread::sleep(when.saturating_duration_since(Instant::now()).min(Duration::from_millis(1)));
                }
            }
        }
    }

    /// Words that may complete a line: of commands, and names of interfaces, nodes and what else has any where the command
    /// expects such a name.
    pub fn complete(&self, line: &str) -> Vec<String> {
        let mut found = self.table.complete(line);
        let last = line.rsplit(char::is_whitespace).next().unwrap_or_default();
        let before = &line[..line.len() - last.len()];
        let names = self.table.expected(before).into_iter().flat_map(|what| self.names(&what));
        found.extend(self.table.first_words(before).into_iter().chain(names).filter(|name| name.starts_with(last)));
        found.sort();
        found.dedup();
        found
    }

    /// The names that there are of what a help line calls `what`.
    fn names(&self, what: &str) -> Vec<String> {
        let nodes = |wanted: fn(NodeKind) -> bool| {
            let nodes = self.router.nodes().filter(|(_, info)| wanted(info.kind));
            nodes.map(|(_, info)| info.name.to_string()).collect()
        };
        match what {
            "interface" | "interface-name" | "intfc" | "pgN" => {
                let records = self.router.records().map(InterfaceRecord::index);
                records.map(|index| self.router.tables().interface(index).name.to_string()).collect()
            }
            "node" | "node-name" => nodes(|_| true),
            "input-graph-node" => nodes(|kind| kind == NodeKind::Input),
            _ => self.router.completions(what),
        }
    }
}

/// What became of a line at once.
pub enum Started {
    /// Done: the text to show, or the error line.
    Done(Result<String, String>),
    /// Not done yet.
    Pending(Pending),
}

impl Pending {
    /// An error with the script's lines in front that led to it.
    fn blame(&self, error: String) -> String {
        let places = self.script.iter().map(|script| format!("{} line {}: ", script.name, script.at));
        places.collect::<String>() + &error
    }
}

/// The file of an `exec` line.
fn exec_file(line: &str) -> Option<&str> {
    let file = line.trim().strip_prefix("exec")?;
    (file.starts_with(char::is_whitespace) && !file.trim().is_empty() && file.trim() != "?").then(|| file.trim())
}

fn read_script(file: &str) -> Result<ScriptLines, String> {
    let text = read_text_file(file).map_err(|error| format!("exec: {error}"))?;
    Ok(ScriptLines { name: file.into(), lines: script_lines(&text).into_iter(), at: 0 })
}

/// The commands of a script with their line numbers: comments after `#` left out, a group in braces joined.
pub fn script_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = 0;
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if open > 0 {
            if let Some((_, joined)) = lines.last_mut() {
                *joined += " ";
                *joined += line;
            }
        } else if !line.is_empty() {
            lines.push((number + 1, line.into()));
        }
        open += line.matches('{').count();
        open = open.saturating_sub(line.matches('}').count());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_complete_where_arguments_stand() {
        let mut console = crate::App::new().build(&vnet::Config { inline: true, ..Default::default() }).unwrap();
        console.table.add("show vip", "show vip <vip-prefix> [<interface>]", |_, _| Ok(crate::Reply::none()));
        console.router().add_completer("vip-prefix", |_| vec!["90.0.0.0/8".into(), "91.0.0.0/8".into()]);
        assert_eq!(console.complete("show vip "), ["90.0.0.0/8", "91.0.0.0/8"]);
        assert_eq!(console.complete("sh vip 91"), ["91.0.0.0/8"]);
        assert!(console.complete("show vip 90.0.0.0/8 ").is_empty());
        assert!(console.complete("show interface 9").is_empty());
        assert_eq!(console.complete("show node null"), ["null-node"]);
        assert!(console.complete("show interface null").is_empty());
        assert!(console.complete("trace add ").is_empty(), "there is no input node");
        assert_eq!(console.complete("trace filter "), ["exclude", "include", "none"]);
        assert_eq!(console.complete("trace filter in"), ["include"]);
        assert_eq!(console.complete("trace filter include null"), ["null-node"]);
        assert!(console.complete("nothing null").is_empty());
        assert!(console.complete("null").is_empty());
    }

    #[test]
    fn scripts_lose_comments_and_join_groups() {
        let lines = script_lines("a 1 # one\n\n# only\nb {\n  c\n}\nd\n");
        assert_eq!(lines, [(1, "a 1".into()), (4, "b { c }".into()), (7, "d".into())]);
    }
}
