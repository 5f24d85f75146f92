//! Lists of destinations.
#![no_main]

use std::collections::HashSet;

use lb::import::csv;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| match csv::parse(text) {
    Ok(servers) => {
        let addresses: HashSet<_> = servers.iter().map(|server| server.address).collect();
        assert!(!servers.is_empty() && addresses.len() == servers.len());
        // What was read can be written and read again.
        let line = |server: &lb::import::PlannedServer| match server.mac {
            Some(mac) => format!("{}, {mac}\n", server.address),
            None => format!("{}\n", server.address),
        };
        let again = csv::parse(&servers.iter().map(line).collect::<String>()).expect("what was written can be read");
        let what = |servers: &[lb::import::PlannedServer]| -> Vec<_> {
            servers.iter().map(|server| (server.address, server.mac)).collect()
        };
        assert_eq!(what(&servers), what(&again));
    }
    Err(error) => assert!(error.line <= text.lines().count() && !error.reason.is_empty(), "{error:?}"),
});
