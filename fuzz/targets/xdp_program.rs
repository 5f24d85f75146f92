//! XDP programs of operators: object files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nodes::af_xdp::read_program;

fuzz_target!(|data: &[u8]| {
    let Ok((words, _)) = read_program(data, 7) else { return };
    assert!(!words.is_empty() && words.len() <= data.len() / 8);
});
