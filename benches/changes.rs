//! Whether packets wait for changes: the longest pass of a worker under load while VIPs and servers change.
//!
//! `cargo bench --bench changes [-- [--json] [--vips N] [--servers N] [--rounds N]]`: N VIPs (10,000) of N servers (3), 100,000
//! flows over all of them, one worker on a thread of its own. For each kind of change some rounds: how long the command
//! takes, and the longest pass from its beginning until a millisecond after its end, in the worker's own CPU time (so
//! that nobody else on the core counts): median and lower quartile of the rounds, for a timer's interrupt in one of the
//! passes counts, too. `nothing` is the same without a change. In the passes is what it takes to make the packets: a
//! vector of 256 in each.

#[path = "common/typed.rs"]
mod typed;
#[path = "common/words.rs"]
mod words;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use maglane::{Config, Console};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use vnet::{InputCx, InputNode, NoErrors, NodeSpec, Poll, next_nodes};

use typed::exec;

/// How long passes are watched after a change.
const AFTER: Duration = Duration::from_millis(1);

next_nodes! {
    /// It brings no packets.
    enum Nowhere {
        Drop => "error-drop",
    }
}

/// An input node that is polled in each pass, and notes how long the longest took since it was asked last.
struct Stopwatch {
    last: u64,
    longest: Arc<AtomicU64>,
}

impl InputNode for Stopwatch {
    type Next = Nowhere;
    type Error = NoErrors;
    type Local = ();
    type Trace = ();

    fn poll(&mut self, _: &mut InputCx<'_, '_, Self>) -> Poll {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has this clock");
        let now = time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64;
        if self.last > 0 {
            self.longest.fetch_max(now - self.last, Ordering::Relaxed);
        }
        self.last = now;
        Poll::Idle
    }
}

fn main() {
    let (json, [vips, servers, rounds]) = words::read([("vips", 10_000), ("servers", 3), ("rounds", 100)]);
    if vips > 65_000 || servers > 100 {
        words::fail("expected at most 65000 VIPs and 100 servers");
    }
    let longest = Arc::new(AtomicU64::new(0));
    let (mut console, setup) = console(vips as u32, servers as u32, longest.clone());
    // The flow table fills, and every server's way is looked up.
    std::thread::sleep(Duration::from_millis(500));
    let changes: [(&str, Line); 6] = [
        ("nothing", |_, _| None),
        ("weight", |n, vip| Some(format!("lb as {vip}/32 10.1.0.2 weight {}", 50 + n % 50))),
        ("server more", |n, vip| Some(format!("lb as {vip}/32 10.1.1.{}", 2 + n % 200))),
        ("server less", |n, vip| Some(format!("lb as {vip}/32 10.1.1.{} del", 2 + n % 200))),
        ("flush", |_, vip| Some(format!("lb flush vip {vip}/32"))),
        ("show", |_, _| Some("show lb vips verbose".into())),
    ];
    for (change, line) in changes {
        let (mut passes, mut commands) = (Vec::new(), Vec::new());
        for n in 0..rounds as u32 {
            std::thread::sleep(AFTER * 5);
            longest.store(0, Ordering::Relaxed);
            let start = Instant::now();
            if let Some(line) = line(n, vip(n * 7 % vips as u32)) {
                exec(&mut console, &line);
            }
            commands.push(start.elapsed().as_secs_f64() * 1e6);
            std::thread::sleep(AFTER);
            passes.push(longest.load(Ordering::Relaxed) as f64 / 1e3);
            console.router().poll();
        }
        let ([quarter, pass], [_, command]) = (spread(passes), spread(commands));
        if json {
            let value = json!({
                "bench": "changes", "change": change, "vips": vips, "servers": servers,
                "pass_quartile_us": quarter, "pass_median_us": pass, "command_median_us": command,
            });
            println!("{value}");
        } else {
            println!(
                "{change:12} longest pass: {quarter:6.1} us (lower quartile), {pass:6.1} us (median); command {command:8.1} us"
            );
        }
    }
    assert!(typed::sent(&mut console, 2) > 0, "packets went through");
    if !json {
        println!("{vips} VIPs of {servers} servers were typed in {:.1} s", setup.as_secs_f64());
    }
}

/// The line of a change: which round, and which VIP.
type Line = fn(u32, Ipv4Addr) -> Option<String>;

/// Lower quartile and median.
fn spread(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    [values[values.len() / 4], values[values.len() / 2]]
}

fn vip(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(90, 0, 0, 1).to_bits() + number)
}

/// A router with so many VIPs of so many servers, under load; and how long the VIPs took to type.
fn console(vips: u32, servers: u32, longest: Arc<AtomicU64>) -> (Console, Duration) {
    let mut app = maglane::app();
    app.builder.node(NodeSpec::input("stopwatch", move |_| Stopwatch { last: 0, longest: longest.clone() }));
    let config = Config { cores: vec![1.min(cores() - 1)], workers: 1, ..Config::default() };
    let mut console = app.build(&config).unwrap_or_else(|error| panic!("{error}"));
    for line in [
        "create packet-generator interface pg0 hw-addr 02:fe:00:00:00:01",
        "create packet-generator interface pg1 hw-addr 02:fe:00:00:00:02",
        "set interface ip address pg0 10.0.0.1/16",
        "set interface ip address pg1 10.1.0.1/16",
        "set interface state pg0 up",
        "set interface state pg1 up",
        "lb conf ip4-src-address 10.1.0.1 timeout 3600 buckets 131072",
    ] {
        exec(&mut console, line);
    }
    for server in 2..202 {
        exec(&mut console, &format!("set ip neighbor pg1 10.1.0.{server} 02:00:00:00:00:02"));
        exec(&mut console, &format!("set ip neighbor pg1 10.1.1.{server} 02:00:00:00:00:02"));
    }
    let start = Instant::now();
    for number in 0..vips {
        exec(&mut console, &format!("lb vip {}/32 encap gre4", vip(number)));
        let of_vip = |n| if n == 0 { 2 } else { 3 + (number + n) % 199 };
        let addresses: Vec<String> = (0..servers).map(|n| format!("10.1.0.{}", of_vip(n))).collect();
        exec(&mut console, &format!("lb as {}/32 {}", vip(number), addresses.join(" ")));
    }
    let setup = start.elapsed();
    exec(
        &mut console,
        &format!(
            "packet-generator new {{ name s limit 0 size 64-64 worker 0 interface pg0 node ethernet-input \
             data {{ IP4: 02:00:00:00:01:02 -> 02:fe:00:00:00:01 UDP: 20.0.0.0 - 20.1.134.159 -> {} - {} UDP: 1000 -> 80 \
             length 30 incrementing 22 }} }}",
            vip(0),
            vip(vips - 1)
        ),
    );
    exec(&mut console, "packet-generator enable");
    (console, setup)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
