//! One line of the journal: what is recorded about an attempt, and the bytes that it becomes.
//!
//! Pure. `journal.rs` writes these lines and `history.rs` reads them; `run` makes the [`Record`]s.
//!
//! # The form, version 2
//!
//! Every line is one JSON object without white space between its tokens, and ends with a seal of fixed length:
//!
//! ```text
//! {"format":"orchestrate-journal","version":2,"crc":"97801d93"}
//! {"seq":1,"prev":"97801d93","item":"issue-42","outcome":"started","attempt":1,"hash":"9f86…", … ,"crc":"560ceef2"}
//! {"seq":2,"prev":"560ceef2","item":"issue-42","outcome":"done","attempt":1,"hash":"9f86…", … ,"crc":"1a5a985a"}
//! └───────────────────────────── body ───────────────────────────────────────────────────┘└────── seal ───────┘
//! ```
//!
//! - The *seal* is `,"crc":"`, eight lower-case hexadecimal digits, `"}`. The digits are the CRC-32 (IEEE 802.3,
//!   as in gzip, RFC 1952) of the *body*: all bytes of the line before the seal. Verifying needs no JSON and no
//!   writing again: it looks at the bytes as they lie on the disk.
//! - The first line is the header; its form is the same in all versions, so that each can name the other.
//! - A record's body begins with `seq prev item outcome attempt hash`, in this order. `seq` counts from 1; `prev`
//!   is the checksum of the line before, the header included: a line that was removed, repeated, moved or taken
//!   from another place breaks the chain.
//! - `outcome` is how an attempt ended, or `started` when it begins, or `withdrawn` when it did not begin after all.
//!   An item whose last record is `started` was cut off: whoever would have recorded its end was killed.
//! - The other members have no order. A later release may add members after `hash`; readers ignore those that they
//!   do not know. A new outcome, or a change to what is said here, needs a new version.
//!
//! Version 1 had no `started` and no `withdrawn`, and is read as it is. Before anything is appended to it, it is
//! copied into a journal of version 2: an older `orchestrate` would otherwise find a header of its own version, take
//! the first new word for damage, and offer to cut it off. So it names the two versions and touches nothing.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::run_id::RunId;
use crate::items::item::ItemId;
use crate::output::mask::HoldsText;

/// The format's name in the header.
pub const FORMAT: &str = "orchestrate-journal";
/// The version that we write.
pub const VERSION: u64 = 2;
/// The oldest version that we read.
pub const VERSION_OLDEST: u64 = 1;
/// The greatest length of a record's line, its newline included.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

const SEAL_START: &[u8] = b",\"crc\":\"";
const SEAL_END: &[u8] = b"\"}";
const CHECKSUM_DIGITS: usize = 8;
const SEAL_BYTES: usize = SEAL_START.len() + CHECKSUM_DIGITS + SEAL_END.len();

/// How an attempt ended, as far as the next run has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The item is done.
    Done,
    /// The attempt failed.
    Failed,
    /// The attempt was stopped because it took too long or was silent for too long.
    TimedOut,
    /// We stopped the attempt because the run was stopped.
    Interrupted,
    /// The attempt met a rate limit, a rejected credential or an overloaded provider; the item was put back.
    Deferred,
}

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Done,
        Self::Failed,
        Self::TimedOut,
        Self::Interrupted,
        Self::Deferred,
    ];

    /// The word that stands in the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Interrupted => "interrupted",
            Self::Deferred => "deferred",
        }
    }

    fn parse(word: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str().as_bytes() == word)
    }
}

/// What a record says of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It begins.
    Started,
    /// It was about to begin, and did not.
    Withdrawn,
    /// It ended like this.
    Ended(Outcome),
}

impl Mark {
    const STARTED: &str = "started";
    const WITHDRAWN: &str = "withdrawn";

    /// The word that stands in the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => Self::STARTED,
            Self::Withdrawn => Self::WITHDRAWN,
            Self::Ended(outcome) => outcome.as_str(),
        }
    }

    fn parse(word: &[u8]) -> Option<Self> {
        if word == Self::STARTED.as_bytes() {
            Some(Self::Started)
        } else if word == Self::WITHDRAWN.as_bytes() {
            Some(Self::Withdrawn)
        } else {
            Outcome::parse(word).map(Self::Ended)
        }
    }
}

