//! Lays the header that cbindgen makes out for readers: sections, one line where one line will do,
//! handles first, and nothing that C89 or C++98 would refuse.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Lines;

/// The header as it is committed. `table`: the functions in the order of `struct anz_api`.
pub fn lay_out(generated: &str, table: &[&str]) -> String {
    let start = generated.find(PREAMBLE_END).expect("the check for 64 bits") + PREAMBLE_END.len();
    let (preamble, body) = generated.split_at(start);
    let items = read(body);
    let mut out = preamble.trim_start().to_owned();
    out.push_str("\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    for wanted in [is_handle, is_status, is_constant, is_type, is_function] {
        let chosen = || items.iter().filter(|item| wanted(item));
        for item in chosen() {
            item.write(&mut out, &items);
        }
    }
    write_table(&mut out, &items, table);
    out.push_str("\n#ifdef __cplusplus\n}\n#endif\n");
    out.push_str("#if defined(__clang__)\n#  pragma clang diagnostic pop\n#endif\n");
    out.push_str("#endif /* ANASAZI_H */\n");
    out
}

/// Something that the header declares.
#[derive(Debug)]
struct Item {
    heading: Option<String>,
    comment: Vec<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Constant {
        name: String,
        value: String,
    },
    /// `struct name;`
    Opaque(String),
    Struct {
        name: String,
        fields: Vec<(Vec<String>, String)>,
    },
    /// Everything between `typedef` and the semicolon.
    Typedef(String),
    Function(String),
}

fn is_handle(item: &Item) -> bool {
    matches!(item.kind, Kind::Opaque(_))
}

fn is_status(item: &Item) -> bool {
    matches!(&item.kind, Kind::Typedef(text) if text.ends_with(" anz_status_t"))
}

fn is_constant(item: &Item) -> bool {
    matches!(item.kind, Kind::Constant { .. })
}

/// Typedefs that only name a struct are written with it.
fn is_type(item: &Item) -> bool {
    match &item.kind {
        Kind::Struct { .. } => true,
        Kind::Typedef(text) => !text.starts_with("struct ") && !is_status(item),
        _ => false,
    }
}

fn is_function(item: &Item) -> bool {
    matches!(item.kind, Kind::Function(_))
}

fn read(body: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut lines = body.lines().peekable();
    let mut comment = Vec::new();
    while let Some(line) = lines.next() {
        let kind = match line {
            "/*" => {
                comment = read_comment(&mut lines);
                continue;
            }
            "ANZ_API" => Kind::Function(read_function("", &mut lines)),
            _ => {
                if let Some(text) = line.strip_prefix("ANZ_API ") {
                    Kind::Function(read_function(text, &mut lines))
                } else if let Some(define) = line.strip_prefix("#define ") {
                    let (name, value) = define.split_once(' ').expect("a value");
                    Kind::Constant { name: name.to_owned(), value: shown(value) }
                } else if let Some(text) = line.strip_prefix("typedef ") {
                    Kind::Typedef(text.trim_end_matches(';').to_owned())
                } else if let Some(name) = line.strip_prefix("struct ") {
                    match name.strip_suffix(" {") {
                        Some(name) => {
                            let name = name.to_owned();
                            Kind::Struct { name, fields: read_fields(&mut lines) }
                        }
                        None => Kind::Opaque(name.trim_end_matches(';').to_owned()),
                    }
                } else {
                    // Blank, or the lines about C++ that are written anew.
                    continue;
                }
            }
        };
        let mut comment = std::mem::take(&mut comment);
        let is_heading = comment.first().is_some_and(|first| first.starts_with("---- "));
        let heading = is_heading.then(|| comment.remove(0));
        items.push(Item { heading, comment, kind });
    }
    items
}

fn read_comment(lines: &mut Peekable<Lines<'_>>) -> Vec<String> {
    let text = lines.by_ref().take_while(|line| line.trim() != "*/");
    text.map(|line| line.trim().to_owned()).collect()
}

fn read_function(start: &str, lines: &mut Peekable<Lines<'_>>) -> String {
    let mut text = start.trim().to_owned();
    while !text.ends_with(';') {
        let line = lines.next().expect("the end of a function");
        text = format!("{text} {}", line.trim()).trim_start().to_owned();
    }
    text
}

fn read_fields(lines: &mut Peekable<Lines<'_>>) -> Vec<(Vec<String>, String)> {
    let mut fields = Vec::new();
    let mut comment = Vec::new();
    while let Some(line) = lines.next() {
        match line.trim() {
            "};" => break,
            "/*" => comment = read_comment(lines),
            field => fields.push((std::mem::take(&mut comment), field.to_owned())),
        }
    }
    fields
}

/// Negative numbers in brackets; flags, which are powers of two from 256 on, in hexadecimal digits.
fn shown(value: &str) -> String {
    match value.parse::<i64>() {
        Ok(number) if number < 0 => format!("({number})"),
        Ok(number) if number >= 256 && number.count_ones() == 1 => format!("0x{number:x}u"),
        _ => value.to_owned(),
    }
}

