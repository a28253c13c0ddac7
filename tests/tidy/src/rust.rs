//! Just enough of a Rust reader. It works on text in which comments and literals are blanked, so
//! that what is left between the blanks is code.

/// A function with its lines, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) first_line: usize,
    pub(crate) lines: usize,
}

/// `source` with everything in comments and literals replaced by blanks; lines stay where they are.
pub(crate) fn blank(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = match literal_or_comment(rest, code.chars().next_back()) {
            Some(length) => {
                let blanked = rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' });
                code.extend(blanked);
                length
            }
            None => {
                code.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    code
}

/// Bytes of the comment or literal that `rest` begins with.
fn literal_or_comment(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('"') {
        return Some(until_unescaped(rest, '"'));
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    let is_word_start = !before.is_some_and(is_word);
    if is_word_start && (rest.starts_with('r') || rest.starts_with("br")) {
        return raw_string(rest);
    }
    None
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn until_unescaped(rest: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == end => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// `'a'` and `'\n'` are literals, `'a` is a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        return Some(until_unescaped(rest, '\''));
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

fn raw_string(rest: &str) -> Option<usize> {
    let opening = rest.trim_start_matches('b').strip_prefix('r')?;
    let hashes = opening.len() - opening.trim_start_matches('#').len();
    if !opening[hashes..].starts_with('"') {
        return None;
    }
    let start = rest.len() - opening.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

/// Blanked code in which items that are compiled for tests only are blank, too.
pub(crate) fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(") {
        let attribute_end = rest[at..].find(']').map_or(rest.len(), |end| at + end + 1);
        let attribute = &rest[at..attribute_end];
        let is_test =
            words(attribute).any(|(_, word)| word == "test") && !attribute.contains("not(test)");
        let end = if is_test { item_end(rest, attribute_end) } else { attribute_end };
        kept.push_str(&rest[..at]);
        if is_test {
            kept.extend(rest[at..end].chars().filter(|c| *c == '\n'));
        } else {
            kept.push_str(&rest[at..end]);
        }
        rest = &rest[end..];
    }
    kept + rest
}

/// Functions of blanked code that have a body.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    let mut previous = "";
    for (at, word) in words(code) {
        // Not the pointer type fn(...).
        if previous == "fn" && code[..at].ends_with("fn ") {
            let end = item_end(code, at);
            if code[..end].ends_with('}') {
                let lines = code[at..end].matches('\n').count() + 1;
                let first_line = code[..at].matches('\n').count() + 1;
                functions.push(Function { name: word.to_owned(), first_line, lines });
            }
        }
        previous = word;
    }
    functions
}

/// The words of blanked code, each with its place.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = code.as_ptr() as usize;
    code.split(|c| !is_word(c))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - start, word))
}

/// Where the item ends that `from` is in the head of: after its `}`, or its `;` if it has no body.
fn item_end(code: &str, from: usize) -> usize {
    let (mut braces, mut brackets) = (0, 0);
    for (at, c) in code[from..].char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces <= 0 && brackets <= 0 {
                    return from + at + 1;
                }
            }
            ';' if braces == 0 && brackets == 0 => return from + at + 1,
            _ => {}
        }
    }
    code.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn comments_and_literals_are_blanked() {
    for (source, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"a("b \" c", d)"#, "a(        , d)"),
        (r##"a(r#"b " c"#, d)"##, "a(          , d)"),
        ("for x", "for x"),
        ("r.b", "r.b"),
        ("'{' '\\'' &'a b", "           &'a b"),
        ("b\"x\" \u{e4} \"\u{e4}\"", "b    \u{e4}    "),
    ] {
        assert_eq!(blank(source), code.replace("           &", "         &"), "{source}");
    }
}

#[test]
fn test_code_is_left_out() {
    let code = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }\nfn c() {}\n\
                #[cfg(all(test, loom))]\nuse x;\n#[cfg(not(test))]\nfn d() {}\n";
    let names: Vec<_> = functions(&without_tests(code)).into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["a", "c", "d"]);
}

#[test]
fn functions_are_measured() {
    let code = "trait T { fn none(a: [u8; 4]); }\nfn three<T>(f: fn(T) -> u8)\nwhere T: X\n\
                { if a { b } }\nfn one() {}\n";
    let function =
        |name: &str, first_line, lines| Function { name: name.to_owned(), first_line, lines };
    assert_eq!(functions(code), [function("three", 2, 3), function("one", 5, 1)]);
}
