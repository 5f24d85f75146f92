//! Transcripts: sessions at the console, compared word for word with the files in `golden/`.
//!
//! A file begins with the commands that set the scene and goes on as the operator would see it: a line `vpp# COMMAND`,
//! then what the command says, be it a result or an error. Where the real VPP shows the same thing, its text is the
//! file's text. Times, ages of neighbours, and numbers of buffers and
//! nodes are masked. `GOLDEN=write` writes what is said now.

use maglane::{Config, Console};

const PROMPT: &str = "vpp# ";

#[test]
fn set_up() {
    check("set_up");
}

#[test]
fn packets() {
    check("packets");
}

#[test]
fn change_and_remove() {
    check("change_and_remove");
}

#[test]
fn errors_and_help() {
    check("errors");
}

#[test]
fn errors_of_the_load_balancer() {
    check("lb_errors");
}

#[test]
fn grammar() {
    check("grammar");
}

/// Types the commands of a transcript into a router of its own and compares what it says.
fn check(name: &str) {
    let file = format!("{}/tests/graph/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let expected = std::fs::read_to_string(&file).unwrap();
    let config = Config { inline: true, buffers: 4096, ..Config::default() };
    let mut console = maglane::app().build(&config).map_err(|error| error.to_string()).unwrap();
    let mut said = String::new();
    for command in expected.lines().filter_map(|line| line.strip_prefix(PROMPT)) {
        let text = match console.exec(command) {
            Ok(text) => text,
            Err(error) => error + "\n",
        };
        said += &format!("{PROMPT}{command}\n{}", mask(&text));
        run_streams(&mut console);
    }
    if std::env::var_os("GOLDEN").is_some_and(|what| what == "write") {
        std::fs::write(&file, &said).unwrap();
    }
    let first = expected.lines().zip(said.lines()).position(|(expected, said)| expected != said);
    let around = |text: &str| {
        let lines = text.lines().skip(first.unwrap_or(0).saturating_sub(3)).take(8);
        lines.collect::<Vec<_>>().join("\n")
    };
    assert!(expected == said, "{name}: expected\n{}\n\nbut it said\n{}", around(&expected), around(&said));
    assert_eq!(console.router().ask(0, |worker| worker.buffers_in_use()), 0, "{name}: a buffer was lost");
}

/// Lets the packet generator send all it has.
fn run_streams(console: &mut Console) {
    for _ in 0..1000 {
        console.router().step();
        if !console.exec("show packet-generator").is_ok_and(|streams| streams.contains(" Yes ")) {
            break;
        }
    }
    console.router().step();
}

/// The text without what differs from run to run.
fn mask(text: &str) -> String {
    let mut neighbours = false;
    text.lines().map(|line| mask_line(line, &mut neighbours) + "\n").collect()
}

fn mask_line(line: &str, neighbours: &mut bool) -> String {
    *neighbours |= line.trim_start().starts_with("Age ");
    if *neighbours && line.starts_with(' ') && line.len() > 12 && !line.trim_start().starts_with("Age ") {
        return format!("{:>12}{}", "AGE", &line[12..]);
    }
    if let Some((time, node)) = line.split_once(": ")
        && time.len() == 15
        && time.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
    {
        return format!("HH:MM:SS:uuuuuu: {node}");
    }
    let line = mask_number(line, "buffer 0x", |c| c.is_ascii_hexdigit());
    // The number of a node, which changes when nodes are added anywhere.
    mask_number(&line, " next:", |c| c.is_ascii_digit())
}

/// `N` instead of the number behind `label`.
fn mask_number(line: &str, label: &str, digit: impl Fn(char) -> bool) -> String {
    match line.split_once(label) {
        Some((before, after)) => format!("{before}{label}N{}", after.trim_start_matches(digit)),
        None => line.into(),
    }
}
