//! What a failure below HTTP means: a name that is not known, a connection that is cut, a certificate that nobody
//! trusts.
//!
//! `client.rs` calls [`weigh`] for every request that brought no whole answer. Pure.

use std::io;

use super::Limits;
use super::reply::Refusal;

const NETWORK: &str =
    "is the network up, and the host's name right? A proxy is taken from HTTPS_PROXY";

/// Whether `error` may pass by itself, and what to say when it does not.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "both enums are other crates', open, and long; what is not named is told as it is"
)]
pub(super) fn weigh(
    error: &ureq::Error,
    limits: &Limits,
    outside: &dyn Fn(&str) -> String,
) -> (bool, Refusal) {
    let text = outside(&error.to_string());
    let passing = |what: String| (true, Refusal::new(what).with_hint(NETWORK));
    let lasting = |what: String, hint: &str| (false, Refusal::new(what).with_hint(hint));
    match error {
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::TimedOut => passing(no_answer(limits)),
            io::ErrorKind::UnexpectedEof => {
                passing("the answer was cut off before its end".to_owned())
            }
            // rustls hands its own errors on in this kind.
            io::ErrorKind::InvalidData => no_trust(&outside(&error.to_string())),
            _ => passing(outside(&error.to_string())),
        },
        ureq::Error::Timeout(_) => passing(no_answer(limits)),
        ureq::Error::HostNotFound => passing("the host's name is not known".to_owned()),
        ureq::Error::ConnectionFailed => passing(text),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => no_trust(&text),
        ureq::Error::BodyExceedsLimit(_) => lasting(
            format!("the answer is larger than {} bytes", limits.body_bytes),
            "this is no list of 100 issues: is GITHUB_API_URL the API's address?",
        ),
        ureq::Error::ConnectProxyFailed(_) => lasting(
            format!("the proxy refused: {text}"),
            "check HTTPS_PROXY and NO_PROXY",
        ),
        _ => lasting(
            format!("the answer is no HTTP that we understand: {text}"),
            "is the host GitHub's API?",
        ),
    }
}

fn no_answer(limits: &Limits) -> String {
    let seconds = limits.request_time.as_secs();
    format!("no whole answer within {seconds} s")
}

fn no_trust(text: &str) -> (bool, Refusal) {
    let refusal = Refusal::new(format!("no trusted TLS connection: {text}"));
    let hint = "is the host right, and its certificate known to this system?";
    (false, refusal.with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::github::shown;

    #[test]
    fn what_may_pass_is_told_from_what_lasts() {
        let io = |kind: io::ErrorKind, text: &str| {
            ureq::Error::Io(io::Error::new(kind, text.to_owned()))
        };
        let lookup = "failed to lookup address information: Temporary failure in name resolution";
        for (error, is_passing, what) in [
            (io(io::ErrorKind::Other, lookup), true, lookup),
            (
                ureq::Error::HostNotFound,
                true,
                "the host's name is not known",
            ),
            (
                io(io::ErrorKind::NetworkUnreachable, "no \u{1b}[2J way"),
                true,
                "no \\x1b[2J way",
            ),
            (io(io::ErrorKind::ConnectionReset, "reset"), true, "reset"),
            (
                io(io::ErrorKind::TimedOut, "x"),
                true,
                "no whole answer within 30 s",
            ),
            (
                ureq::Error::Timeout(ureq::Timeout::Global),
                true,
                "no whole answer within 30 s",
            ),
            (
                io(io::ErrorKind::UnexpectedEof, "x"),
                true,
                "the answer was cut off before its end",
            ),
            (ureq::Error::ConnectionFailed, true, "connection failed"),
            (
                io(io::ErrorKind::InvalidData, "invalid peer certificate"),
                false,
                "no trusted TLS connection: invalid peer certificate",
            ),
            (ureq::Error::Tls("x"), false, "no trusted TLS connection: x"),
            (
                ureq::Error::BodyExceedsLimit(7),
                false,
                "the answer is larger than 50000000 bytes",
            ),
            (
                ureq::Error::ConnectProxyFailed("407".to_owned()),
                false,
                "the proxy refused: CONNECT proxy failed: 407",
            ),
            (
                ureq::Error::LargeResponseHeader(2, 1),
                false,
                "the answer is no HTTP that we understand: response header is too big: 2 > 1",
            ),
        ] {
            let (passes, refusal) = weigh(&error, &Limits::default(), &shown);
            assert_eq!((passes, refusal.what.as_str()), (is_passing, what));
            assert!(refusal.hint.is_some(), "{what}");
        }
    }
}
