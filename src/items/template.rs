//! The placeholders of a workflow's command, paths and variables, and the only way in which an item gets into an argument.
//!
//! Pure: text in, text out. A command is a list of arguments, never a shell string; one argument stays one argument whatever an
//! item's title holds. The configuration parses templates once, so that a mistyped placeholder is an error before anything
//! starts; the run renders them for each attempt. Keys have no placeholder, on purpose: arguments are public (`ps`).

use super::item::Item;
use crate::error::Error;
use crate::escape::{quoted, shown};
use crate::suggest::nearest;
use std::borrow::Cow;
use std::fmt;

/// The size at which Linux refuses one argument, in bytes, the final NUL counted: `MAX_ARG_STRLEN`, execve(2).
pub const ARGUMENT_BYTES_MAX: usize = 128 * 1024;

/// What all arguments may take together, in bytes, with their NULs and pointers: a quarter of the usual 8 MiB stack limit, execve(2).
///
/// The environment shares this room; whoever builds it counts it.
pub const COMMAND_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The widest zero-padding of `{number:0N}`: the digits of the largest 64-bit number.
const NUMBER_WIDTH_MAX: usize = 20;

/// The names of all placeholders, as they are typed.
const NAMES: [&str; 9] = [
    "id", "number", "title", "path", "item", "attempt", "slot", "output", "state",
];

/// What can be asked for in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placeholder {
    /// `{id}`
    Id,
    /// `{number}`, or `{number:03}` with a width in digits; 0 when none is given.
    Number {
        /// The least number of digits, zero-padded.
        width: usize,
    },
    /// `{title}`
    Title,
    /// `{path}`, relative to the workspace root.
    Path,
    /// `{item}`: the item as its source wrote it.
    Item,
    /// `{attempt}`, from 1.
    Attempt,
    /// `{slot}`: the worker slot, from 1.
    Slot,
    /// `{output}`: where the item's result goes.
    Output,
    /// `{state}`: the state directory.
    State,
}

impl Placeholder {
    /// The name as it is typed between the braces, without a width.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Number { .. } => "number",
            Self::Title => "title",
            Self::Path => "path",
            Self::Item => "item",
            Self::Attempt => "attempt",
            Self::Slot => "slot",
            Self::Output => "output",
            Self::State => "state",
        }
    }
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// No placeholder has this name.
    Unknown(String),
    /// A key was asked for.
    Key(String),
    /// The width or format after the colon cannot be used.
    Format(String),
    /// A `{` without its `}`.
    Unclosed,
    /// A `}` without its `{`.
    Unopened,
}

impl TemplateError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown(name) => match nearest(name, NAMES) {
                Some(near) => {
                    format!("did you mean {{{near}}}? For a literal brace write {{{{ or }}}}")
                }
                None => format!(
                    "known are {{{}}}; for a literal brace write {{{{ or }}}}",
                    NAMES.join("} {")
                ),
            },
            Self::Key(_) => {
                "the child gets its key in the environment, under the name that `inject` gives"
                    .into()
            }
            Self::Format(_) => {
                "only {number} takes a format: {number:03} is zero-padded to three digits".into()
            }
            Self::Unclosed => "for a literal brace write {{".into(),
            Self::Unopened => "for a literal brace write }}".into(),
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(formatter, "unknown placeholder {{{}}}", shown(name)),
            Self::Key(name) => write!(
                formatter,
                "there is no placeholder {{{name}}}: keys never go on a command line"
            ),
            Self::Format(text) => {
                write!(formatter, "{{{}}} has an unusable format", shown(text))
            }
            Self::Unclosed => formatter.write_str("a { without a }"),
            Self::Unopened => formatter.write_str("a } without a {"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl From<TemplateError> for Error {
    fn from(error: TemplateError) -> Self {
        Self::usage(error.to_string()).with_hint(error.hint())
    }
}

/// Why a template cannot be filled in for an item; the text stands alone and says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenderError {
    /// The item, or its workflow, has nothing for this placeholder.
    Missing(Placeholder),
    /// There is no program to run.
    NoProgram,
    /// A NUL stands in the argument made of this template.
    Nul(String),
    /// The argument made of this template takes so many bytes, its NUL counted.
    TooLong {
        /// The template.
        template: String,
        /// The size of the argument.
        bytes: usize,
    },
    /// All arguments together take more than [`COMMAND_BYTES_MAX`].
    TooMuch,
    /// The argument made of this template would begin with a `-` that comes from the item.
    Option(String),
    /// The path made of this template would leave the directory that the template names.
    Escape(String),
}

