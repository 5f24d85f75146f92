//! The table of commands, and how a line finds its command.

use std::collections::BTreeMap;

use vnet::Router;

use crate::args::Args;
use crate::error::CliError;
use crate::expected::{expected, first_words};
use crate::reply::{Job, Reply, Report};

type Run = Box<dyn Fn(&mut Router, &mut Args<'_>) -> Result<Reply, CliError>>;

/// One command.
pub struct Command {
    /// Its words.
    pub path: &'static str,
    /// How it is used, on one line.
    pub help: &'static str,
    run: Run,
}

/// What became of a line.
pub enum Outcome {
    /// Done; perhaps with something to show.
    Done(Option<Box<dyn Report>>),
    /// Refused; the line to show.
    Failed(String),
    /// Not done yet; the path of the command, for its errors.
    Later(&'static str, Box<dyn Job>),
    /// The operator wants to leave.
    Quit,
}

/// Words of the console itself: how they are used.
const OWN_WORDS: [(&str, &str); 6] = [
    ("comment", "comment <anything>"),
    ("exec", "exec <filename>"),
    ("exit", "Exit CLI"),
    ("help", "help [<command>]"),
    ("q", "Exit CLI"),
    ("quit", "Exit CLI"),
];

/// What VPP calls the commands below a word; below others they are `WORD commands`.
const GROUPS: [(&str, &str); 7] = [
    ("clear", "Clear commands"),
    ("ip", "Internet protocol (IP) commands"),
    ("packet-generator", "Packet generator commands"),
    ("set", "Set commands"),
    ("show", "Show commands"),
    ("test", "Test commands"),
    ("trace", "Packet tracer commands"),
];

/// All commands.
#[derive(Default)]
pub struct Table {
    commands: Vec<Command>,
}

/// Commands that come by the hundred thousand in scripts, and show nothing of workers that go by their changes already: what
/// they change is published together.
const GATHERED: [&str; 3] = ["ip route", "lb as", "lb vip"];

/// Where the words of a line lead.
enum Found<'t, 'l> {
    /// To a command; the rest of the line.
    Command(&'t Command, &'l str),
    /// Nowhere; as far as the words were understood, and what is wrong.
    Nowhere(String, CliError),
}

impl Table {
    /// Adds a command.
    ///
    /// # Panics
    /// When there is one of that path: two crates register the same words.
    pub fn add(
        &mut self,
        path: &'static str,
        help: &'static str,
        run: impl Fn(&mut Router, &mut Args<'_>) -> Result<Reply, CliError> + 'static,
    ) {
        assert!(self.commands.iter().all(|command| command.path != path), "the command `{path}` is registered twice");
        self.commands.push(Command { path, help, run: Box::new(run) });
    }

    /// The commands.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// Runs one line.
    pub fn run(&self, router: &mut Router, line: &str) -> Outcome {
        self.run_line(router, line, false)
    }

    /// Runs a line of a script. What routes, VIPs and servers change reaches the packet threads before the next other command, with the
    /// script's end, or with the next [`Router::poll`].
    pub(crate) fn run_in_script(&self, router: &mut Router, line: &str) -> Outcome {
        self.run_line(router, line, true)
    }

    fn run_line(&self, router: &mut Router, line: &str, in_script: bool) -> Outcome {
        let line = line.trim();
        let mut words = line.split_whitespace();
        match words.next() {
            None | Some("comment") => return Outcome::Done(None),
            Some("quit" | "q" | "exit") if words.next().is_none() => return Outcome::Quit,
            // With a file, the console has run it.
            Some("exec") if words.next().is_none() => {
                return Outcome::Failed("exec: expected a file, got nothing".into());
            }
            _ => (),
        }
        if let Some(topic) = help_topic(line) {
            return Outcome::Done(Some(Box::new(self.help(topic))));
        }
        match self.find(line) {
            Found::Nowhere(path, error) => Outcome::Failed(error.line(&path)),
            Found::Command(command, rest) => {
                let gathered = in_script && GATHERED.contains(&command.path);
                if in_script && !gathered {
                    router.publish();
                }
                router.gather(gathered);
                let result = (command.run)(router, &mut Args::new(rest));
                router.gather(false);
                if !gathered || result.is_err() {
                    router.publish();
                }
                match result {
                    Ok(Reply::Done(report)) => Outcome::Done(report),
                    Ok(Reply::Later(job)) => Outcome::Later(command.path, job),
                    Err(error) => Outcome::Failed(error.line(command.path)),
                }
            }
        }
    }

    /// Follows a line's words as far as they name commands; any unique prefix of a word will do, and an exact word
    /// beats longer ones.
    fn find<'t, 'l>(&'t self, line: &'l str) -> Found<'t, 'l> {
        let mut open: Vec<&Command> = self.commands.iter().collect();
        let (mut rest, mut path) = (line, String::new());
        for depth in 0.. {
            let mut ahead = Args::new(rest);
            let complete = open.iter().find(|command| command.path.split(' ').count() == depth).copied();
            let step = ahead.next().map(|word| (word, next_words(&open, depth, word)));
            match step {
                Some((_, words)) if words.len() == 1 => {
                    open.retain(|command| command.path.split(' ').nth(depth) == Some(words[0]));
                    path = if path.is_empty() { words[0].into() } else { format!("{path} {}", words[0]) };
                    rest = ahead.rest();
                }
                Some((word, words)) if words.len() > 1 && complete.is_none() => {
                    let error = CliError::at(format!("ambiguous input `{word}': {}", words.join(", ")));
                    return Found::Nowhere(path, error);
                }
                _ => {
                    return match complete {
                        Some(command) => Found::Command(command, rest),
                        None => Found::Nowhere(path, CliError::at(format!("unknown input `{}'", rest.trim()))),
                    };
                }
            }
        }
        Found::Nowhere(path, CliError::at("too many words"))
    }

    /// What may follow these words as an argument of the command that they begin with: names from its help line, such as
    /// `interface`.
    pub(crate) fn expected(&self, words: &str) -> Vec<String> {
        match self.find(words) {
            Found::Command(command, typed) => expected(command.path, command.help, typed),
            Found::Nowhere(..) => Vec::new(),
        }
    }

    /// The keywords with which the arguments may begin of the command that these words are.
    pub(crate) fn first_words(&self, words: &str) -> Vec<String> {
        match self.find(words) {
            Found::Command(command, typed) => first_words(command.path, command.help, typed),
            Found::Nowhere(..) => Vec::new(),
        }
    }

    /// What `help`, `?` and `X ?` show.
    pub fn help(&self, topic: &str) -> crate::reply::Words {
        let mut shown = String::new();
        if topic.trim().is_empty() {
            let mut roots: BTreeMap<&str, String> = BTreeMap::new();
            for command in &self.commands {
                let root = command.path.split(' ').next().unwrap_or_default();
                let group = || GROUPS.iter().find(|(word, _)| *word == root).map(|(_, text)| (*text).to_string());
                let text = match root == command.path {
                    true => command.help.to_string(),
                    false => group().unwrap_or_else(|| format!("{root} commands")),
                };
                roots
                    .entry(root)
                    .and_modify(|old| {
                        if root == command.path {
                            *old = text.clone()
                        }
                    })
                    .or_insert(text);
            }
            for (word, help) in OWN_WORDS {
                roots.entry(word).or_insert_with(|| help.into());
            }
            for (root, text) in roots {
                shown += &format!("  {root:<30} {text}\n");
            }
            return crate::reply::Words::from(shown);
        }
        let words: Vec<_> = topic.split_whitespace().collect();
        let commands = self.commands.iter().map(|command| (command.path, command.help));
        let mut below: Vec<_> = commands.chain(OWN_WORDS).filter(|(path, _)| is_below(path, &words)).collect();
        below.sort_unstable();
        for (path, help) in below {
            shown += &format!("  {path:<40} {help}\n");
        }
        if shown.is_empty() {
            shown = format!("no commands below `{}'\n", topic.trim());
        }
        crate::reply::Words::from(shown)
    }

    /// The words that may stand where the last word of the line stands, as far as they are words of commands.
    pub fn complete(&self, line: &str) -> Vec<String> {
        let mut words: Vec<_> = line.split_whitespace().collect();
        let last = if line.ends_with(char::is_whitespace) || line.is_empty() { "" } else { words.pop().unwrap_or("") };
        let own_words = OWN_WORDS.iter().map(|(word, _)| *word);
        let mut found: Vec<String> = self
            .commands
            .iter()
            .map(|command| command.path)
            .chain(own_words)
            .filter(|path| is_below(path, &words))
            .filter_map(|path| path.split(' ').nth(words.len()))
            .filter(|word| word.starts_with(last))
            .map(Into::into)
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

/// Whether the command's path begins with words of which these are prefixes.
fn is_below(path: &str, words: &[&str]) -> bool {
    let mut own = path.split(' ');
    words.iter().all(|word| own.next().is_some_and(|own| own.starts_with(word)))
}

/// The words at a depth that a typed word may mean.
fn next_words<'t>(open: &[&'t Command], depth: usize, typed: &str) -> Vec<&'t str> {
    let mut words: Vec<_> = open
        .iter()
        .filter_map(|command| command.path.split(' ').nth(depth))
        // An empty word in quotes is a prefix of everything and means nothing.
        .filter(|word| !typed.is_empty() && word.starts_with(typed))
        .collect();
    words.sort_unstable();
    words.dedup();
    if words.contains(&typed) {
        words.retain(|word| *word == typed);
    }
    words
}

/// `help X`, `X ?`: the X.
fn help_topic(line: &str) -> Option<&str> {
    if let Some(topic) = line.strip_suffix('?') {
        return (topic.is_empty() || topic.ends_with(char::is_whitespace)).then_some(topic);
    }
    line.strip_prefix("help").filter(|topic| topic.is_empty() || topic.starts_with(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::default();
        for path in [
            "show",
            "show interface",
            "show interface addr",
            "show ip fib",
            "show ip neighbors",
            "show lb vips",
            "show lb",
            "set x",
        ] {
            if path != "show" {
                table.add(path, "help", move |_, args| {
                    args.end()?;
                    Ok(Reply::words(path))
                });
            }
        }
        table
    }

    fn run(line: &str) -> String {
        let mut router =
            vnet::Builder::new().build(&vnet::Config { inline: true, buffers: 8, ..Default::default() }).unwrap();
        match table().run(&mut router, line) {
            Outcome::Done(report) => report.map(|report| report.text()).unwrap_or_default(),
            Outcome::Failed(line) => format!("! {line}"),
            Outcome::Later(..) | Outcome::Quit => "?".into(),
        }
    }

    #[test]
    fn unique_prefixes_are_enough_and_errors_name_the_word() {
        assert_eq!(run("sh int"), "show interface\n");
        assert_eq!(run("show int a"), "show interface addr\n");
        assert_eq!(run("show lb v"), "show lb vips\n");
        assert_eq!(run("show lb"), "show lb\n");
        assert_eq!(run("sh lb foo"), "! show lb: unknown input `foo'");
        assert_eq!(run("show int foo"), "! show interface: unknown input `foo'");
        assert_eq!(run("foo"), "! unknown input `foo'");
        assert_eq!(run("show"), "! show: unknown input `'");
        assert_eq!(run("s"), "! ambiguous input `s': set, show");
        assert_eq!(run("show interface \"\""), "! show interface: unknown input `\"\"'");
        assert_eq!(run("\"\""), "! unknown input `\"\"'");
        assert_eq!(run("exec"), "! exec: expected a file, got nothing");
        assert_eq!(run("comment all of this"), "");
        assert_eq!(run(""), "");
    }

    #[test]
    fn help_lists_what_is_below() {
        assert_eq!(run("show lb ?"), format!("  {:<40} help\n  {:<40} help\n", "show lb", "show lb vips"));
        assert!(run("help").contains("  show                           Show commands\n"));
        assert!(run("?").contains("  exec                           exec <filename>\n"));
        assert_eq!(run("exec ?"), format!("  {:<40} exec <filename>\n", "exec"));
        assert_eq!(table().complete("ex"), ["exec", "exit"]);
        assert_eq!(table().complete("show i"), ["interface", "ip"]);
        assert_eq!(table().complete("sh ip "), ["fib", "neighbors"]);
    }
}