/// What happened to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It begins.
    Started,
    /// It was about to begin, and did not.
    Withdrawn,
    /// It ended.
    Ended(End),
}

impl Step {
    /// The step without its details.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        match self {
            Self::Started => Mark::Started,
            Self::Withdrawn => Mark::Withdrawn,
            Self::Ended(end) => Mark::Ended(end.outcome),
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// What became of it.
    pub outcome: Outcome,
    /// How the process ended, for people: `exit 1`, `SIGKILL`.
    pub exit: String,
    /// The exit code, when there was one.
    pub code: Option<i32>,
    /// How long the attempt took, in milliseconds.
    pub duration_ms: u64,
}

/// What is recorded about one attempt, when it begins and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The item.
    pub item: ItemId,
    /// What happened.
    pub step: Step,
    /// Which attempt it was, counted from 1.
    pub attempt: u32,
    /// The item's content when the attempt began.
    pub content_hash: String,
    /// When the attempt began.
    pub started: Timestamp,
    /// The label of the credential that it had; never a value.
    pub credential: Option<String>,
    /// The run.
    pub run: RunId,
    /// Its raw output, relative to `.orchestrate/`.
    pub log: Option<String>,
}

impl HoldsText for Record {
    fn mask_texts(&mut self, mask: &dyn Fn(&mut String)) {
        let Self {
            item: _,
            step,
            attempt: _,
            content_hash: _,
            started: _,
            credential: _,
            run: _,
            log: _,
        } = self;
        match step {
            Step::Ended(end) => mask(&mut end.exit),
            Step::Started | Step::Withdrawn => {}
        }
    }
}

/// Why a line is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Defect {
    /// The line has no seal, or its checksum is not that of its bytes.
    Checksum,
    /// The checksum is right, but the line is no record that this version knows.
    Form,
    /// The line is whole but does not follow the one before it.
    Chain,
    /// The line is longer than [`RECORD_BYTES_MAX`], or what follows the last good line is longer than one write.
    TooLong,
    /// The header is that of another version.
    Version(u64),
}

impl fmt::Display for Defect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum => formatter.write_str("its checksum is not that of its bytes"),
            Self::Form => formatter
                .write_str("its checksum is right, but it has no form that this version knows"),
            Self::Chain => formatter.write_str(
                "it does not follow the line before it: a record was removed, repeated or moved",
            ),
            Self::TooLong => {
                formatter.write_str("it is longer than anything that orchestrate writes")
            }
            Self::Version(found) => {
                write!(
                    formatter,
                    "it is of version {found}, and this orchestrate reads versions {VERSION_OLDEST} to {VERSION}"
                )
            }
        }
    }
}

/// The position of a line in the chain: its number and its checksum. The header's number is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// `seq`.
    pub sequence: u64,
    /// The line's own checksum, the next line's `prev`.
    pub checksum: u32,
}

/// The header's line, its newline included, and its place in the chain.
#[must_use]
pub fn header_line() -> (Vec<u8>, Position) {
    header_line_of(VERSION)
}

/// Whether `bytes` may be the beginning of a header that an `orchestrate` of any known version has written.
#[must_use]
pub fn may_begin_header(bytes: &[u8]) -> bool {
    (VERSION_OLDEST..=VERSION).any(|version| header_line_of(version).0.starts_with(bytes))
}

fn header_line_of(version: u64) -> (Vec<u8>, Position) {
    let mut line = Vec::new();
    let body = format!(r#"{{"format":"{FORMAT}","version":{version}"#);
    line.extend_from_slice(body.as_bytes());
    let checksum = seal(&mut line, 0);
    (
        line,
        Position {
            sequence: 0,
            checksum,
        },
    )
}

/// Accepts the header's line, without its newline, and says its version.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_header(line: &[u8]) -> Result<(Position, u64), Defect> {
    #[derive(Deserialize)]
    struct Header<'a> {
        #[serde(borrow)]
        format: Cow<'a, str>,
        version: u64,
    }
    let (_, checksum) = unseal(line).ok_or(Defect::Checksum)?;
    let header: Header<'_> = serde_json::from_slice(line).map_err(|_| Defect::Form)?;
    if header.format != FORMAT {
        return Err(Defect::Form);
    }
    if !(VERSION_OLDEST..=VERSION).contains(&header.version) {
        return Err(Defect::Version(header.version));
    }
    let position = Position {
        sequence: 0,
        checksum,
    };
    Ok((position, header.version))
}

