//! The committed header is the one that the sources make, and every dialect takes it.

use std::fs;
use std::io::{self, Write};
use std::process::Command;

use anasazi_abi::layout::lay_out;
use anasazi_abi::prototypes::functions;
use anasazi_abi::{root, run};

/// The header, made of the sources again. The order of the files is that of its sections.
fn generated() -> String {
    let ffi = root().join("ffi");
    let config = cbindgen::Config::from_file(ffi.join("cbindgen.toml")).expect("cbindgen.toml");
    let builder = cbindgen::Builder::new().with_config(config);
    let files =
        ["abi", "library", "config", "engine", "session", "group", "send", "receive", "query"];
    let builder = files
        .iter()
        .fold(builder, |builder, file| builder.with_src(ffi.join(format!("src/{file}.rs"))));
    let mut bytes = Vec::new();
    builder.generate().expect("sources that cbindgen understands").write(&mut bytes);
    let table = fs::read_to_string(ffi.join("src/api.rs")).expect("the table");
    let list = table.split_once("\ntable! {").expect("a list").1;
    let table: Vec<&str> = list.trim_end().trim_end_matches('}').split_whitespace().collect();
    lay_out(&String::from_utf8(bytes).expect("UTF-8"), &table)
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let path = root().join("include/anasazi.h");
    let generated = generated();
    if std::env::var_os("UPDATE").is_some() {
        // In one step: other tests compile it meanwhile.
        let new = path.with_extension("h.new");
        fs::write(&new, &generated).expect("a writable directory");
        fs::rename(&new, &path).expect("a writable header");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "include/anasazi.h differs from what ffi/ makes: run `make header` and commit it"
    );
}

/// Whether the compiler is installed; without gcc nothing would be.
fn is_there(compiler: &str) -> bool {
    let there =
        !compiler.starts_with("clang") || Command::new(compiler).arg("--version").output().is_ok();
    if !there {
        _ = writeln!(io::stderr(), "skipped: {compiler} is not installed");
    }
    there
}

#[test]
fn every_dialect_takes_it_alone_and_without_a_warning() {
    let directory = tempfile::tempdir().expect("a directory");
    for (compiler, dialects, file) in [
        ("cc", &["c89", "c99", "c11", "c17"][..], "alone.c"),
        ("c++", &["c++98", "c++11", "c++17"][..], "alone.cc"),
        ("clang", &["c89", "c99", "c11", "c17"][..], "alone.c"),
        ("clang++", &["c++98", "c++11", "c++17"][..], "alone.cc"),
    ] {
        if !is_there(compiler) {
            continue;
        }
        let source = directory.path().join(file);
        let text = "#include <anasazi.h>\n#include <anasazi.h>\n\
                    int main(void) { return (int)anz_version_num(); }\n";
        fs::write(&source, text).expect("a source file");
        for dialect in dialects {
            run(Command::new(compiler)
                .args(["-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wundef", "-Werror"])
                // C89 has no stdint.h; with the system's one, long long comes along.
                .args((*dialect == "c89").then_some("-Wno-long-long"))
                .args((*dialect == "c++98").then_some("-Wno-long-long"))
                .args((compiler == "clang++").then_some("-Wno-c++11-long-long"))
                .arg(format!("-std={dialect}"))
                .arg("-I")
                .arg(root().join("include"))
                .args(["-fsyntax-only"])
                .arg(&source));
        }
    }
}

/// The owners for C++, in the dialects from the one that they are for.
#[test]
fn both_compilers_take_the_owners_for_cpp() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("owners.cc");
    let text = "#include <anasazi.hpp>\n#include <anasazi.hpp>\n\
                int main() { return static_cast<int>(anz_version_num()); }\n";
    fs::write(&source, text).expect("a source file");
    for compiler in ["c++", "clang++"].into_iter().filter(|compiler| is_there(compiler)) {
        for dialect in ["c++17", "c++20"] {
            for file in [&source, &root().join("tests/abi/c/raii.cc")] {
                run(Command::new(compiler)
                    .args(["-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"])
                    .arg(format!("-std={dialect}"))
                    .arg("-I")
                    .arg(root().join("include"))
                    .arg("-fsyntax-only")
                    .arg(file));
            }
        }
    }
}

/// The structs that Rust has and those that C has are the same, field by field.
#[test]
fn every_struct_is_laid_out_as_rust_has_it() {
    let source = root().join("tests/abi/c/layout.c");
    let asserted = fs::read_to_string(&source).expect("the assertions");
    let header = fs::read_to_string(root().join("include/anasazi.h")).expect("the header");
    let structs: Vec<&str> = header.split("\ntypedef struct ").skip(1).collect();
    let mut fields = 0;
    for text in structs.iter().filter_map(|text| text.split_once("\n}").map(|(body, _)| body)) {
        let Some((name, body)) = text.split_once(" {\n") else { continue };
        for line in body.lines().map(|line| line.split("/*").next().unwrap_or("").trim()) {
            let Some(line) = line.strip_suffix(';') else { continue };
            let word = line.split_once("(*").map_or(line, |(_, rest)| rest);
            let word = word.split([')', '[']).next().unwrap_or("");
            let field = word.rsplit([' ', '*']).next().unwrap_or("");
            let place = format!("offsetof({name}_t, {field})");
            assert!(asserted.contains(&place), "{place} is not asserted");
            fields += 1;
        }
    }
    assert!(fields > 60, "{fields} fields");
    for compiler in ["cc", "clang"] {
        if !is_there(compiler) {
            continue;
        }
        let mut command = Command::new(compiler);
        command.args(["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]);
        run(command.arg("-I").arg(root().join("include")).arg(&source));
    }
}

#[test]
fn the_table_has_every_function_but_the_one_that_gives_it() {
    let text = fs::read_to_string(root().join("include/anasazi.h")).expect("the header");
    let table = text.split_once("\nstruct anz_api {").expect("the table").1;
    let in_table = table.matches("(*").count() - table.matches("void (*fn)").count();
    assert_eq!(in_table, functions().len() - 1);
    for function in functions().iter().filter(|function| function.name != "anz_get_api") {
        let short = function.name.strip_prefix("anz_").expect("the prefix of all names");
        assert!(table.contains(&format!("(*{short})(")), "{}", function.name);
    }
}

#[test]
fn every_function_says_how_safe_it_is() {
    let functions = functions();
    assert!(functions.len() > 45, "{}", functions.len());
    for function in functions {
        let says = |tag: &str| function.has_tag(tag);
        let is_tagged = (says("MT-Safe") || says("MT-Owner")) && (says("NB") || says("BLK"));
        assert!(is_tagged, "{}: {}", function.name, function.comment);
    }
}

/// Programs learn the names of features from the header: those that it says are built are, and the
/// others are not.
#[test]
fn the_features_that_the_header_names_are_those_that_there_are() {
    let header = fs::read_to_string(root().join("include/anasazi.h")).expect("the header");
    let end = header.find("anz_has(const char *").expect("the function");
    let begin = header[..end].rfind("/*").expect("its comment");
    let (built, not_built) = header[begin..end].split_once("not built yet").expect("both kinds");
    let names = |text: &str| -> Vec<String> {
        text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let source = fs::read_to_string(root().join("ffi/src/library.rs")).expect("the list");
    let list =
        source.split_once("const FEATURES: [").expect("it").1.split_once("];").expect("it").0;
    assert_eq!(names(built), names(list));
    assert!(names(not_built).iter().all(|name| !names(list).contains(name)));
}