impl fmt::Display for RenderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(placeholder) => missing(*placeholder, formatter),
            Self::NoProgram => formatter.write_str("the command names no program"),
            Self::Nul(template) => write!(
                formatter,
                "the argument {} has a NUL in it, which no argument can carry",
                quoted(template)
            ),
            Self::TooLong { template, bytes } => write!(
                formatter,
                "the argument {} takes {bytes} bytes, and the system takes at most \
                 {ARGUMENT_BYTES_MAX}; hand it over in a file",
                quoted(template)
            ),
            Self::TooMuch => write!(
                formatter,
                "the arguments take more than {COMMAND_BYTES_MAX} bytes together; hand them over \
                 in a file"
            ),
            Self::Option(template) => write!(
                formatter,
                "the argument {} would begin with a `-` from the item and be taken for an option; \
                 write it behind its option, like --name={}, or put \"--\" before it",
                quoted(template),
                shown(template)
            ),
            Self::Escape(template) => write!(
                formatter,
                "the path {} would lead out of its directory; build it from {{id}}",
                quoted(template)
            ),
        }
    }
}

fn missing(placeholder: Placeholder, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = placeholder.name();
    if matches!(placeholder, Placeholder::Output) {
        write!(
            formatter,
            "{{{name}}} is used, but the workflow has no `output`"
        )
    } else {
        write!(
            formatter,
            "{{{name}}} is used, but the item has no {name}; {{id}} and {{item}} are always there"
        )
    }
}

impl std::error::Error for RenderError {}

/// What the placeholders stand for, for one attempt at one item.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The item.
    pub item: &'a Item,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The worker slot, from 1.
    pub slot: u32,
    /// Where the item's result goes, when the workflow says so.
    pub output: Option<&'a str>,
    /// The state directory.
    pub state: &'a str,
}

