//! Whatever a proxy in front sends first: no bytes panic, what was said of a prefix holds for the whole, and what was read
//! can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tapline::proxy_header::{self, Announcement, Version};

fuzz_target!(|bytes: &[u8]| {
    let whole = proxy_header::read(bytes);
    // Several cuts, not each: a long input would take quadratic time.
    for end in [1, 6, 12, 13, 16, 28, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        if let Some(prefix) = bytes.get(..end)
            && let Some(verdict) = proxy_header::read(prefix)
        {
            assert_eq!(Some(verdict), whole, "after {end} bytes");
        }
    }
    let Some(Ok(header)) = whole else { return };
    assert!(header.size <= bytes.len());
    // Others are written as LOCAL, which carries nothing.
    if header.ends.as_ref().is_some_and(|ends| ends.source.socket_addr().is_some()) {
        // A checksum is added: a header that is as long as can be has no room for it.
        let announcement = Announcement { ends: header.ends, tlvs: header.tlvs };
        if let Ok(written) = proxy_header::write(Version::V2, &announcement) {
            let again = proxy_header::read(&written).expect("it is whole").expect("it is well-formed");
            assert_eq!((again.size, again.ends, again.tlvs), (written.len(), announcement.ends, announcement.tlvs));
        }
    }
});
