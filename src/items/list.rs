//! The source `list`: one item a line, from a file, from standard input or from a command's output.
//!
//! Reads a stream once, line by line, with bounded lines; never the whole list at once. A line that cannot be understood stops
//! the run before anything starts: half a list is worse than none.

use super::batch::{Batch, item_of_line};
use super::collected::{Collected, ITEMS_MAX, Warnings};
use super::digest;
use super::distinct::{TakenIds, twins};
use super::item::{ContentHash, Item, ItemId, Readiness};
use super::slug;
use crate::error::{Error, Result};
use crate::escape::{cut, quoted, shown};
use crate::suggest::nearest;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// The longest line, in bytes, without its end.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// The longest list, in bytes.
pub const LIST_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What may stand before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The fields of a JSON line.
const FIELDS: [&str; 5] = ["id", "title", "path", "number", "item"];

/// Reads the list file at `path`, which may be a pipe.
///
/// # Errors
///
/// There is no such file (exit 2); else as [`parse`].
pub fn read(path: &Path) -> Result<Collected> {
    let name = path.to_string_lossy();
    let file = File::open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            Error::usage(format!("there is no list {}", shown(&name)))
        } else {
            unreadable(&name, &error)
        }
    })?;
    // Nothing but a guess: a pipe has no length.
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    collect(BufReader::new(file), &name, bytes)
}

/// Reads a list; `source_name` is what messages call it, such as `urls.txt` or `standard input`.
///
/// One item a line. A line that begins with `{` is a JSON object with `id` (required), `title`, `path`, `number` and `item` (what
/// `{item}` stands for, else the id). Any other line is the item: its id is the line itself when that is a valid id, else a slug and
/// 8 hex digits of its SHA-256; its number is the line when that has only digits. Blank lines are skipped, a byte order mark and
/// carriage returns before line ends are stripped. A line that comes again is run once, with a warning.
///
/// # Errors
///
/// A line that is not understood, two different lines with the same id, a limit passed, or a failed read (exit 69), with the
/// lines named.
pub fn parse(reader: impl BufRead, source_name: &str) -> Result<Collected> {
    collect(reader, source_name, 0)
}

/// Reads a list of about so many bytes.
fn collect(reader: impl BufRead, source_name: &str, bytes: u64) -> Result<Collected> {
    let mut lines = Lines::new(reader, source_name);
    let mut distinct = Distinct::default();
    let bytes = bytes.min(LIST_BYTES_MAX);
    distinct.collected.items = Batch::for_text(usize::try_from(bytes).unwrap_or(0));
    while lines.advance()? {
        if lines.line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if distinct.collected.items.len() == ITEMS_MAX {
            return Err(lines.error(&format!("a list has at most {ITEMS_MAX} items")));
        }
        distinct.push(item(&lines)?, lines.number, source_name)?;
    }
    distinct.collected.warnings = distinct.warnings.into_vec();
    Ok(distinct.collected)
}

fn unreadable(source_name: &str, error: &io::Error) -> Error {
    Error::source(format!("cannot read {}: {error}", shown(source_name)))
}

/// A stream, cut into lines of bounded length.
struct Lines<'a, R> {
    reader: R,
    source_name: &'a str,
    line: Vec<u8>,
    /// The line's number, from 1; no list within [`LIST_BYTES_MAX`] has more.
    number: u32,
    bytes_left: u64,
}

impl<'a, R: BufRead> Lines<'a, R> {
    fn new(reader: R, source_name: &'a str) -> Self {
        Self {
            reader,
            source_name,
            line: Vec::new(),
            number: 0,
            bytes_left: LIST_BYTES_MAX,
        }
    }

    /// Takes the next line into `line`, without its end; `false` at the end of the stream.
    fn advance(&mut self) -> Result<bool> {
        self.line.clear();
        self.number += 1;
        let mut read_any = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(self.source_name, &error)),
            };
            if available.is_empty() {
                break;
            }
            read_any = true;
            let end = memchr::memchr(b'\n', available);
            let part = &available[..end.unwrap_or(available.len())];
            let taken = end.map_or(available.len(), |end| end + 1);
            // Two more bytes may be a carriage return and, on the first line, the mark's: they are stripped below.
            let fits = self.line.len() + part.len() <= LINE_BYTES_MAX + BYTE_ORDER_MARK.len() + 1;
            let left = self.bytes_left.checked_sub(taken as u64);
            if let (true, Some(left)) = (fits, left) {
                self.line.extend_from_slice(part);
                self.reader.consume(taken);
                self.bytes_left = left;
            } else if fits {
                return Err(self.error(&format!("a list has at most {LIST_BYTES_MAX} bytes")));
            } else {
                return Err(self.too_long());
            }
            if end.is_some() {
                break;
            }
        }
        self.strip();
        if self.line.len() > LINE_BYTES_MAX {
            return Err(self.too_long());
        }
        Ok(read_any)
    }

    fn strip(&mut self) {
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        if self.number == 1 && self.line.starts_with(BYTE_ORDER_MARK) {
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
    }

    fn too_long(&self) -> Error {
        self.error(&format!("a line has at most {LINE_BYTES_MAX} bytes"))
            .with_hint("put what is long into a file, and list its path")
    }
}