impl Item {
    fn write(&self, out: &mut String, all: &[Self]) {
        if let Some(heading) = &self.heading {
            let heading = heading.trim_end_matches('-');
            _ = writeln!(
                out,
                "\n/* {heading}{:-<1$} */",
                "",
                WIDTH.saturating_sub(heading.len() + 6)
            );
        }
        match &self.kind {
            // Plain: build scripts read these lines.
            Kind::Constant { name, value } if name.starts_with("ANZ_VERSION_") => {
                block(out, "", &self.comment);
                _ = writeln!(out, "#define {name} {value}");
            }
            Kind::Constant { name, value } => {
                one_line(out, "", &format!("#define {name:<21} {value}"), 37, &self.comment);
            }
            Kind::Opaque(name) => {
                let alias = format!("struct {name} {name}_t");
                let has_alias =
                    all.iter().any(|item| matches!(&item.kind, Kind::Typedef(t) if *t == alias));
                let text =
                    if has_alias { format!("typedef {alias};") } else { format!("struct {name};") };
                one_line(out, "", &text, 44, &self.comment);
            }
            Kind::Struct { name, fields } => {
                out.push('\n');
                block(out, "", &self.comment);
                _ = writeln!(out, "typedef struct {name} {{");
                for (comment, field) in fields {
                    one_line(out, "    ", field, 40, comment);
                }
                _ = writeln!(out, "}} {name}_t;");
            }
            Kind::Typedef(text) => {
                out.push('\n');
                block(out, "", &self.comment);
                wrapped(out, &format!("typedef {text};"));
            }
            Kind::Function(text) => {
                out.push('\n');
                block(out, "", &self.comment);
                wrapped(out, &format!("ANZ_API {}", with_nullable(text)));
            }
        }
    }
}

/// `struct anz_api`, of the declarations of its functions.
fn write_table(out: &mut String, items: &[Item], table: &[&str]) {
    _ = writeln!(out, "\n/* {:-<1$} */", "---- the table of anz_get_api() ", WIDTH - 6);
    let comment = "What anz_get_api() gives: its own size, then everything, each function under \
                   its name without anz_. It only grows at its end.";
    out.push('\n');
    block(out, "", &[comment.to_owned()]);
    out.push_str("struct anz_api {\n");
    let size = ["of the library's table: what is beyond it is not there".to_owned()];
    one_line(out, "    ", "uint32_t struct_size;", 40, &size);
    one_line(out, "    ", "uint32_t version;", 40, &["anz_version_num()".to_owned()]);
    for wanted in table {
        let text = items.iter().find_map(|item| match &item.kind {
            Kind::Function(text) if text.contains(&format!("{wanted}(")) => Some(text),
            _ => None,
        });
        let text = with_nullable(text.unwrap_or_else(|| panic!("no declaration of {wanted}")));
        let short = wanted.strip_prefix("anz_").expect("the prefix of all names");
        let field = text.replacen(&format!("{wanted}("), &format!("(*{short})("), 1);
        wrapped_at(out, &format!("    {}", field.replace("ANZ_MUST_USE ", "")), 8);
    }
    out.push_str("};\n");
}

/// A declaration and its comment on one line if it fits, else the comment above.
fn one_line(out: &mut String, indent: &str, text: &str, column: usize, comment: &[String]) {
    let column = column - indent.len();
    match comment {
        [] => _ = writeln!(out, "{indent}{text}"),
        [line] if indent.len() + text.len().max(column) + line.len() + 7 <= WIDTH => {
            _ = writeln!(out, "{indent}{text:<column$} /* {line} */");
        }
        _ => {
            block(out, indent, comment);
            _ = writeln!(out, "{indent}{text}");
        }
    }
}

/// A comment of its own, filled anew: the sources have other margins.
fn block(out: &mut String, indent: &str, comment: &[String]) {
    let mut line = format!("{indent}/*");
    for word in comment.iter().flat_map(|line| line.split(' ')).filter(|word| !word.is_empty()) {
        if line.len() + 1 + word.len() + " */".len() > WIDTH {
            _ = writeln!(out, "{line}");
            line = format!("{indent} *");
        }
        line.push(' ');
        line.push_str(word);
    }
    if !comment.is_empty() {
        _ = writeln!(out, "{line} */");
    }
}

/// Breaks a declaration after commas.
fn wrapped(out: &mut String, text: &str) {
    let indent = text
        .rfind(" (*")
        .map_or_else(|| text.find('('), |at| text[at + 2..].find('(').map(|p| at + 2 + p));
    wrapped_at(out, text, indent.map_or(4, |at| at + 1));
}

/// Breaks a declaration after commas, with so many spaces before what goes on.
fn wrapped_at(out: &mut String, text: &str, indent: usize) {
    let mut line = String::new();
    for piece in text.split_inclusive(", ") {
        if line.len() + piece.trim_end().len() > WIDTH {
            _ = writeln!(out, "{}", line.trim_end());
            line = " ".repeat(indent);
        }
        line.push_str(piece);
    }
    _ = writeln!(out, "{line}");
}

/// Marks the arguments that may be NULL.
fn with_nullable(function: &str) -> String {
    let mut text = function.to_owned();
    for argument in ["anz_error_t *err", "const anz_config_t *cfg", "const char *url"] {
        let (kind, name) = argument.rsplit_once('*').expect("a pointer");
        text = text.replace(argument, &format!("{kind}*ANZ_NULLABLE {name}"));
    }
    for ends in ["anz_config_free(", "anz_engine_free(", "anz_conn_close(", "anz_msg_release("] {
        if text.contains(ends) {
            text = text.replacen('*', "*ANZ_NULLABLE ", 1);
        }
    }
    text
}

const PREAMBLE_END: &str = "systems only\"\n#endif";
const WIDTH: usize = 100;