/// What a line's order of members is made by.
#[derive(Serialize)]
struct Written<'a> {
    seq: u64,
    prev: Cow<'a, str>,
    item: &'a str,
    outcome: &'static str,
    attempt: u32,
    hash: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    run: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a str>,
}

/// Appends the line of `record`, its newline included, to `buffer`; says its place, which is after `previous`.
///
/// # Errors
///
/// [`Defect::TooLong`]; `buffer` is then as it was.
#[expect(
    clippy::missing_panics_doc,
    reason = "every member of a record has a form in JSON"
)]
pub fn write_line(
    buffer: &mut Vec<u8>,
    previous: Position,
    record: &Record,
) -> Result<Position, Defect> {
    let start = buffer.len();
    let sequence = previous.sequence + 1;
    let end = match &record.step {
        Step::Started | Step::Withdrawn => None,
        Step::Ended(end) => Some(end),
    };
    let written = Written {
        seq: sequence,
        prev: format!("{:08x}", previous.checksum).into(),
        item: record.item.as_str(),
        outcome: record.step.mark().as_str(),
        attempt: record.attempt,
        hash: &record.content_hash,
        exit: end.map(|end| end.exit.as_str()),
        code: end.and_then(|end| end.code),
        started: record.started,
        duration_ms: end.map(|end| end.duration_ms),
        credential: record.credential.as_deref(),
        run: record.run.as_str(),
        log: record.log.as_deref(),
    };
    serde_json::to_writer(&mut *buffer, &written)
        .expect("a record has no member that JSON cannot hold");
    let closing = buffer.pop();
    debug_assert_eq!(closing, Some(b'}'), "a record is an object");
    seal_record(buffer, start, sequence)
}

/// Appends `record`, a sealed line as it stands in some journal, as it is after `previous`.
///
/// Only its place changes: what it says, members that we do not know included, is copied byte by byte.
///
/// # Errors
///
/// [`Defect::TooLong`]; `buffer` is then as it was.
pub fn write_line_again(
    buffer: &mut Vec<u8>,
    previous: Position,
    record: &Sealed<'_>,
) -> Result<Position, Defect> {
    let start = buffer.len();
    let sequence = previous.sequence + 1;
    let before = previous.checksum;
    write!(
        buffer,
        r#"{{"seq":{sequence},"prev":"{before:0CHECKSUM_DIGITS$x}""#
    )
    .expect("a Vec takes everything");
    buffer.extend_from_slice(record.members);
    seal_record(buffer, start, sequence)
}

fn seal_record(buffer: &mut Vec<u8>, start: usize, sequence: u64) -> Result<Position, Defect> {
    let checksum = seal(buffer, start);
    if buffer.len() - start > RECORD_BYTES_MAX {
        buffer.truncate(start);
        return Err(Defect::TooLong);
    }
    Ok(Position { sequence, checksum })
}

/// Seals the body that begins at `start`, and ends the line.
fn seal(line: &mut Vec<u8>, start: usize) -> u32 {
    let checksum = crc32fast::hash(&line[start..]);
    line.extend_from_slice(SEAL_START);
    write!(line, "{checksum:0CHECKSUM_DIGITS$x}").expect("a Vec takes everything");
    line.extend_from_slice(SEAL_END);
    line.push(b'\n');
    checksum
}

/// The body of a line (without its newline) and its checksum, if the seal is right.
#[must_use]
pub fn unseal(line: &[u8]) -> Option<(&[u8], u32)> {
    let (body, seal) = line.split_at_checked(line.len().checked_sub(SEAL_BYTES)?)?;
    let digits = seal.strip_prefix(SEAL_START)?.strip_suffix(SEAL_END)?;
    let checksum = parse_checksum(digits)?;
    (crc32fast::hash(body) == checksum).then_some((body, checksum))
}

/// Eight digits, lower case only: an `A` that was an `a` is a flipped bit.
fn parse_checksum(digits: &[u8]) -> Option<u32> {
    if digits.len() != CHECKSUM_DIGITS {
        return None;
    }
    // Without a branch for each digit: there are two checksums in each of a million lines.
    let (value, all) = digits.iter().fold((0, 0), |(value, all), &digit| {
        let digit = HEX_DIGITS[usize::from(digit)];
        (value << 4 | u32::from(digit), all | digit)
    });
    (all < 16).then_some(value)
}

