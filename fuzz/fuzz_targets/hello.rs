//! Whatever a client sends first: no bytes panic, and what was said of a prefix holds for the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tapline::hello;

fuzz_target!(|bytes: &[u8]| {
    let whole = hello::read(bytes);
    // Several cuts, not each: a long input would take quadratic time.
    for end in [1, 5, 6, 9, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        if let Some(prefix) = bytes.get(..end)
            && let Some(verdict) = hello::read(prefix)
        {
            assert_eq!(Some(verdict), whole, "after {end} bytes");
        }
    }
});
