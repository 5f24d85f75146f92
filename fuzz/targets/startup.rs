//! Start-up files.
#![no_main]

use cli::startup::Startup;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = Startup::parse(text) {
        assert!(error.line >= 1 && error.line <= text.lines().count().max(1), "{error}");
        assert!(!error.what.is_empty());
    }
});