/// What each byte is worth as a hexadecimal digit in lower case; 255 for what is none.
const HEX_DIGITS: [u8; 256] = {
    let mut worth = [u8::MAX; 256];
    let mut digit = 0;
    while digit < 16 {
        worth[b"0123456789abcdef"[digit as usize] as usize] = digit;
        digit += 1;
    }
    worth
};

/// What the next run needs of a record: the members with a fixed place, borrowed from the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head<'a> {
    /// The item's id, as it stands there.
    pub item: &'a str,
    /// What it says of the attempt.
    pub mark: Mark,
    /// Which attempt it was.
    pub attempt: u32,
    /// The item's content when the attempt began.
    pub content_hash: Cow<'a, str>,
}

/// A record's line that is whole, wherever it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// What the next run needs of it.
    pub head: Head<'a>,
    /// Its place.
    pub position: Position,
    /// The checksum of the line that stood before it.
    pub before: u32,
    /// Its body after `prev`.
    members: &'a [u8],
}

/// Accepts a record's line (without its newline), whatever it follows, and reads its head only.
///
/// A million records are read at every start, so this looks at the fixed places and leaves the rest alone: the
/// checksum says that the bytes are those that were written.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_sealed(line: &[u8]) -> Result<Sealed<'_>, Defect> {
    let (body, checksum) = unseal(line).ok_or(Defect::Checksum)?;
    let mut rest = Members(body);
    let sequence = rest.number(b"{\"seq\":").ok_or(Defect::Form)?;
    let before = rest
        .plain(b",\"prev\":\"")
        .and_then(parse_checksum)
        .ok_or(Defect::Form)?;
    let members = rest.0;
    let head = read_members(&mut rest).ok_or(Defect::Form)?;
    Ok(Sealed {
        head,
        position: Position { sequence, checksum },
        before,
        members,
    })
}

/// Accepts the line (without its newline) that follows `previous`, and reads its head only.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_head(line: &[u8], previous: Position) -> Result<(Head<'_>, Position), Defect> {
    let sealed = read_sealed(line)?;
    let position = sealed.position;
    if previous.sequence.checked_add(1) != Some(position.sequence)
        || sealed.before != previous.checksum
    {
        return Err(Defect::Chain);
    }
    Ok((sealed.head, position))
}

fn read_members<'a>(rest: &mut Members<'a>) -> Option<Head<'a>> {
    Some(Head {
        item: str::from_utf8(rest.plain(b",\"item\":\"")?).ok()?,
        mark: Mark::parse(rest.plain(b",\"outcome\":\"")?)?,
        attempt: u32::try_from(rest.number(b",\"attempt\":")?).ok()?,
        content_hash: rest.text(b",\"hash\":")?,
    })
}

/// What is left of a body, read from the front.
struct Members<'a>(&'a [u8]);

impl<'a> Members<'a> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, name: &[u8]) -> Option<u64> {
        self.skip(name)?;
        let mut digits = self.0.iter().take_while(|byte| byte.is_ascii_digit());
        let first = u64::from(digits.next()? - b'0');
        let (length, number) = digits.try_fold((1, first), |(length, number), digit| {
            let number = number
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))?;
            Some((length + 1, number))
        })?;
        self.take(length)?;
        Some(number)
    }

    /// A string that never needs an escape; the name includes the opening quote.
    fn plain(&mut self, name: &[u8]) -> Option<&'a [u8]> {
        self.skip(name)?;
        let text = self.take(memchr::memchr(b'"', self.0)?)?;
        self.skip(b"\"")?;
        (!text.contains(&b'\\')).then_some(text)
    }

    /// Any string.
    fn text(&mut self, name: &[u8]) -> Option<Cow<'a, str>> {
        self.skip(name)?;
        self.0.first().filter(|&&byte| byte == b'"')?;
        let mut end = 1;
        let mut escaped = false;
        loop {
            end += memchr::memchr2(b'"', b'\\', self.0.get(end..)?)?;
            if self.0[end] == b'"' {
                break;
            }
            escaped = true;
            end += 2;
        }
        end += 1;
        let quoted = self.take(end)?;
        if escaped {
            return serde_json::from_slice(quoted).ok().map(Cow::Owned);
        }
        str::from_utf8(&quoted[1..end - 1]).ok().map(Cow::Borrowed)
    }
}

