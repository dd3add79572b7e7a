//! The man pages and completions, generated from the definitions of the command line and kept in the repository.
//! `BLESS=1 cargo test documents` rewrites them; without it the test compares.

use crate::args::{Cli, EXIT_STATUS};
use clap::{Command, CommandFactory};
use clap_complete::{Generator, Shell};
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

fn generated() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "tapline", &mut text);
        files.insert(Path::new("completions").join(shell.file_name("tapline")), text);
    }
    let mut root = Cli::command();
    // Without it the subcommands lack the global flags and their full names.
    root.build();
    pages(&root, "tapline", None, &mut files);
    files
}

/// The pages of a command and of those below it.
fn pages(command: &Command, name: &str, above: Option<&str>, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    files.insert(Path::new("man").join(format!("{name}.1")), man(command, name, above));
    for below in command.get_subcommands() {
        pages(below, &format!("{name}-{}", below.get_name()), Some(name), files);
    }
}

fn man(command: &Command, name: &str, above: Option<&str>) -> Vec<u8> {
    // Examples have sections of their own, and the template of the help is not for a page.
    let examples: Vec<_> = [command.get_before_help(), command.get_after_help()].into_iter().flatten().map(ToString::to_string).collect();
    // What `-h` leaves out belongs in the page, where it would stand without its text.
    let page = command.clone().mut_args(|argument| argument.hide_short_help(false));
    let page = page.name(name.to_owned()).before_help("").after_help("").help_template("{about}");
    let page = clap_mangen::Man::new(page).title(name.to_uppercase()).section("1").date("").manual("tapline manual");
    let mut text = Vec::new();
    page.render_title(&mut text).unwrap();
    page.render_name_section(&mut text).unwrap();
    page.render_synopsis_section(&mut text).unwrap();
    page.render_description_section(&mut text).unwrap();
    page.render_options_section(&mut text).unwrap();
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text).unwrap();
    }
    let mut text = String::from_utf8(text).unwrap();
    if !examples.is_empty() {
        text += ".SH EXAMPLES\n.nf\n";
        let lines = examples.iter().flat_map(|part| part.lines()).map(|line| line.trim_start_matches("Example: ").trim_start());
        for line in lines.filter(|line| *line != "Examples:") {
            let _ = writeln!(text, "{}", line.replace('\\', "\\\\").replace('-', "\\-"));
        }
        text += ".fi\n";
    }
    let _ = writeln!(text, ".SH \"EXIT STATUS\"\n{EXIT_STATUS}");
    match above {
        None => text += ADDRESSES,
        Some(above) => _ = writeln!(text, ".SH \"SEE ALSO\"\n{above}(1)"),
    }
    text.into_bytes()
}

const ADDRESSES: &str = r".SH ADDRESSES
Where to listen: 8080 (loopback), HOST:PORT, [::1]:8080, :8080 (every interface, IPv4 and IPv6) or unix:/PATH. With port 0
the kernel chooses one; the first line on stderr says which.
.PP
Where to send: HOST:PORT, 8080 (loopback), unix:/PATH, tls:HOST:PORT (dialed with TLS, verified), builtin:echo, builtin:http or
builtin:discard (served inside the process). Names are resolved for each connection, and all of their addresses are tried.
.SH OUTPUT
Results go to stdout; events, progress and errors go to stderr. Neither stops the traffic: events that nobody reads are dropped
and counted, results are not. With \-\-json both are JSON Lines.
.SH ENVIRONMENT
COMMAND gets TAPLINE_ADDR, TAPLINE_HOST and TAPLINE_PORT. NO_COLOR turns colour off.
";

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

/// A subcommand that only generates files would be offered by every completion.
#[test]
fn no_command_is_hidden_in_the_completions() {
    assert!(Cli::command().get_subcommands().all(|command| !command.is_hide_set()));
    let files = generated();
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("completions")) {
        let text = String::from_utf8_lossy(text);
        for command in Cli::command().get_subcommands() {
            assert!(text.contains(command.get_name()), "{} lacks {}", path.display(), command.get_name());
        }
    }
}

/// rustfmt follows plain `mod` lines only; a file that is reached by a macro or a `#[path]` is never formatted.
#[test]
fn every_source_file_is_reached_by_a_plain_mod_line() {
    let (mut files, mut folders) = (Vec::new(), vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let text: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for path in files {
        let module = path.file_stem().unwrap().to_string_lossy().into_owned();
        let reached = ["mod", "pub mod", "pub(crate) mod"].map(|word| format!("\n{word} {module};\n"));
        assert!(["main", "lib"].contains(&module.as_str()) || reached.iter().any(|line| text.contains(line)), "{}", path.display());
    }
}

#[test]
fn the_help_fits_one_screen_and_each_command_begins_with_an_example() {
    let help = Cli::command().term_width(80).render_help().to_string();
    assert!(help.lines().count() <= 24 && help.lines().all(|line| line.chars().count() <= 80), "{help}");
    for command in Cli::command().get_subcommands_mut() {
        let help = command.render_long_help().to_string();
        assert!(help.starts_with("Example: tapline "), "{help}");
    }
}

#[test]
fn documents_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted = generated();
    let present = ["completions", "man"].into_iter().flat_map(|folder| {
        let entries = fs::read_dir(root.join(folder)).into_iter().flatten();
        entries.map(move |entry| Path::new(folder).join(entry.unwrap().file_name()))
    });
    let mut stale: Vec<_> = present.filter(|path| !wanted.contains_key(path)).collect();
    stale.extend(wanted.iter().filter(|(path, text)| fs::read(root.join(path)).ok().as_ref() != Some(text)).map(|(path, _)| path.clone()));
    if std::env::var_os("BLESS").is_some() {
        for path in &stale {
            match wanted.get(path) {
                Some(text) => {
                    fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
                    fs::write(root.join(path), text).unwrap();
                }
                None => fs::remove_file(root.join(path)).unwrap(),
            }
        }
        return;
    }
    assert!(stale.is_empty(), "not current: {stale:?}; rewrite them with BLESS=1 cargo test documents");
}
