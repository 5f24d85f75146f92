//! VPP's start-up syntax: sections of words in braces, from a file or from the command line.
//!
//! What a section does not know is warned of, once a section, not refused: start-up files of VPP hold much that has no
//! meaning here.

use std::fmt;

use vnet::mem::{NoPageSize, PageSize};

/// What the start-up file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// Section `unix`.
    pub unix: Unix,
    /// Section `cpu`.
    pub cpu: Cpu,
    /// Section `buffers`.
    pub buffers: Buffers,
    /// Section `plugins`.
    pub plugins: Plugins,
    /// One line for each section with words that mean nothing here.
    pub warnings: Vec<String>,
}

/// The process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unix {
    /// Where the CLI listens.
    pub cli_listen: Option<String>,
    /// Where sockets are made.
    pub runtime_dir: Option<String>,
    /// A script to run first.
    pub exec: Option<String>,
    /// Where the log goes.
    pub log: Option<String>,
    /// Accepted: the daemon always stays in the foreground.
    pub nodaemon: bool,
}

/// The threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// The control thread's processor.
    pub main_core: Option<u32>,
    /// The number of packet threads; 0 and 1 both mean one. Where only their processors are given, one for each.
    pub workers: Option<u32>,
    /// The packet threads' processors.
    pub corelist_workers: Vec<usize>,
    /// The line of that list.
    corelist_line: usize,
}

/// Packet threads, at most.
const MAX_WORKERS: u32 = 64;

impl Cpu {
    /// Says what is not said, and finds what does not go together.
    fn settle(&mut self) -> Result<(), (usize, String)> {
        let line = std::mem::take(&mut self.corelist_line);
        let Ok(cores @ 1..) = u32::try_from(self.corelist_workers.len()) else { return Ok(()) };
        let wrong = |what: String| Err((line, format!("`corelist-workers': {what}")));
        if cores > MAX_WORKERS {
            return wrong(format!("expected up to {MAX_WORKERS} cores, got {cores}"));
        }
        let workers = *self.workers.get_or_insert(cores);
        if cores < workers {
            return wrong(format!("expected a core for each of the {workers} workers, got {cores}"));
        }
        match self.main_core.filter(|main| self.corelist_workers.contains(&(*main as usize))) {
            Some(main) => wrong(format!("core {main} is the main core")),
            None => Ok(()),
        }
    }
}

/// The buffers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffers {
    /// Buffers of each packet thread.
    pub per_numa: Option<u32>,
    /// The pages under them, where a size was asked for.
    pub page_size: Option<PageSize>,
}

