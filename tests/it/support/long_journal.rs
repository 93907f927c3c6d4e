//! A journal that is long enough to be compacted, if most of it is superseded.

use std::fmt::Write as _;

/// A journal of so many items that have failed equally often: ten thousand times in all.
pub(crate) fn long_journal(items: u32) -> String {
    let mut text = String::new();
    let mut seal = |body: &str| {
        let sum = crc32fast::hash(body.as_bytes());
        let _infallible = writeln!(text, "{body},\"crc\":\"{sum:08x}\"}}");
        sum
    };
    let mut previous = seal("{\"format\":\"orchestrate-journal\",\"version\":2");
    for number in 0..10_000 {
        let sequence = number + 1;
        previous = seal(&format!(
            "{{\"seq\":{sequence},\"prev\":\"{previous:08x}\",\"item\":\"x{}\",\"outcome\":\"failed\",\
             \"attempt\":1,\"hash\":\"\",\"exit\":\"exit 1\",\"started\":\"2026-11-23T00:14:48Z\",\
             \"duration_ms\":1,\"run\":\"20261123T001448Z-4f2a\"",
            number % items
        ));
    }
    text
}