impl<'a> Values<'a> {
    fn get(&self, placeholder: Placeholder) -> Result<Cow<'a, str>, RenderError> {
        let missing = RenderError::Missing(placeholder);
        Ok(match placeholder {
            Placeholder::Id => self.item.id.as_str().into(),
            Placeholder::Number { width } => {
                let number = self.item.number.ok_or(missing)?;
                format!("{number:0width$}").into()
            }
            Placeholder::Title => self.item.title.as_str().into(),
            Placeholder::Path => self.item.path.as_deref().ok_or(missing)?.into(),
            Placeholder::Item => self.item.text.as_str().into(),
            Placeholder::Attempt => self.attempt.to_string().into(),
            Placeholder::Slot => self.slot.to_string().into(),
            Placeholder::Output => self.output.ok_or(missing)?.into(),
            Placeholder::State => self.state.into(),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder(Placeholder),
}

/// One argument, path or value with placeholders in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

/// A literal text, or a value and what it is of.
pub(super) type Piece<'a> = (Option<Placeholder>, Cow<'a, str>);

/// A rendered template, and whether its first character comes from the item.
struct Rendered {
    text: String,
    begins_substituted: bool,
}

impl Template {
    /// Reads `source`; `{{` and `}}` are literal braces.
    ///
    /// # Errors
    ///
    /// The first placeholder or brace that cannot be understood.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if after.starts_with(brace) {
                literal.push_str(brace);
                rest = &after[1..];
                continue;
            }
            if brace == "}" {
                return Err(TemplateError::Unopened);
            }
            let end = after.find('}').ok_or(TemplateError::Unclosed)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Placeholder(placeholder(&after[..end])?));
            rest = &after[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self {
            source: source.to_owned(),
            parts,
        })
    }

    /// The template as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The placeholders, in their order.
    pub fn placeholders(&self) -> impl Iterator<Item = Placeholder> + '_ {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Placeholder(placeholder) => Some(*placeholder),
        })
    }

    /// Its literal texts and its values, in their order, and what each value is of.
    ///
    /// # Errors
    ///
    /// As [`Template::render`].
    pub(super) fn pieces<'a>(&'a self, values: &Values<'a>) -> Result<Vec<Piece<'a>>, RenderError> {
        let piece = |part: &'a Part| {
            Ok(match part {
                Part::Literal(literal) => (None, Cow::Borrowed(literal.as_str())),
                Part::Placeholder(it) => (Some(*it), values.get(*it)?),
            })
        };
        self.parts.iter().map(piece).collect()
    }

    /// Whether it has any placeholder at all.
    #[must_use]
    pub fn has_placeholder(&self) -> bool {
        self.placeholders().next().is_some()
    }

    /// The text for one attempt, every value as it is.
    ///
    /// # Errors
    ///
    /// A placeholder for which the item has no value.
    pub fn render(&self, values: &Values<'_>) -> Result<String, RenderError> {
        Ok(self.fill(values, |_, value| value)?.text)
    }

    /// A glob in which the item's values are literal: a `*` in a title matches only a `*`.
    ///
    /// # Errors
    ///
    /// As [`Template::render`].
    pub fn render_glob(&self, values: &Values<'_>) -> Result<String, RenderError> {
        let escape = |_, value: Cow<'_, str>| Cow::Owned(glob::Pattern::escape(&value));
        Ok(self.fill(values, escape)?.text)
    }

    /// A path that stays below the directory that the template itself names.
    ///
    /// # Errors
    ///
    /// As [`Template::render`]; or a value that brings in a `..`, or makes a relative path absolute.
    pub fn render_path(&self, values: &Values<'_>) -> Result<String, RenderError> {
        let path = self.render(values)?;
        // The same path of an item that holds nothing hostile.
        let tame = self.fill(values, |placeholder, value| match placeholder {
            Placeholder::State
            | Placeholder::Attempt
            | Placeholder::Slot
            | Placeholder::Number { .. } => value,
            Placeholder::Id
            | Placeholder::Title
            | Placeholder::Path
            | Placeholder::Item
            | Placeholder::Output => "x".into(),
        })?;
        let climbs = |text: &str| text.split('/').filter(|part| *part == "..").count();
        if climbs(&path) > climbs(&tame.text) || path.starts_with('/') != tame.text.starts_with('/')
        {
            return Err(RenderError::Escape(self.source.clone()));
        }
        Ok(path)
    }

    fn fill<'a>(
        &self,
        values: &Values<'a>,
        change: impl Fn(Placeholder, Cow<'a, str>) -> Cow<'a, str>,
    ) -> Result<Rendered, RenderError> {
        let mut rendered = Rendered {
            text: String::new(),
            begins_substituted: false,
        };
        for part in &self.parts {
            match part {
                Part::Literal(literal) => rendered.text.push_str(literal),
                Part::Placeholder(placeholder) => {
                    let value = change(*placeholder, values.get(*placeholder)?);
                    // A value behind empty values is still the argument's beginning.
                    rendered.begins_substituted |= rendered.text.is_empty() && !value.is_empty();
                    rendered.text.push_str(&value);
                }
            }
        }
        Ok(rendered)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)
    }
}

