//! The options: one struct that the command line, the environment and the file all fill.
//!
//! An option that was not given is `None`; [`Options::or`] lays one source over another, and `resolve.rs` puts the
//! defaults in. A new option is a field here; nothing else knows the list ([`Options::names`]).

use std::any::Any;
use std::fmt::Display;
use std::num::{IntErrorKind, NonZeroUsize, ParseIntError};
use std::path::PathBuf;
use std::str::FromStr;

use super::time_span::TimeSpan;
use crate::error::{Error, Result};
use crate::items::plan::{Only, Rerun};
use crate::surroundings::Surroundings;

/// How results are written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("it is `text` or `json`".to_owned()),
        }
    }
}

/// How the output of items is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// Line by line as it comes, each with its item in front.
    Prefix,
    /// That of an attempt in one block, when it has ended.
    Group,
    /// That of the last attempt in one block, of items that failed or timed out.
    Failures,
    /// Not at all.
    None,
}

impl FromStr for OutputMode {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "prefix" => Ok(Self::Prefix),
            "group" => Ok(Self::Group),
            "failures" => Ok(Self::Failures),
            "none" => Ok(Self::None),
            _ => Err("it is `prefix`, `group`, `failures` or `none`".to_owned()),
        }
    }
}

/// When something that suits a terminal is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err("it is `auto`, `always` or `never`".to_owned()),
        }
    }
}

/// What becomes of a run whose workflow another run holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfLocked {
    /// It fails.
    Fail,
    /// It ends well, and has done nothing.
    Skip,
    /// It waits until the other has ended.
    Wait,
}

impl FromStr for IfLocked {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "fail" => Ok(Self::Fail),
            "skip" => Ok(Self::Skip),
            "wait" => Ok(Self::Wait),
            _ => Err("it is `fail`, `skip` or `wait`".to_owned()),
        }
    }
}

/// An option that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "true" | "1" | "yes" | "on" => Ok(Self(true)),
            "false" | "0" | "no" | "off" => Ok(Self(false)),
            _ => Err("it is `true` or `false`".to_owned()),
        }
    }
}

/// Reads a value, and says of a number what it has to be.
fn parsed<T>(text: &str) -> std::result::Result<T, String>
where
    T: FromStr<Err: Display + 'static>,
{
    text.parse::<T>().map_err(|error| {
        let number = (&error as &dyn Any).downcast_ref::<ParseIntError>();
        match number.map(ParseIntError::kind) {
            None => error.to_string(),
            Some(IntErrorKind::Zero) => "it is 1 or more".to_owned(),
            Some(IntErrorKind::PosOverflow) => "it is too large".to_owned(),
            Some(_) => "it is a whole number, such as 4".to_owned(),
        }
    })
}

macro_rules! options {
    ($(
        $(#[doc = $help:literal])+
        #[arg($($arg:tt)*)]
        $field:ident: $type:ty,
    )+) => {
        /// Every option that has a name on the command line, in the environment and in the file.
        #[derive(clap::Args, Debug, Clone, Default, PartialEq, Eq)]
        pub struct Options {
            $(
                $(#[doc = $help])+
                #[arg(long, global = true, $($arg)*)]
                pub $field: Option<$type>,
            )+
        }

        impl Options {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),+];

            /// Sets the option with this long name from its text.
            ///
            /// # Errors
            ///
            /// What a value of this option looks like, when `text` is none.
            ///
            /// # Panics
            ///
            /// When there is no such option: ask [`Options::is_name`] first.
            pub fn set(&mut self, name: &str, text: &str) -> std::result::Result<(), String> {
                let field = name.replace('-', "_");
                match field.as_str() {
                    $(stringify!($field) => {
                        self.$field = Some(parsed::<$type>(text)?);
                        Ok(())
                    })+
                    _ => unreachable!("no option is named {name}"),
                }
            }

            /// These options, and those of `below` where these say nothing.
            #[must_use]
            pub fn or(self, mut below: Self) -> Self {
                // Two that say the same thing in two ways hide each other.
                if self.quiet.or(self.verbose).is_some() {
                    (below.quiet, below.verbose) = (None, None);
                }
                if self.fail_fast.is_some() || self.max_failures.is_some() {
                    (below.fail_fast, below.max_failures) = (None, None);
                }
                Self { $($field: self.$field.or(below.$field),)+ }
            }
        }
    };
}