impl<R> Lines<'_, R> {
    fn error(&self, message: &str) -> Error {
        let source_name = shown(self.source_name);
        Error::source(format!("{source_name}: line {}: {message}", self.number))
    }

    fn text(&self) -> Result<&str> {
        let text = std::str::from_utf8(&self.line).map_err(|error| {
            let message = format!("not UTF-8 from byte {} on", error.valid_up_to() + 1);
            self.error(&message)
                .with_hint("convert the list to UTF-8 with iconv")
        })?;
        match text.find('\0') {
            Some(at) => Err(self
                .error(&format!("byte {} is a NUL", at + 1))
                .with_hint("separate the items by newlines, not by NULs")),
            None => Ok(text),
        }
    }
}

fn item<R>(lines: &Lines<'_, R>) -> Result<Item> {
    let text = lines.text()?;
    if text.trim_start().starts_with('{') {
        return json_item(lines, text);
    }
    Ok(item_of_line(slug::id_of(text, text), text))
}

fn json_item<R>(lines: &Lines<'_, R>, text: &str) -> Result<Item> {
    let refuse = |message: &str| {
        lines
            .error(message)
            .with_hint("a line that begins with { is a JSON object, such as {\"id\": \"a-1\"}")
    };
    let record: Record = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&place).unwrap_or(&message);
        refuse(&format!("column {}: {}", error.column(), cut(message)))
    })?;
    let fields = [&record.id, &record.title, &record.path, &record.item];
    for (field, value) in ["id", "title", "path", "item"].into_iter().zip(fields) {
        if value.as_deref().is_some_and(|value| value.contains('\0')) {
            return Err(refuse(&format!("\"{field}\" has a NUL in it")));
        }
    }
    let content_hash = record.content_hash();
    let id = record.id.ok_or_else(|| refuse("\"id\" is missing"))?;
    let id =
        ItemId::new(&id).map_err(|why| refuse(&format!("\"id\" is {}: {why}", quoted(&id))))?;
    Ok(Item {
        text: record.item.unwrap_or_else(|| id.to_string()),
        id,
        number: record.number,
        title: record.title.unwrap_or_default(),
        path: record.path.map(not_an_option),
        content_hash: ContentHash::Is(content_hash),
        readiness: Readiness::Ready(String::new()),
    })
}

/// A path that would begin with `-` is the same path with `./` before it.
fn not_an_option(path: String) -> String {
    if path.starts_with('-') {
        format!("./{path}")
    } else {
        path
    }
}

/// One JSON line. No field nests, so the depth of a hostile line is never followed.
#[derive(Debug, Default)]
struct Record {
    id: Option<String>,
    title: Option<String>,
    path: Option<String>,
    number: Option<u64>,
    item: Option<String>,
}

impl Record {
    /// Independent of the order of the fields and of white space.
    fn content_hash(&self) -> String {
        let fields = serde_json::json!([self.id, self.title, self.path, self.number, self.item]);
        digest::of_bytes(fields.to_string().as_bytes())
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(RecordVisitor)
    }
}

/// Written by hand because the derived one shows unknown names unescaped and suggests nothing.
struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Record, A::Error> {
        let mut record = Record::default();
        let mut seen: Vec<&str> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let field = FIELDS
                .into_iter()
                .find(|known| *known == name)
                .ok_or_else(|| A::Error::custom(unknown_field(&name)))?;
            if seen.contains(&field) {
                return Err(A::Error::custom(format!("\"{field}\" stands twice")));
            }
            seen.push(field);
            let named = |error: A::Error| A::Error::custom(format!("\"{field}\": {error}"));
            match field {
                "id" => record.id = map.next_value().map_err(named)?,
                "title" => record.title = map.next_value().map_err(named)?,
                "path" => record.path = map.next_value().map_err(named)?,
                "item" => record.item = map.next_value().map_err(named)?,
                _ => record.number = map.next_value().map_err(named)?,
            }
        }
        Ok(record)
    }
}

fn unknown_field(name: &str) -> String {
    let remedy = nearest(name, FIELDS).map_or_else(
        || format!("known are {}", FIELDS.join(", ")),
        |near| format!("did you mean {near}?"),
    );
    format!("unknown field {}; {remedy}", quoted(name))
}

/// The items of a list, each once.
#[derive(Default)]
struct Distinct {
    collected: Collected,
    warnings: Warnings,
    taken: TakenIds,
    /// The line of each item.
    lines: Vec<u32>,
}

