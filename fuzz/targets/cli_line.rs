//! Command lines. Only the engine's and the load balancer's commands are there: those of devices reach the machine.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vnet::Config;

fuzz_target!(|text: &str| {
    let mut app = cli::App::new();
    nodes::register_nodes(&mut app.builder);
    lb::register(&mut app);
    let config = Config { inline: true, buffers: 256, ..Config::default() };
    let mut console = app.build(&config).expect("the graph is whole");
    for (_, line) in cli::script_lines(text) {
        // `exec` reads files of the machine, whatever their size; `ping` waits for answers.
        if ["exec", "ping"].iter().any(|word| line.trim_start().starts_with(word)) {
            continue;
        }
        let _ = console.complete(&line);
        if let Err(error) = console.exec(&line) {
            assert!(!error.is_empty(), "`{line}' was refused without a reason");
        }
        console.router().step();
    }
});