/// Reads a whole record from a line without its newline, its place in the chain included.
///
/// Members that are not known are ignored.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_line(line: &[u8], previous: Position) -> Result<(Record, Position), Defect> {
    #[derive(Deserialize)]
    struct Rest<'a> {
        #[serde(borrow, default)]
        exit: Option<Cow<'a, str>>,
        #[serde(default)]
        code: Option<i32>,
        started: Timestamp,
        #[serde(default)]
        duration_ms: Option<u64>,
        #[serde(default)]
        credential: Option<String>,
        #[serde(borrow)]
        run: Cow<'a, str>,
        #[serde(default)]
        log: Option<String>,
    }
    let (head, position) = read_head(line, previous)?;
    let rest: Rest<'_> = serde_json::from_slice(line).map_err(|_| Defect::Form)?;
    let step = match head.mark {
        Mark::Started => Step::Started,
        Mark::Withdrawn => Step::Withdrawn,
        Mark::Ended(outcome) => Step::Ended(End {
            outcome,
            exit: rest.exit.ok_or(Defect::Form)?.into_owned(),
            code: rest.code,
            duration_ms: rest.duration_ms.ok_or(Defect::Form)?,
        }),
    };
    let record = Record {
        item: ItemId::new(head.item).map_err(|_| Defect::Form)?,
        step,
        attempt: head.attempt,
        content_hash: head.content_hash.into_owned(),
        started: rest.started,
        credential: rest.credential,
        run: RunId::parse(&rest.run).map_err(|_| Defect::Form)?,
        log: rest.log,
    };
    Ok((record, position))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record whose members are all there, and tell items and attempts apart.
    pub(crate) fn sample(item: &str, outcome: Outcome, attempt: u32) -> Record {
        Record {
            item: ItemId::new(item).unwrap(),
            step: Step::Ended(End {
                outcome,
                exit: "exit 1".to_owned(),
                code: Some(1),
                duration_ms: 61_500,
            }),
            attempt,
            content_hash: format!("{:064x}", crc32fast::hash(item.as_bytes())),
            started: "2026-11-23T00:14:48.25Z".parse().unwrap(),
            credential: Some("team-a".to_owned()),
            run: RunId::parse("20261123T001448Z-4f2a").unwrap(),
            log: Some(format!(
                "runs/20261123T001448Z-4f2a/logs/{item}.{attempt}.log"
            )),
        }
    }

    /// The record of the beginning of the attempt of [`sample`].
    pub(crate) fn sample_start(item: &str, attempt: u32) -> Record {
        Record {
            step: Step::Started,
            ..sample(item, Outcome::Done, attempt)
        }
    }

    /// A record with another exit.
    pub(crate) fn exiting(record: Record, exit: &str, code: Option<i32>) -> Record {
        let Step::Ended(end) = record.step.clone() else {
            return record;
        };
        let exit = exit.to_owned();
        Record {
            step: Step::Ended(End { exit, code, ..end }),
            ..record
        }
    }

    const START: Position = Position {
        sequence: 41,
        checksum: 0x00c0_ffee,
    };

    fn line_of(record: &Record) -> Vec<u8> {
        let mut line = Vec::new();
        write_line(&mut line, START, record).unwrap();
        assert_eq!(line.pop(), Some(b'\n'));
        line
    }

    /// Any body with the seal that belongs to it.
    fn sealed(body: &str) -> Vec<u8> {
        let mut line = body.as_bytes().to_vec();
        seal(&mut line, 0);
        line.pop();
        line
    }

    #[test]
    fn a_line_is_json_and_its_checksum_covers_everything_before_it() {
        let line = line_of(&sample("issue-42", Outcome::TimedOut, 2));
        let text = str::from_utf8(&line).unwrap();
        let (body, seal) = text.split_once(",\"crc\":").unwrap();
        assert_eq!(
            seal,
            format!("\"{:08x}\"}}", crc32fast::hash(body.as_bytes()))
        );
        assert!(text.starts_with(
            r#"{"seq":42,"prev":"00c0ffee","item":"issue-42","outcome":"timed-out","attempt":2,"hash":"0000"#
        ));
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(value["started"], "2026-11-23T00:14:48.25Z");
    }

    #[test]
    fn the_checksum_is_the_crc_32_of_the_ieee() {
        // The check value of the CRC catalogue for CRC-32/ISO-HDLC.
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn the_words_of_the_outcomes_are_those_of_serde() {
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
            assert_eq!(Outcome::parse(outcome.as_str().as_bytes()), Some(outcome));
        }
    }

    #[test]
    fn a_beginning_has_no_end() {
        let line = line_of(&sample_start("issue-42", 2));
        let text = str::from_utf8(&line).unwrap();
        assert!(text.contains(r#""item":"issue-42","outcome":"started","attempt":2,"#));
        for member in ["exit", "code", "duration_ms"] {
            assert!(!text.contains(&format!("\"{member}\":")), "{text}");
        }
        let withdrawn = Record {
            step: Step::Withdrawn,
            ..sample_start("issue-42", 2)
        };
        assert_eq!(read_line(&line_of(&withdrawn), START).unwrap().0, withdrawn);
    }

    #[test]
    fn a_line_written_again_says_the_same_in_another_place() {
        let line = line_of(&sample("a", Outcome::Done, 1));
        let (body, _) = unseal(&line).unwrap();
        let unknown = sealed(&format!(r#"{},"cost":[1]"#, str::from_utf8(body).unwrap()));
        let place = Position {
            sequence: 0,
            checksum: 7,
        };
        let mut again = b"before".to_vec();
        let position =
            write_line_again(&mut again, place, &read_sealed(&unknown).unwrap()).unwrap();
        let again = again[6..].strip_suffix(b"\n").unwrap();
        assert!(str::from_utf8(again).unwrap().contains(r#","cost":[1],"#));
        let (record, found) = read_line(again, place).unwrap();
        assert_eq!(record, sample("a", Outcome::Done, 1));
        assert_eq!((found, found.sequence), (position, 1));
    }

    #[test]
    fn members_of_a_later_release_are_ignored() {
        let line = line_of(&sample("a", Outcome::Done, 1));
        let (body, _) = unseal(&line).unwrap();
        let longer = format!(
            r#"{},"cost":{{"usd":[1.5,null]}},"x":"\"}}""#,
            str::from_utf8(body).unwrap()
        );
        let (record, _) = read_line(&sealed(&longer), START).unwrap();
        assert_eq!(record, sample("a", Outcome::Done, 1));
    }

    #[test]
    fn a_line_in_the_wrong_place_is_refused() {
        let line = line_of(&sample("a", Outcome::Done, 1));
        for wrong in [
            Position {
                sequence: 40,
                ..START
            },
            Position {
                sequence: 42,
                ..START
            },
            Position {
                sequence: u64::MAX,
                ..START
            },
            Position {
                checksum: 0,
                ..START
            },
        ] {
            assert_eq!(read_head(&line, wrong).unwrap_err(), Defect::Chain);
        }
    }

    #[test]
    fn a_sealed_line_of_another_form_is_refused() {
        for body in [
            "",
            "{",
            r#"{"seq":42"#,
            r#"{"seq":42,"prev":"00c0ffee""#,
            r#"{"seq":18446744073709551658,"prev":"00c0ffee","item":"a","outcome":"done","attempt":1,"hash":"""#,
            r#"{"seq":,"prev":"00c0ffee","item":"a","outcome":"done","attempt":1,"hash":"""#,
            r#"{"seq": 42,"prev":"00c0ffee","item":"a","outcome":"done","attempt":1,"hash":"""#,
            r#"{"seq":42,"prev":"00C0FFEE","item":"a","outcome":"done","attempt":1,"hash":"""#,
            r#"{"seq":42,"prev":"00c0ffee","item":"a","outcome":"cancelled","attempt":1,"hash":"""#,
            r#"{"seq":42,"prev":"00c0ffee","item":"a","outcome":"done","attempt":-1,"hash":"""#,
            r#"{"seq":42,"prev":"00c0ffee","item":"a","outcome":"done","attempt":4294967296,"hash":"""#,
            r#"{"seq":42,"prev":"00c0ffee","item":"a","outcome":"done","attempt":1,"hash":"\""#,
            r#"{"seq":42,"prev":"00c0ffee","item":"a","outcome":"done","attempt":1,"hash":""#,
            r#"{"seq":42,"prev":"00c0ffee","item":"a","outcome":"done","attempt":1,"hash":"\u12""#,
            r#"{"seq":42,"prev":"00c0ffee","item":"a","outcome":"done","attempt":1,"hash":17"#,
        ] {
            assert_eq!(
                read_head(&sealed(body), START).unwrap_err(),
                Defect::Form,
                "{body}"
            );
        }
    }

    #[test]
    fn a_record_that_is_too_long_is_not_written() {
        let mut record = sample("a", Outcome::Done, 1);
        record.credential = Some("x".repeat(RECORD_BYTES_MAX));
        let mut buffer = b"before".to_vec();
        assert_eq!(
            write_line(&mut buffer, START, &record),
            Err(Defect::TooLong)
        );
        assert_eq!(buffer, b"before");
    }

    #[test]
    fn a_header_of_another_version_names_both() {
        let (line, position) = header_line();
        let read = read_header(line.strip_suffix(b"\n").unwrap());
        assert_eq!(read, Ok((position, 2)));
        let first = sealed(r#"{"format":"orchestrate-journal","version":1"#);
        assert_eq!(read_header(&first).unwrap().1, 1);
        for other in [0, 3] {
            let body = format!(r#"{{"format":"orchestrate-journal","version":{other},"more":[]"#);
            let defect = read_header(&sealed(&body)).unwrap_err();
            assert_eq!(
                defect.to_string(),
                format!("it is of version {other}, and this orchestrate reads versions 1 to 2")
            );
        }
        assert_eq!(
            read_header(&sealed(r#"{"format":"other","version":1"#)),
            Err(Defect::Form)
        );
        assert_eq!(read_header(&sealed(r#"{"version":1"#)), Err(Defect::Form));
        assert_eq!(read_header(b"{}"), Err(Defect::Checksum));
    }

    fn any_mark() -> Vec<Mark> {
        let ends = Outcome::ALL.into_iter().map(Mark::Ended);
        ends.chain([Mark::Started, Mark::Withdrawn]).collect()
    }

    prop_compose! {
        fn any_record()(
            item in "[A-Za-z0-9][A-Za-z0-9_-]{0,79}",
            mark in proptest::sample::select(any_mark()),
            attempt: u32,
            texts in proptest::array::uniform4("\\PC{0,20}|[\\\\\"\n\u{0}\u{202e}]{0,5}"),
            code: Option<i32>,
            seconds in -62_135_596_800_i64..253_402_207_200,
            duration_ms: u64,
            present: [bool; 2],
        ) -> Record {
            let [content_hash, exit, credential, log] = texts;
            let step = match mark {
                Mark::Started => Step::Started,
                Mark::Withdrawn => Step::Withdrawn,
                Mark::Ended(outcome) => Step::Ended(End { outcome, exit, code, duration_ms }),
            };
            Record {
                item: ItemId::new(item).unwrap(),
                step, attempt, content_hash,
                started: Timestamp::from_second(seconds).unwrap(),
                credential: present[0].then_some(credential),
                run: RunId::parse("20261123T001448Z-4f2a").unwrap(),
                log: present[1].then_some(log),
            }
        }
    }

    proptest! {
        #[test]
        fn every_record_comes_back_as_it_was(record in any_record(), sequence in 0..u64::MAX, checksum: u32) {
            let previous = Position { sequence, checksum };
            let mut line = Vec::new();
            let position = write_line(&mut line, previous, &record).unwrap();
            prop_assert_eq!(memchr::memchr_iter(b'\n', &line).count(), 1);
            line.pop();
            let (head, place) = read_head(&line, previous).unwrap();
            prop_assert_eq!(head.item, record.item.as_str());
            prop_assert_eq!(head.mark, record.step.mark());
            prop_assert_eq!(&head.content_hash, &record.content_hash);
            prop_assert_eq!(place, position);
            prop_assert_eq!(read_line(&line, previous), Ok((record, position)));
        }

        #[test]
        fn no_flipped_byte_is_accepted(record in any_record(), at: proptest::sample::Index, flip in 1..=255_u8) {
            let mut line = line_of(&record);
            let at = at.index(line.len());
            line[at] ^= flip;
            prop_assert_eq!(unseal(&line), None);
        }

        #[test]
        fn any_bytes_are_read_without_panic(body: Vec<u8>) {
            let mut line = body;
            let _ = read_head(&line, START);
            seal(&mut line, 0);
            line.pop();
            let _ = read_head(&line, START);
            let mut after_head = br#"{"seq":42,"prev":"00c0ffee","item":"#.to_vec();
            after_head.extend_from_slice(&line);
            seal(&mut after_head, 0);
            after_head.pop();
            let _ = read_head(&after_head, START);
        }
    }
}
