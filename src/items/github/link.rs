//! The next page, from `Link` headers (RFC 8288, section 3).
//!
//! `client.rs` asks for every answer. Pure. A header that cannot be read is an error and not an end of the list:
//! otherwise issues would be lost in silence.

/// A `Link` header that breaks the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// The target of the first link with the relation `next`; `None` when there is none.
pub(super) fn next_target(header: &str) -> Result<Option<&str>, Malformed> {
    let mut rest = header;
    let mut next = None;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Ok(next);
        }
        let (target, after) = rest
            .strip_prefix('<')
            .and_then(|inside| inside.split_once('>'))
            .ok_or(Malformed)?;
        let (is_next, after) = parameters(after)?;
        if is_next && next.is_none() {
            next = Some(target);
        }
        rest = after;
    }
}

/// Reads `; name=value` up to the comma that ends the link; says whether the relations contain `next`.
fn parameters(mut rest: &str) -> Result<(bool, &str), Malformed> {
    let mut relations: Option<&str> = None;
    loop {
        rest = rest.trim_start();
        let Some(parameter) = rest.strip_prefix(';') else {
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(Malformed);
            }
            let is_next = |relation: &str| relation.eq_ignore_ascii_case("next");
            let relations = relations.unwrap_or_default();
            return Ok((relations.split_ascii_whitespace().any(is_next), rest));
        };
        let name_end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let (name, after) = parameter.split_at(name_end);
        let Some(value) = after.strip_prefix('=') else {
            rest = after;
            continue;
        };
        let (value, after) = parameter_value(value.trim_start())?;
        // Only the first `rel` of a link counts (RFC 8288, section 3.3).
        if name.trim().eq_ignore_ascii_case("rel") {
            relations = relations.or(Some(value));
        }
        rest = after;
    }
}

/// A token, or a quoted string with its escapes left in: no relation that we look for needs one.
fn parameter_value(text: &str) -> Result<(&str, &str), Malformed> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Ok((value.trim(), rest));
    };
    let mut escaped = false;
    for (index, character) in quoted.char_indices() {
        match character {
            '"' if !escaped => return Ok((&quoted[..index], &quoted[index + 1..])),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_next_page_is_found_wherever_the_grammar_lets_it_stand() {
        for (header, expected) in [
            ("", None),
            ("<a>", None),
            ("<a>; rel=next", Some("a")),
            ("<a>; rel=\"next\"", Some("a")),
            ("<a>;REL=\"NEXT\"", Some("a")),
            ("<a> ; rel = \"next\"", Some("a")),
            (
                "<a>; rel=\"prev\", <b>; rel=\"next\", <c>; rel=\"last\"",
                Some("b"),
            ),
            ("<a>; rel=\"last next\"", Some("a")),
            ("<a>; rel=\"nextish\"", None),
            ("<a>; rel=\"prev\"; rel=\"next\"", None),
            ("<a,b;c>; rel=\"next\"", Some("a,b;c")),
            ("<a>; title=\"x, <y>; rel=next\"; rel=\"prev\"", None),
            ("<a>; title=\"\\\"; rel=next\"; rel=\"next\"", Some("a")),
            ("<a>; crossorigin; rel=next, <b>; rel=next", Some("a")),
            (", ,<a>; rel=next,", Some("a")),
        ] {
            assert_eq!(next_target(header), Ok(expected), "{header}");
        }
    }

    #[test]
    fn a_broken_header_is_no_end_of_the_list() {
        for header in [
            "a; rel=next",
            "<a; rel=next",
            "<a>; rel=\"next",
            "<a> rel=next",
            "<a>; rel=\"next\" x",
            "<a>; rel=\"next\\\"",
        ] {
            assert_eq!(next_target(header), Err(Malformed), "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(header in "[<>;,=\" \\\\a-z]{0,40}") {
            let _ = next_target(&header);
        }

        #[test]
        fn what_is_written_is_read(
            links in proptest::collection::vec(("[a-z:/?&=,;]{1,20}", "(prev|last|first)"), 0..4),
            at in 0usize..5,
            target in "[a-z:/?&=,;]{1,20}",
        ) {
            let mut links = links;
            links.insert(at.min(links.len()), (target.clone(), "next".to_owned()));
            let header = links.iter().map(|(target, relation)| format!("<{target}>; rel=\"{relation}\""));
            let header = header.collect::<Vec<_>>().join(", ");
            prop_assert_eq!(next_target(&header), Ok(Some(target.as_str())));
        }
    }
}
