//! A running `maglane` and its CLI.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use cli::client::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nodes::sys::in_namespace;

use crate::testing::eventually;

/// No test needs longer; a daemon that hangs is killed then, so that whoever waits for its answer goes on.
const LIFE: Duration = Duration::from_secs(240);

/// The built binary in a namespace; killed when dropped.
pub struct Daemon {
    name: String,
    namespace: String,
    dir: PathBuf,
    words: String,
    running: Mutex<Running>,
}

struct Running {
    child: Child,
    client: Option<Client>,
    /// Dropped together with the daemon, which ends the thread that waits at the other end.
    _watched: Sender<()>,
}

impl Daemon {
    /// Starts it in a namespace, with its socket and log in `dir`, and waits for its CLI and the end of the script.
    pub fn start(name: &str, namespace: &str, dir: &Path, workers: usize, script: Option<&Path>) -> Daemon {
        let exec = script.map(|script| format!(" exec {}", script.display())).unwrap_or_default();
        let socket = dir.join(format!("{name}.sock"));
        let words = format!("unix {{ nodaemon cli-listen {}{exec} }} cpu {{ workers {workers} }}", socket.display());
        let running = Mutex::new(run(name, namespace, dir, &words));
        let daemon = Daemon { name: name.into(), namespace: namespace.into(), dir: dir.into(), words, running };
        daemon.connect();
        daemon
    }

    /// Types a command, which must succeed.
    pub fn vppctl(&self, line: &str) -> String {
        let mut running = self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let answer = running.client.as_mut().expect("connected").run(line);
        let answer = answer.unwrap_or_else(|error| panic!("{}# {line}: {error}\n{}", self.name, self.log()));
        assert!(answer.ok, "{}# {line}: {}", self.name, answer.text);
        answer.text
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.running.lock().unwrap().child.id()
    }

    /// The path of its CLI socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join(format!("{}.sock", self.name))
    }

    /// Resident memory in KB (`VmRSS` of the kernel).
    pub fn resident_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the daemon lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How long its packet threads were ready to run so far, and no processor was free for them.
    pub fn starved(&self) -> Duration {
        self.scheduled(1)
    }

    /// How long its packet threads have run so far.
    pub fn busy(&self) -> Duration {
        self.scheduled(0)
    }

    /// A number of `schedstat` of the kernel, of all packet threads.
    fn scheduled(&self, number: usize) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the daemon lives");
        let times = tasks.flatten().map(|task| {
            let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let packets = read("comm").starts_with("maglane-wk");
            read("schedstat").split(' ').nth(number).filter(|_| packets).and_then(|ns| ns.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(times.sum())
    }

    /// Ends it without a chance to tidy up.
    pub fn kill(&self) {
        let mut running = self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let _ = running.child.kill();
        let _ = running.child.wait();
    }

    /// Starts it again, as it was started before.
    pub fn restart(&self) {
        *self.running.lock().unwrap() = run(&self.name, &self.namespace, &self.dir, &self.words);
        self.connect();
    }

    fn connect(&self) {
        let mut running = self.running.lock().unwrap();
        let what = format!("the CLI of {}", self.name);
        eventually(Duration::from_secs(20), &what, || {
            if let Ok(Some(status)) = running.child.try_wait() {
                panic!("{} ended: {status}\n{}", self.name, self.log());
            }
            let Ok(mut client) = Client::connect(&self.socket()) else { return false };
            let answers = client.run("show version").is_ok_and(|answer| answer.ok);
            running.client = answers.then_some(client);
            // Sessions get their turn between the lines of the script.
            let log = self.log();
            let since_start = log.rsplit("listening on").next().unwrap_or_default();
            answers && (!self.words.contains(" exec ") || since_start.contains("the start-up script has run"))
        });
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join(format!("{}.log", self.name))).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("log of {}:\n{}", self.name, self.log());
        }
    }
}

fn run(name: &str, namespace: &str, dir: &Path, words: &str) -> Running {
    let log = File::options().create(true).append(true).open(dir.join(format!("{name}.log"))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_maglane"));
    command.args(words.split(' ')).stdout(log.try_clone().unwrap()).stderr(log);
    // A child is in the namespace of the thread that makes it.
    let child = in_namespace(Some(namespace), || command.spawn()).unwrap().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let (watched, ended) = channel::<()>();
    std::thread::spawn(move || {
        if ended.recv_timeout(LIFE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    });
    Running { child, client: None, _watched: watched }
}
