//! Packetvisor's files.
#![no_main]

use lb::config::Service;
use lb::import::packetvisor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| match packetvisor::parse(text) {
    Ok(plan) => {
        assert!(!plan.vips.is_empty());
        for vip in &plan.vips {
            assert!(matches!(vip.key.service, Service::Port { port: 1.., .. }) && !vip.servers.is_empty());
            for server in &vip.servers {
                assert!(server.line >= vip.line && server.line <= text.lines().count(), "{server:?}");
                assert!(server.weight.is_none_or(|weight| weight <= 100) && server.port != Some(0));
            }
        }
    }
    // What is missing at the end is missing behind the last line's end.
    Err(error) => assert!(error.line <= text.lines().count() + 1 && !error.reason.is_empty(), "{error:?}"),
});
