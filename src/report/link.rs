//! Links to files of ours, for terminals that open them on a click (OSC 8, the de-facto standard for hyperlinks in
//! terminals).
//!
//! Pure. Only paths that we have made ourselves become links: one in text from outside could show one place and lead to
//! another.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::surroundings::Surroundings;

/// The first version of VTE, the terminal of GNOME and others, that shows links, as it stands in `VTE_VERSION`.
const VTE_VERSION_MIN: u32 = 5000;

/// Other terminals that show them, as `TERM_PROGRAM` names them.
const PROGRAMS: &[&str] = &[
    "Hyper",
    "WezTerm",
    "ghostty",
    "iTerm.app",
    "rio",
    "terminology",
    "vscode",
    "zed",
];

/// Likewise, as `TERM` names them.
const TERMS: &[&str] = &[
    "alacritty",
    "contour",
    "foot",
    "xterm-ghostty",
    "xterm-kitty",
];

/// Likewise: those that set a variable of their own.
const VARIABLES: &[&str] = &["DOMTERM", "KONSOLE_VERSION", "WT_SESSION"];

/// Where links lead.
#[derive(Debug, Clone)]
pub struct Links {
    /// The name of this machine: the terminal may run on another one.
    pub host: String,
    /// To which paths are relative.
    pub directory: PathBuf,
}

impl Links {
    /// `path`, as a link to what lies there. A path that is shown escaped is none any more, and stays as it is.
    #[must_use]
    pub fn link(&self, path: &str) -> String {
        self.link_as(path, path)
    }

    /// `text` as a link to what lies at `path`; both are of ours.
    #[must_use]
    pub fn link_as(&self, text: &str, path: &str) -> String {
        if path.contains('\\') {
            return text.to_owned();
        }
        let mut url = format!("file://{}", encoded(self.host.as_bytes()));
        url.push_str(&encoded(self.directory.join(path).as_os_str().as_bytes()));
        format!("\x1b]8;;{url}\x1b\\{text}\x1b]8;;\x1b\\")
    }
}

/// Whether the terminal around us shows links; `FORCE_HYPERLINK` knows better than we do.
#[must_use]
pub fn are_supported(surroundings: &Surroundings) -> bool {
    let variable = |name| surroundings.variable(name);
    let is_one_of =
        |name, known: &[&str]| variable(name).is_some_and(|value| known.contains(&value.as_str()));
    if let Some(forced) = variable("FORCE_HYPERLINK") {
        return forced != "0";
    }
    let vte = variable("VTE_VERSION").and_then(|version| version.parse::<u32>().ok());
    !is_one_of("TERM", &["dumb"])
        && (vte.is_some_and(|version| version >= VTE_VERSION_MIN)
            || is_one_of("TERM_PROGRAM", PROGRAMS)
            || is_one_of("TERM", TERMS)
            || VARIABLES
                .iter()
                .any(|name| surroundings.value(name).is_some()))
}

/// Percent-encoded but for what RFC 3986 calls unreserved, and slashes.
fn encoded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _infallible = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_link_that_holds_nothing_but_harmless_characters() {
        let links = Links {
            host: "build;1\x1b".to_owned(),
            directory: PathBuf::from("/srv/my project\n"),
        };
        assert_eq!(
            links.link("a/é.log"),
            "\x1b]8;;file://build%3B1%1B/srv/my%20project%0A/a/%C3%A9.log\x1b\\a/é.log\x1b]8;;\x1b\\"
        );
        assert!(links.link("/tmp/x").contains("%1B/tmp/x\x1b"));
        assert_eq!(links.link(r"a\x1b.log"), r"a\x1b.log");
    }

    #[test]
    fn known_terminals_show_links_and_a_person_knows_better() {
        for (variables, expected) in [
            (&[][..], false),
            (&[("TERM", "xterm-256color")], false),
            (&[("TERM", "xterm-kitty")], true),
            (&[("VTE_VERSION", "6800")], true),
            (&[("VTE_VERSION", "4205")], false),
            (&[("TERM_PROGRAM", "vscode")], true),
            (&[("WT_SESSION", "1")], true),
            (&[("TERM", "dumb"), ("WT_SESSION", "1")], false),
            (&[("TERM", "dumb"), ("FORCE_HYPERLINK", "1")], true),
            (&[("TERM", "xterm-kitty"), ("FORCE_HYPERLINK", "0")], false),
        ] {
            let pairs = variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()));
            let surroundings = Surroundings {
                environment: pairs.collect(),
                ..Surroundings::default()
            };
            assert_eq!(are_supported(&surroundings), expected, "{variables:?}");
        }
    }
}