options! {
    /// Run up to N items at once, each in a child process of its own; 0 is sequential
    #[arg(short = 'j', value_name = "N", value_parser = parsed::<usize>)]
    parallel: usize,
    /// List the items, what would happen to each, and how long that takes; run nothing, write nothing, read no key
    #[arg(short = 'n', num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    dry_run: Switch,
    /// Also run items that are done: `changed` (their content or the command changed since) or `all`
    #[arg(value_name = "WHICH")]
    rerun: Rerun,
    /// Only items whose last attempt `failed`, timed out or was interrupted
    #[arg(value_name = "WHICH")]
    only: Only,
    /// Run at most N items
    #[arg(value_name = "N", value_parser = parsed::<NonZeroUsize>)]
    limit: NonZeroUsize,
    /// Start nothing more after the first failed item
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    fail_fast: Switch,
    /// Start nothing more after the Nth failed item
    #[arg(value_name = "N", value_parser = parsed::<NonZeroUsize>)]
    max_failures: NonZeroUsize,
    /// Extra attempts for an item that failed, after a growing wait [default: 0]
    #[arg(value_name = "N", value_parser = parsed::<u32>)]
    retries: u32,
    /// A whole attempt may take this long: `90s`, `45m`, `2h`, `none` [default: 2h with --parallel, else none]
    #[arg(value_name = "DUR")]
    timeout: TimeSpan,
    /// An attempt that prints nothing for this long is stopped [default: none]
    #[arg(value_name = "DUR")]
    idle_timeout: TimeSpan,
    /// Start nothing more when this much time has passed, nor what would not end by then [default: none]
    #[arg(value_name = "DUR")]
    stop_after: TimeSpan,
    /// How long a stopped item has from the first signal to SIGKILL [default: 8s]
    #[arg(value_name = "DUR")]
    grace: TimeSpan,
    /// How long an item may wait for a credential [default: 15m]
    #[arg(value_name = "DUR")]
    credential_wait: TimeSpan,
    /// Another run holds this workflow: `fail`, `skip` (do nothing, exit 0) or `wait` until it ends [default: fail]
    #[arg(value_name = "WHAT")]
    if_locked: IfLocked,
    /// Write how the run went to FILE when it ends, for Prometheus (the textfile collector of `node_exporter`)
    #[arg(value_name = "FILE")]
    metrics: PathBuf,
    /// Write each item as a test case to FILE when the run ends, in the `JUnit` XML that CI systems read
    #[arg(value_name = "FILE")]
    junit: PathBuf,
    /// Keep the folders of the newest N runs, and remove older ones when a run begins [default: 20]
    #[arg(value_name = "N", value_parser = parsed::<NonZeroUsize>)]
    keep_runs: NonZeroUsize,
    /// Keep the state on a network file system too, where another machine may run the same items at the same time
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    allow_network_state: Switch,
    /// Let items that crash leave core files, with a key in each, as far as your own limit goes; else none does
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    allow_core: Switch,
    /// Show keys that nobody declared, though they look like those of known issuers; declared ones stay masked
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    no_shape_mask: Switch,
    /// Output of items: `prefix` (each line as it comes), `group` (in one block when an item ends), `failures` (blocks of
    /// failed items) or `none`; the logs have all of it [default: prefix]
    #[arg(value_name = "MODE")]
    output: OutputMode,
    /// `text`, or `json`: stdout carries only one JSON object per line [default: text]
    #[arg(value_name = "FMT")]
    format: Format,
    /// Colours: `auto`, `always` or `never` (`NO_COLOR` and `CLICOLOR_FORCE` are honoured) [default: auto]
    #[arg(value_name = "WHEN")]
    color: When,
    /// Lines that say how it stands: `auto` (below the output on a terminal, else one after each minute of silence),
    /// `always` (off a terminal one a minute) or `never` [default: auto]
    #[arg(value_name = "WHEN")]
    progress: When,
    /// Say nothing unless something fails, and show no item output but that of `--output failures`
    #[arg(short = 'q', num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    quiet: Switch,
    /// Say more: what is started, with which arguments and which credential
    #[arg(short = 'v', num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    verbose: Switch,
}