/// The plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plugins {
    /// Names of those that shall not be there.
    pub disabled: Vec<String>,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct StartupError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// A word, or a group in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Word(String),
    Group(Vec<Located>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Located {
    line: usize,
    item: Item,
}

/// Groups within groups, at most.
const DEPTH: usize = 16;

impl Startup {
    /// Reads a start-up file's text, or the words of a command line.
    ///
    /// # Errors
    /// Braces that do not match, and values that do not fit their words: the line, the word, and what was expected.
    pub fn parse(text: &str) -> Result<Startup, StartupError> {
        let tokens = tokens(text);
        let mut at = 0;
        let items = items(&tokens, &mut at, 0)?;
        let mut startup = Startup::default();
        let mut rest = Words { items: &items, at: 0, line: 1 };
        while let Some((line, name)) = rest.word()? {
            let group = rest.group();
            startup.section(line, &name, group.unwrap_or_default())?;
        }
        startup.cpu.settle().map_err(|(line, what)| StartupError { line, what })?;
        Ok(startup)
    }

    fn section(&mut self, line: usize, name: &str, group: &[Located]) -> Result<(), StartupError> {
        let mut words = Words { items: group, at: 0, line };
        let mut unknown = Vec::new();
        while let Some((line, word)) = words.word()? {
            match (name, word.as_str()) {
                ("unix", "nodaemon") => self.unix.nodaemon = true,
                ("unix", "cli-listen") => self.unix.cli_listen = Some(words.value(&word, "a path")?),
                ("unix", "runtime-dir") => self.unix.runtime_dir = Some(words.value(&word, "a folder")?),
                ("unix", "exec" | "startup-config") => self.unix.exec = Some(words.value(&word, "a script")?),
                ("unix", "log") => self.unix.log = Some(words.value(&word, "a file")?),
                ("cpu", "main-core") => self.cpu.main_core = Some(words.number(&word, 0, 1023)?),
                ("cpu", "workers") => self.cpu.workers = Some(words.number(&word, 0, MAX_WORKERS)?),
                ("cpu", "corelist-workers") => {
                    self.cpu.corelist_line = line;
                    let list = words.value(&word, "a list of cores such as 2-3,5")?;
                    self.cpu.corelist_workers = core_list(&list).ok_or_else(|| StartupError {
                        line,
                        what: format!("`{word}': expected a list of cores such as 2-3,5, got `{list}'"),
                    })?;
                }
                ("buffers", "buffers-per-numa") => self.buffers.per_numa = Some(words.number(&word, 256, 16_777_216)?),
                ("buffers", "page-size") => {
                    let size = words.value(&word, "default, default-hugepage, 4K, 2M or 1G")?;
                    let wrong =
                        |error: NoPageSize| StartupError { line, what: format!("`{word}': {error}, got `{size}'") };
                    self.buffers.page_size = Some(size.parse().map_err(wrong)?);
                }
                ("plugins", "plugin") => {
                    let plugin = words.value(&word, "a plugin's name")?;
                    for setting in words.group().unwrap_or_default() {
                        match &setting.item {
                            Item::Word(setting) if setting == "disable" => self.plugins.disabled.push(plugin.clone()),
                            Item::Word(setting) if setting == "enable" => (),
                            _ => unknown.push(format!("plugin {plugin}")),
                        }
                    }
                }
                _ => {
                    unknown.push(word);
                    words.group();
                }
            }
        }
        if !["unix", "cpu", "buffers", "plugins"].contains(&name) {
            self.warnings.push(format!("line {line}: section `{name}' means nothing here"));
        } else if !unknown.is_empty() {
            self.warnings.push(format!("line {line}: section `{name}': `{}' means nothing here", unknown.join("', `")));
        }
        Ok(())
    }
}

impl fmt::Display for Startup {
    /// The same settings as a start-up file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unix = String::new();
        if self.unix.nodaemon {
            unix += " nodaemon";
        }
        let paths = [
            ("cli-listen", &self.unix.cli_listen),
            ("runtime-dir", &self.unix.runtime_dir),
            ("exec", &self.unix.exec),
            ("log", &self.unix.log),
        ];
        for (word, value) in paths {
            if let Some(value) = value {
                unix += &format!(" {word} {value}");
            }
        }
        let mut cpu = String::new();
        for (word, value) in [("main-core", self.cpu.main_core), ("workers", self.cpu.workers)] {
            if let Some(value) = value {
                cpu += &format!(" {word} {value}");
            }
        }
        if !self.cpu.corelist_workers.is_empty() {
            let cores: Vec<_> = self.cpu.corelist_workers.iter().map(ToString::to_string).collect();
            cpu += &format!(" corelist-workers {}", cores.join(","));
        }
        let mut buffers = String::new();
        if let Some(count) = self.buffers.per_numa {
            buffers += &format!(" buffers-per-numa {count}");
        }
        if let Some(size) = self.buffers.page_size {
            buffers += &format!(" page-size {size}");
        }
        let plugins: String =
            self.plugins.disabled.iter().map(|name| format!(" plugin {name} {{ disable }}")).collect();
        for (name, words) in [("unix", unix), ("cpu", cpu), ("buffers", buffers), ("plugins", plugins)] {
            if !words.is_empty() {
                writeln!(f, "{name} {{{words} }}")?;
            }
        }
        Ok(())
    }
}

/// A cursor over the words of a group.
struct Words<'i> {
    items: &'i [Located],
    at: usize,
    line: usize,
}

impl<'i> Words<'i> {
    fn word(&mut self) -> Result<Option<(usize, String)>, StartupError> {
        let Some(located) = self.items.get(self.at) else { return Ok(None) };
        self.line = located.line;
        match &located.item {
            Item::Word(word) => {
                self.at += 1;
                Ok(Some((located.line, word.clone())))
            }
            Item::Group(_) => {
                Err(StartupError { line: located.line, what: "a group in braces has no name in front of it".into() })
            }
        }
    }

    fn group(&mut self) -> Option<&'i [Located]> {
        let Some(Located { item: Item::Group(group), .. }) = self.items.get(self.at) else { return None };
        self.at += 1;
        Some(group)
    }

    fn value(&mut self, word: &str, what: &str) -> Result<String, StartupError> {
        match self.items.get(self.at).map(|located| &located.item) {
            Some(Item::Word(value)) => {
                self.at += 1;
                Ok(value.clone())
            }
            _ => Err(StartupError { line: self.line, what: format!("`{word}': expected {what}, got nothing") }),
        }
    }

    fn number(&mut self, word: &str, low: u32, high: u32) -> Result<u32, StartupError> {
        let what = format!("a number from {low} to {high}");
        let value = self.value(word, &what)?;
        let number = value.parse().ok().filter(|number| (low..=high).contains(number));
        number
            .ok_or_else(|| StartupError { line: self.line, what: format!("`{word}': expected {what}, got `{value}'") })
    }
}

