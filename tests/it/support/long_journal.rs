//! A journal that is long enough to be compacted.

use std::fmt::Write as _;

/// A journal of ten items that have failed a thousand times each: the next run replaces it by one of ten records.
pub(crate) fn long_journal() -> String {
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
            number % 10
        ));
    }
    text
}
