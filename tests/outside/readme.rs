//! The README's examples, run, and their real output compared.

use crate::support::*;
use std::path::Path;

/// A command as the README shows it, and what it prints.
struct Example {
    command: String,
    output: Vec<String>,
}

fn examples() -> Vec<Example> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut examples: Vec<Example> = Vec::new();
    for block in readme.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => examples.push(Example { command: command.to_owned(), output: Vec::new() }),
                None => examples.last_mut().expect("a block begins with a command").output.push(line.to_owned()),
            }
        }
    }
    examples
}

/// The line without what differs from run to run: ports, times, sizes that depend on them, names of temporary files.
fn steady(line: &str) -> String {
    let mut words: Vec<String> = line.split_whitespace().map(steady_word).collect();
    for i in 1..words.len() {
        // Who asked.
        if words[i - 1].ends_with("uid") || words[i - 1] == "pid" {
            words[i] = words[i].replace(|c: char| c.is_ascii_digit(), "");
        }
        let unit = words[i].trim_end_matches([',', ')']).to_owned();
        let number = words[i - 1].parse::<f64>().is_ok();
        if number && ["us", "ms", "s", "B", "KiB"].contains(&unit.as_str()) {
            words[i - 1] = "N".into();
            words[i] = words[i].replace(&unit, if unit.ends_with('B') { "bytes" } else { "time" });
        }
    }
    words.join(" ")
}

fn steady_word(word: &str) -> String {
    if let Some((before, name)) = word.split_once("tapline-ca-") {
        return format!("{before}tapline-ca-N{}", name.trim_start_matches(|c: char| c.is_ascii_alphanumeric()));
    }
    if let Some(version) = word.strip_prefix("curl/") {
        return format!("curl/N{}", version.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'));
    }
    let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape == "0000-00-00" || shape == "00:00:00.000000" {
        return shape;
    }
    let mut out = String::new();
    let mut rest = word;
    while let Some(digits) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(digits);
        let (number, after) = from.split_at(from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len()));
        // A port follows an address or stands before /tcp; the counts of a hello depend on the client's version; which of several
        // targets is drawn is chance.
        let varies = before.ends_with(':') && number.len() > 3
            || after.starts_with("/tcp")
            || before.ends_with('=') && !before.contains('.')
            || before.ends_with("builtin:http#");
        out += before;
        out += if varies { "N" } else { number };
        rest = after;
    }
    out + rest
}

#[test]
fn the_examples_print_what_the_readme_shows() {
    let examples = examples();
    let folder = Path::new(env!("CARGO_BIN_EXE_tapline")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    for name in ["listen", "proxy", "sni-peek", "sni-route", "tls-terminate", "lb4", "lb7", "scan", "ctl"] {
        assert!(examples.iter().any(|example| example.command.contains(&format!("tapline {name} "))), "no example of {name}");
    }
    let required = "tapline lb7 0 builtin:http builtin:http builtin:http -- curl -s http://{addr}/";
    assert!(examples.iter().any(|example| example.command == required));
    for Example { command, output } in examples {
        // Both streams as a terminal shows them; two threads write them, so that only the lines are compared, not their order.
        let run = finish(outside("sh").args(["-c", &format!("{command} 2>&1")]).env("PATH", &path));
        let mut real: Vec<_> = run.stdout.lines().map(steady).collect();
        let mut shown: Vec<_> = output.iter().map(|line| steady(line)).collect();
        real.sort();
        shown.sort();
        assert_eq!(real, shown, "{command}\nreally prints:\n{}", run.stdout);
    }
}
