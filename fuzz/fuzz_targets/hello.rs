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
    // What a client says about itself does not depend on how its bytes are cut; it is told once.
    let told = |size: usize| {
        let mut recogniser = hello::Recogniser::default();
        let mut told: Vec<_> = bytes.chunks(size).filter_map(|part| recogniser.take(part)).collect();
        told.extend(recogniser.end());
        told
    };
    let at_once = told(bytes.len().max(1));
    assert_eq!(at_once.len(), usize::from(!bytes.is_empty()));
    assert_eq!(told(bytes.len() / 3 + 1), at_once);
});