impl Distinct {
    /// Adds the item of a line, unless it is equal to an earlier one.
    fn push(&mut self, item: Item, line: u32, source_name: &str) -> Result<()> {
        let items = &mut self.collected.items;
        let earlier = self.taken.take(items, item.id.as_str(), items.len());
        let Some(earlier) = earlier else {
            items.push(item);
            self.lines.push(line);
            return Ok(());
        };
        let (earlier, first) = (items.get(earlier), self.lines[earlier]);
        let (source_name, id) = (shown(source_name), &item.id);
        if *earlier == item {
            self.warnings.push(|| {
                format!("{source_name}: line {line} repeats line {first}; {id} runs once")
            });
            Ok(())
        } else if earlier.id == item.id {
            let message =
                format!("{source_name}: lines {first} and {line} differ and have the same id {id}");
            Err(Error::source(message).with_hint("give one of them another id"))
        } else {
            Err(twins(&earlier, &item))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    fn items(list: &str) -> Vec<Item> {
        parsed(list).items.into_vec()
    }

    fn parsed(list: &str) -> Collected {
        parse(list.as_bytes(), "list").unwrap()
    }

    fn refusal(list: impl AsRef<[u8]>) -> String {
        let error = parse(list.as_ref(), "list").unwrap_err();
        assert_eq!(error.status().code(), 69);
        error.to_string()
    }

    #[test]
    fn a_line_is_an_item() {
        let list = "\u{feff}cat\r\n\n  \t\nhttps://example.org/a?b\n042\nno end";
        let items = items(list);
        let texts: Vec<&str> = items.iter().map(|item| item.text.as_str()).collect();
        assert_eq!(texts, ["cat", "https://example.org/a?b", "042", "no end"]);
        assert_eq!(items[0].id.as_str(), "cat");
        assert_eq!(items[0].content_hash(), digest::of_bytes(b"cat"));
        let hash = &digest::of_bytes(b"https://example.org/a?b")[..8];
        assert_eq!(
            items[1].id.as_str(),
            format!("https-example.org-a-b-{hash}")
        );
        assert_eq!(items[2].number, Some(42));
        assert_eq!((&items[1].number, &items[1].path), (&None, &None));
        assert!(items[3].id.as_str().starts_with("no-end-"));
        let marked = self::items("a\n\u{feff}b");
        assert_eq!(marked[1].text, "\u{feff}b");
        for empty in ["", "\n\r\n", "\u{feff}"] {
            assert_eq!(parsed(empty), Collected::default());
        }
    }

    #[test]
    fn a_json_line_has_fields() {
        let list = r#"
            {"id": "a", "title": "T\u0007", "path": "-x/y", "number": 7, "item": "what"}
            {"id": "b", "title": null}"#;
        let items = items(list);
        let expected = Item {
            id: ItemId::new("a").unwrap(),
            number: Some(7),
            title: "T\u{7}".to_owned(),
            path: Some("./-x/y".to_owned()),
            text: "what".to_owned(),
            content_hash: items[0].content_hash.clone(),
            readiness: Readiness::Ready(String::new()),
        };
        assert_eq!(items[0], expected);
        assert_eq!(items[1].text, "b");
        let same =
            self::items(r#"{"item":"what","number":7,"path":"-x/y","title":"T\u0007","id":"a"}"#);
        assert_eq!(same[0], expected);
        let edited = self::items(r#"{"id": "a", "title": "other"}"#);
        assert_ne!(edited[0].content_hash(), expected.content_hash());
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        let deep = format!("{{\"id\": {}", "[".repeat(100_000));
        for (line, said) in [
            (r#"{"title": "x"}"#, "\"id\" is missing"),
            (r#"{"id": null}"#, "\"id\" is missing"),
            (
                r#"{"id": "../x"}"#,
                "\"id\" is \"../x\": an item id begins with a letter or digit",
            ),
            (
                r#"{"id": "a", "titel": 1}"#,
                "column 19: unknown field \"titel\"; did you mean title?",
            ),
            (
                "{\"id\": \"a\", \"\\u001b\u{202e}\": 1}",
                "unknown field \"\\x1b\\u{202e}\"; known are id, title, path, number, item",
            ),
            (
                r#"{"id": "a", "id": "b"}"#,
                "column 16: \"id\" stands twice",
            ),
            (
                r#"{"id": 5}"#,
                "column 8: \"id\": invalid type: integer `5`",
            ),
            (
                r#"{"id": "a", "number": 1e999}"#,
                "\"number\": number out of range",
            ),
            (
                r#"{"id": "a", "number": -1}"#,
                "\"number\": invalid value: integer `-1`",
            ),
            (r#"{"id": "a", "title": "\ud800"}"#, "\"title\": "),
            (
                r#"{"id": "a", "title": "a\u0000b"}"#,
                "\"title\" has a NUL in it",
            ),
            (
                &deep,
                "column 7: \"id\": invalid type: sequence, expected a string",
            ),
            (r#"{"id": "a"} x"#, "column 13: trailing characters"),
            ("{oops}", "column 2: key must be a string"),
            ("a\0b", "byte 2 is a NUL"),
        ] {
            let message = refusal(format!("ok\n\n{line}\nfine\n"));
            assert!(message.starts_with("list: line 3: "), "{message}");
            assert!(message.contains(said), "{message}");
            assert!(!message.contains(['\u{1b}', '\u{202e}']), "{message:?}");
        }
        let message = refusal(b"ok\nab\xff\n");
        assert_eq!(message, "list: line 2: not UTF-8 from byte 3 on");
        let long_value = format!("{{\"id\": \"a\", \"number\": \"{}\"}}", "x".repeat(100_000));
        assert!(refusal(long_value).len() < 2000);
    }

    #[test]
    fn repetitions_run_once_and_contradictions_do_not_run() {
        let collected = parsed("a\nb\n\na\na\n");
        assert_eq!(collected.items.len(), 2);
        assert_eq!(
            collected.warnings,
            [
                "list: line 4 repeats line 1; a runs once",
                "list: line 5 repeats line 1; a runs once"
            ]
        );
        let message = refusal("x\n{\"id\": \"a\"}\n{\"id\": \"a\", \"title\": \"T\"}\n");
        assert_eq!(message, "list: lines 2 and 3 differ and have the same id a");
        let many = parsed(&"a\n".repeat(10_000));
        assert_eq!(many.warnings.last().unwrap(), "and 9979 more such warnings");
    }

    #[test]
    fn a_line_has_a_longest_length() {
        let longest = "x".repeat(LINE_BYTES_MAX);
        for list in [longest.clone(), format!("\u{feff}{longest}\r\n")] {
            assert_eq!(items(&list)[0].text, longest);
        }
        assert_eq!(
            refusal(format!("a\n{longest}x\n")),
            "list: line 2: a line has at most 1048576 bytes"
        );
    }

    #[test]
    fn an_endless_line_and_an_endless_list_end() {
        let endless = BufReader::new(io::repeat(b'x'));
        let error = parse(endless, "list").unwrap_err();
        assert_eq!(
            error.to_string(),
            "list: line 1: a line has at most 1048576 bytes"
        );
        let mut lines = Lines::new(&b"1\n2\n3\n4\n"[..], "list");
        lines.bytes_left = 5;
        assert_eq!((lines.advance(), lines.advance()), (Ok(true), Ok(true)));
        let error = lines.advance().unwrap_err();
        assert!(
            error
                .to_string()
                .contains("a list has at most 268435456 bytes")
        );
    }

    #[test]
    fn a_list_file_that_is_not_there_is_wrong_usage() {
        let directory = tempfile::tempdir().unwrap();
        let error = read(&directory.path().join("none.txt")).unwrap_err();
        assert_eq!(error.status().code(), 2);
        assert_eq!(read(directory.path()).unwrap_err().status().code(), 69);
        std::fs::write(directory.path().join("list"), "a\nb\n").unwrap();
        let collected = read(&directory.path().join("list")).unwrap();
        assert_eq!(collected.items.len(), 2);
    }

    /// Gives the bytes in pieces of the given sizes, again and again.
    struct Pieces<'a> {
        bytes: &'a [u8],
        sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.sizes.next().unwrap_or(1).min(buffer.len());
            self.bytes.read(&mut buffer[..size])
        }
    }

    proptest! {
        #[test]
        fn the_size_of_the_reads_changes_nothing(
            list in prop_oneof![
                any::<Vec<u8>>(),
                "(\u{feff}|[a-c]|[ \r\n]|é|\\{\"id\": ?\"[a-c]\"\\}|\n){0,40}".prop_map(String::into_bytes),
            ],
            sizes in prop::collection::vec(1_usize..8, 1..6),
            capacity in 1_usize..16,
        ) {
            let pieces = Pieces { bytes: &list, sizes: sizes.into_iter().cycle() };
            let in_pieces = parse(BufReader::with_capacity(capacity, pieces), "list");
            prop_assert_eq!(in_pieces, parse(&list[..], "list"));
        }

        #[test]
        fn an_item_keeps_its_id_wherever_it_stands(lines in prop::collection::hash_set("[a-z ]{1,8}x", 1..6)) {
            let lines: Vec<String> = lines.into_iter().collect();
            let reversed: Vec<String> = lines.iter().rev().cloned().collect();
            let mut reversed = items(&reversed.join("\n"));
            reversed.reverse();
            prop_assert_eq!(items(&lines.join("\n")), reversed);
        }
    }
}
