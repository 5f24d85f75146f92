//! Command lines, on a router with an interface, tunnels, routes and VIPs.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// First words of commands that read or write files, reach the machine's devices, or take their time.
const LEFT_OUT: &[&str] =
    &["exec", "ping", "wait", "create host-interface", "create tap", "delete", "packet-generator"];

fuzz_target!(|text: &str| {
    let mut console = maglane_fuzz::console();
    for (_, line) in cli::script_lines(text) {
        if LEFT_OUT.iter().any(|command| may_mean(&line, command)) {
            continue;
        }
        let _ = console.complete(&line);
        if let Err(error) = console.exec(&line) {
            assert!(!error.is_empty(), "`{line}' was refused without a reason");
        }
        console.router().step();
    }
});

/// Whether the line's first words are those of the command, or begin them: words may be cut short and quoted.
fn may_mean(line: &str, command: &str) -> bool {
    let mut words = cli::Args::new(line);
    command.split(' ').all(|whole| words.next().is_some_and(|word| whole.starts_with(word)))
}