impl Options {
    /// The long names of all options.
    pub fn names() -> impl Iterator<Item = String> + Clone {
        Self::FIELDS.iter().map(|field| field.replace('_', "-"))
    }

    /// Whether `name` is the long name of an option.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        Self::names().any(|known| known == name)
    }

    /// The options that the environment gives: `ORCHESTRATE_PARALLEL` for `--parallel`. An empty variable is none.
    ///
    /// # Errors
    ///
    /// A usage error that names the variable whose value is no text, or none of its option.
    pub fn from_environment(surroundings: &Surroundings) -> Result<Self> {
        let mut options = Self::default();
        for name in Self::names() {
            let variable = format!("ORCHESTRATE_{}", name.replace('-', "_").to_uppercase());
            if let Some(value) = surroundings.own_variable(&variable)? {
                options.set(&name, &value).map_err(|why| {
                    Error::usage(format!("{variable}: {value:?} will not do: {why}"))
                })?;
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings {
            environment: variables
                .iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
            ..Surroundings::default()
        }
    }

    #[test]
    fn the_environment_has_a_twin_of_every_option() {
        let options = Options::from_environment(&environment(&[
            ("ORCHESTRATE_PARALLEL", "4"),
            ("ORCHESTRATE_DRY_RUN", "1"),
            ("ORCHESTRATE_CREDENTIAL_WAIT", "90s"),
            ("ORCHESTRATE_LIMIT", ""),
            ("ORCHESTRATE_ITEM_ID", "issue-1"),
        ]))
        .unwrap();
        assert_eq!(
            options,
            Options {
                parallel: Some(4),
                dry_run: Some(Switch(true)),
                credential_wait: Some(TimeSpan::from_secs(90)),
                ..Options::default()
            }
        );
    }

    #[test]
    fn a_bad_value_in_the_environment_names_the_variable() {
        for (variable, value) in [
            ("ORCHESTRATE_PARALLEL", "many"),
            ("ORCHESTRATE_LIMIT", "0"),
            ("ORCHESTRATE_FAIL_FAST", "perhaps"),
            ("ORCHESTRATE_GRACE", "8"),
            ("ORCHESTRATE_FORMAT", "xml"),
        ] {
            let error = Options::from_environment(&environment(&[(variable, value)])).unwrap_err();
            assert!(error.to_string().starts_with(variable), "{error}");
        }
    }

    #[test]
    fn a_value_in_the_environment_that_is_no_text_is_not_passed_over() {
        for variable in ["ORCHESTRATE_PARALLEL", "ORCHESTRATE_JUNIT"] {
            let mut surroundings = environment(&[]);
            let value = OsStr::from_bytes(b"4\xff").to_owned();
            surroundings.environment.insert(variable.into(), value);
            let error = Options::from_environment(&surroundings).unwrap_err();
            assert!(error.to_string().starts_with(variable), "{error}");
        }
    }

    #[test]
    fn the_upper_source_wins_and_the_lower_one_fills_the_gaps() {
        let upper = Options {
            parallel: Some(2),
            ..Options::default()
        };
        let lower = Options {
            parallel: Some(9),
            quiet: Some(Switch(true)),
            ..Options::default()
        };
        let both = upper.or(lower);
        assert_eq!((both.parallel, both.quiet), (Some(2), Some(Switch(true))));
    }

    #[test]
    fn options_that_say_the_same_in_two_ways_hide_each_other() {
        let upper = Options {
            quiet: Some(Switch(true)),
            fail_fast: Some(Switch(true)),
            ..Options::default()
        };
        let lower = Options {
            verbose: Some(Switch(true)),
            max_failures: NonZeroUsize::new(3),
            ..Options::default()
        };
        let both = upper.or(lower);
        assert_eq!((both.verbose, both.max_failures), (None, None));
    }
}
