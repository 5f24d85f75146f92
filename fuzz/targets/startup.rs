//! Start-up files: read, and written and read again.
#![no_main]

use cli::startup::Startup;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| match Startup::parse(text) {
    Ok(startup) => {
        let again = Startup::parse(&startup.to_string()).expect("what was written can be read");
        assert_eq!(again, Startup { warnings: Vec::new(), ..startup });
    }
    Err(error) => {
        assert!(error.line >= 1 && error.line <= text.lines().count().max(1), "{error}");
        assert!(!error.what.is_empty());
    }
});