/// Words and braces with their lines; comments left out.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let spaced = line.replace('{', " { ").replace('}', " } ");
        tokens.extend(spaced.split_whitespace().map(|token| (number + 1, token.to_string())));
    }
    tokens
}

fn items(tokens: &[(usize, String)], at: &mut usize, depth: usize) -> Result<Vec<Located>, StartupError> {
    let mut found = Vec::new();
    while let Some((line, token)) = tokens.get(*at) {
        *at += 1;
        let item = match token.as_str() {
            "{" if depth == DEPTH => {
                return Err(StartupError { line: *line, what: "groups nest too deeply".into() });
            }
            "{" => {
                let inner = items(tokens, at, depth + 1)?;
                Item::Group(inner)
            }
            "}" if depth == 0 => return Err(StartupError { line: *line, what: "`}' without `{'".into() }),
            "}" => return Ok(found),
            word => Item::Word(word.into()),
        };
        found.push(Located { line: *line, item });
    }
    match depth {
        0 => Ok(found),
        _ => Err(StartupError { line: tokens.last().map_or(1, |(line, _)| *line), what: "`{' is never closed".into() }),
    }
}

/// `2-3,5` as numbers.
fn core_list(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
        if from > to || to > 1023 || cores.iter().any(|core| (from..=to).contains(core)) {
            return None;
        }
        cores.extend(from..=to);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_up_file_of_vpp_is_read() {
        let text = "# comment\nunix {\n  nodaemon cli-listen /tmp/c.sock\n  exec a.cli full-coredump\n}\n\
                    cpu { main-core 0 workers 2 corelist-workers 1-2,5 }\nbuffers {buffers-per-numa 4096 page-size 2m}\n\
                    dpdk { dev 0000:00:01.0 { name a } }\nplugins { plugin lb { disable } plugin x { enable } }\n";
        let startup = Startup::parse(text).unwrap();
        assert_eq!(startup.unix.cli_listen.as_deref(), Some("/tmp/c.sock"));
        assert_eq!(startup.unix.exec.as_deref(), Some("a.cli"));
        assert_eq!((startup.cpu.main_core, startup.cpu.workers), (Some(0), Some(2)));
        assert_eq!(startup.cpu.corelist_workers, [1, 2, 5]);
        assert_eq!((startup.buffers.per_numa, startup.buffers.page_size), (Some(4096), Some(PageSize::Huge)));
        assert_eq!(startup.plugins.disabled, ["lb"]);
        assert_eq!(
            startup.warnings,
            ["line 2: section `unix': `full-coredump' means nothing here", "line 8: section `dpdk' means nothing here"]
        );
        let again = Startup::parse(&startup.to_string()).unwrap();
        assert_eq!(again, Startup { warnings: vec![], ..startup });
    }

    #[test]
    fn errors_name_the_line_and_the_word() {
        let fails = |text: &str| Startup::parse(text).unwrap_err().to_string();
        assert_eq!(fails("cpu {\n workers foo }"), "line 2: `workers': expected a number from 0 to 64, got `foo'");
        assert_eq!(fails("cpu { workers }"), "line 1: `workers': expected a number from 0 to 64, got nothing");
        assert_eq!(fails("unix { nodaemon"), "line 1: `{' is never closed");
        assert_eq!(fails("unix }"), "line 1: `}' without `{'");
        assert_eq!(
            fails("cpu { corelist-workers 3-1 }"),
            "line 1: `corelist-workers': expected a list of cores such as 2-3,5, got `3-1'"
        );
        assert_eq!(
            fails("cpu { corelist-workers 1-4,3 }"),
            "line 1: `corelist-workers': expected a list of cores such as 2-3,5, got `1-4,3'"
        );
        assert_eq!(
            fails("buffers { page-size 3m }"),
            "line 1: `page-size': expected default, default-hugepage, 4K, 2M or 1G, got `3m'"
        );
        assert_eq!(Startup::parse("cpu { corelist-workers 2-3 }").unwrap().cpu.workers, Some(2));
        assert_eq!(
            fails("cpu {\ncorelist-workers 1-402 }"),
            "line 2: `corelist-workers': expected up to 64 cores, got 402"
        );
        assert_eq!(
            fails("cpu { workers 2 corelist-workers 0 }"),
            "line 1: `corelist-workers': expected a core for each of the 2 workers, got 1"
        );
        assert_eq!(
            fails("cpu { main-core 1 corelist-workers 1-2 }"),
            "line 1: `corelist-workers': core 1 is the main core"
        );
        assert_eq!(fails("{ }"), "line 1: a group in braces has no name in front of it");
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[a-z{} #\n0-9,.-]*") {
            if let Ok(startup) = Startup::parse(&text) {
                let again = Startup::parse(&startup.to_string()).unwrap();
                proptest::prop_assert_eq!(again, Startup { warnings: vec![], ..startup });
            }
        }
    }
}