fn placeholder(inside: &str) -> Result<Placeholder, TemplateError> {
    let (name, format) = match inside.split_once(':') {
        Some((name, format)) => (name, Some(format)),
        None => (inside, None),
    };
    let found = match name {
        "id" => Placeholder::Id,
        "number" => Placeholder::Number { width: 0 },
        "title" => Placeholder::Title,
        "path" => Placeholder::Path,
        "item" => Placeholder::Item,
        "attempt" => Placeholder::Attempt,
        "slot" => Placeholder::Slot,
        "output" => Placeholder::Output,
        "state" => Placeholder::State,
        "key" | "credential" => return Err(TemplateError::Key(name.to_owned())),
        _ => return Err(TemplateError::Unknown(inside.to_owned())),
    };
    let Some(format) = format else {
        return Ok(found);
    };
    let width = format
        .strip_prefix('0')
        .and_then(|digits| digits.parse::<usize>().ok())
        .filter(|width| (1..=NUMBER_WIDTH_MAX).contains(width));
    match (found, width) {
        (Placeholder::Number { .. }, Some(width)) => Ok(Placeholder::Number { width }),
        _ => Err(TemplateError::Format(inside.to_owned())),
    }
}

/// The arguments of one attempt, program first.
///
/// Beyond rendering, refuses what the system would refuse or misread: a NUL, an argument or a command that is too long, and
/// a value at the very start of an argument that begins with `-`, unless an earlier argument is `--` (POSIX Utility Syntax
/// Guideline 10): a hostile title must not become an option.
///
/// # Errors
///
/// The first argument that cannot be made.
pub fn render_command(
    templates: &[Template],
    values: &Values<'_>,
) -> Result<Vec<String>, RenderError> {
    let mut arguments: Vec<String> = Vec::with_capacity(templates.len());
    let mut options_ended = false;
    let mut bytes_total = size_of::<usize>();
    for template in templates {
        let argument = template.fill(values, |_, value| value)?;
        if argument.text.contains('\0') {
            return Err(RenderError::Nul(template.source.clone()));
        }
        let bytes = argument.text.len() + 1;
        if bytes > ARGUMENT_BYTES_MAX {
            let template = template.source.clone();
            return Err(RenderError::TooLong { template, bytes });
        }
        bytes_total += bytes + size_of::<usize>();
        if bytes_total > COMMAND_BYTES_MAX {
            return Err(RenderError::TooMuch);
        }
        if argument.begins_substituted && argument.text.starts_with('-') && !options_ended {
            return Err(RenderError::Option(template.source.clone()));
        }
        options_ended |= argument.text == "--";
        arguments.push(argument.text);
    }
    if arguments.first().is_none_or(String::is_empty) {
        return Err(RenderError::NoProgram);
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::item::ContentHash;
    use crate::items::item::{ItemId, Readiness};
    use proptest::prelude::*;

    fn item(title: &str) -> Item {
        Item {
            id: ItemId::new("LLD-042").unwrap(),
            number: Some(42),
            title: title.to_owned(),
            path: Some("docs/LLD-042.md".to_owned()),
            text: "the text".to_owned(),
            content_hash: ContentHash::OfText,
            readiness: Readiness::Ready(String::new()),
        }
    }

    fn values(item: &Item) -> Values<'_> {
        Values {
            item,
            attempt: 2,
            slot: 3,
            output: Some("out/LLD-042.png"),
            state: "/work/.orchestrate",
        }
    }

    fn command(arguments: &[&str], title: &str) -> Result<Vec<String>, RenderError> {
        let templates: Vec<Template> = arguments
            .iter()
            .map(|argument| Template::parse(argument).unwrap())
            .collect();
        render_command(&templates, &values(&item(title)))
    }

    #[test]
    fn every_placeholder_is_filled_in() {
        let item = item("A title; $(x)");
        for (source, expected) in [
            ("{id}", "LLD-042"),
            ("{number}", "42"),
            ("{number:03}", "042"),
            ("{number:01}", "42"),
            ("--title={title}", "--title=A title; $(x)"),
            ("{path}", "docs/LLD-042.md"),
            ("{item}", "the text"),
            ("{attempt}/{slot}", "2/3"),
            ("{output}", "out/LLD-042.png"),
            ("{state}/x", "/work/.orchestrate/x"),
            ("{{{id}}}", "{LLD-042}"),
            ("{{id}}", "{id}"),
            ("", ""),
        ] {
            let template = Template::parse(source).unwrap();
            assert_eq!(template.render(&values(&item)).unwrap(), expected);
            assert_eq!(template.source(), source);
        }
    }

    #[test]
    fn what_is_no_template_is_refused_with_a_remedy() {
        for (source, message, hint) in [
            (
                "{nubmer}",
                "unknown placeholder {nubmer}",
                "did you mean {number}? For a literal brace write {{ or }}",
            ),
            (
                "{\"a\": 1}",
                "unknown placeholder {\"a\": 1}",
                "known are {id} {number} {title} {path} {item} {attempt} {slot} {output} {state}; \
                 for a literal brace write {{ or }}",
            ),
            (
                "--key={key}",
                "there is no placeholder {key}: keys never go on a command line",
                "the child gets its key in the environment, under the name that `inject` gives",
            ),
            (
                "{credential}",
                "there is no placeholder {credential}: keys never go on a command line",
                "the child gets its key in the environment, under the name that `inject` gives",
            ),
            (
                "{id:03}",
                "{id:03} has an unusable format",
                "only {number} takes a format: {number:03} is zero-padded to three digits",
            ),
            ("{id", "a { without a }", "for a literal brace write {{"),
            ("id}", "a } without a {", "for a literal brace write }}"),
        ] {
            let error = Error::from(Template::parse(source).unwrap_err());
            assert_eq!(error.to_string(), message, "{source}");
            assert_eq!(error.hint(), Some(hint), "{source}");
        }
        for source in ["{number:3}", "{number:00}", "{number:021}", "{number:}"] {
            let error = Template::parse(source).unwrap_err();
            assert!(matches!(error, TemplateError::Format(_)), "{source}");
        }
    }

    #[test]
    fn a_value_that_is_not_there_is_named() {
        let mut bare = item("");
        bare.number = None;
        bare.path = None;
        let mut values = values(&bare);
        values.output = None;
        for (source, said) in [
            ("{number}", "the item has no number"),
            ("{path}", "the item has no path"),
            ("{output}", "the workflow has no `output`"),
        ] {
            let error = Template::parse(source)
                .unwrap()
                .render(&values)
                .unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn a_hostile_title_is_one_literal_argument() {
        for title in [
            "; rm -rf ~",
            "$(x)",
            "a b\n\"c\"",
            "{id}",
            "\u{1b}[31m",
            "--x",
        ] {
            let arguments = command(&["tool", "--title={title}"], title).unwrap();
            assert_eq!(arguments, ["tool".to_owned(), format!("--title={title}")]);
        }
    }

    #[test]
    fn a_value_never_becomes_an_option() {
        let error = RenderError::Option("{title}".to_owned());
        for (arguments, title) in [
            (&["tool", "{title}"][..], "--flag"),
            (&["tool", "{title}", "--"], "-x"),
            (&["tool", "{title}"], "--"),
            (&["tool", "--x", "{title}"], "-x"),
        ] {
            assert_eq!(command(arguments, title), Err(error.clone()));
        }
        assert!(command(&["tool", "--", "{title}"], "--flag").is_ok());
        assert!(command(&["tool", "-t{title}"], "-x").is_ok());
        assert!(command(&["tool", "--x", "{title}"], "x-").is_ok());
        let said = error.to_string();
        assert!(said.contains("--name={title}") && said.contains("\"--\""));
    }

    #[test]
    fn an_empty_value_before_it_does_not_hide_an_option() {
        let mut item = item("");
        item.text = "-rf".to_owned();
        let template = [
            Template::parse("tool").unwrap(),
            Template::parse("{title}{item}").unwrap(),
        ];
        assert!(matches!(
            render_command(&template, &values(&item)),
            Err(RenderError::Option(_))
        ));
    }

    #[test]
    fn what_the_system_would_refuse_is_refused_before() {
        assert!(matches!(
            command(&["tool", "{title}"], "a\0b"),
            Err(RenderError::Nul(_))
        ));
        let longest = "x".repeat(ARGUMENT_BYTES_MAX - 1);
        assert!(command(&["tool", "{title}"], &longest).is_ok());
        assert_eq!(
            command(&["tool", "{title}"], &format!("{longest}x")),
            Err(RenderError::TooLong {
                template: "{title}".to_owned(),
                bytes: ARGUMENT_BYTES_MAX + 1
            })
        );
        let many = ["{title}"; 17];
        assert_eq!(command(&many, &longest), Err(RenderError::TooMuch));
        assert_eq!(command(&[], ""), Err(RenderError::NoProgram));
        assert_eq!(command(&["{title}"], ""), Err(RenderError::NoProgram));
    }

    #[test]
    fn a_value_cannot_widen_a_glob() {
        let item = item("a*[b]?{c}");
        let glob = Template::parse("out/*-{title}.png").unwrap();
        let rendered = glob.render_glob(&values(&item)).unwrap();
        let pattern = glob::Pattern::new(&rendered).unwrap();
        assert!(pattern.matches("out/x-a*[b]?{c}.png"));
        assert!(!pattern.matches("out/x-aZ[b]Z{c}.png"));
    }

    #[test]
    fn a_value_cannot_lead_a_path_out_of_its_directory() {
        for (source, title, inside) in [
            ("out/{title}.png", "a/b", true),
            ("out/{title}.png", "../../etc/x", false),
            ("out/{title}/x", "..", false),
            ("out/.{title}/x", ".", false),
            ("../out/{title}", "a", true),
            ("../out/{title}", "..", false),
            ("{title}.png", "/etc/x", false),
            ("/srv/{title}", "a", true),
            ("{state}/x/{title}", "a", true),
            ("{state}/x/{title}", "../a", false),
        ] {
            let item = item(title);
            let path = Template::parse(source).unwrap().render_path(&values(&item));
            assert_eq!(path.is_ok(), inside, "{source} {title}");
        }
    }

    proptest! {
        #[test]
        fn parsing_and_rendering_never_panic(source in any::<String>(), title in any::<String>()) {
            let item = item(&title);
            if let Ok(template) = Template::parse(&source) {
                let _ = template.render(&values(&item));
                let _ = template.render_glob(&values(&item));
                let _ = template.render_path(&values(&item));
                let _ = render_command(&[template], &values(&item));
            }
        }

        #[test]
        fn braces_and_names_never_panic(source in "[{}:a-e0-9idnumber]{0,24}") {
            let _ = Template::parse(&source);
        }

        #[test]
        fn literal_text_comes_back(text in any::<String>()) {
            let escaped = text.replace('{', "{{").replace('}', "}}");
            let template = Template::parse(&escaped).unwrap();
            prop_assert!(!template.has_placeholder());
            prop_assert_eq!(template.render(&values(&item("t"))).unwrap(), text);
        }

        #[test]
        fn a_title_stands_in_its_argument_unchanged(
            before in "[a-z{}= ]{1,6}", title in any::<String>(), after in "[a-z{}]{0,6}",
        ) {
            let escape = |text: &str| text.replace('{', "{{").replace('}', "}}");
            let source = format!("{}{{title}}{}", escape(&before), escape(&after));
            let rendered = Template::parse(&source).unwrap().render(&values(&item(&title))).unwrap();
            prop_assert_eq!(rendered, format!("{before}{title}{after}"));
        }
    }
}
