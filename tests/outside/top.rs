//! The live view on a real terminal: tmux's.

use crate::support::*;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Instant,
};

/// A terminal of its own, with the program in it.
struct Terminal {
    folder: tempfile::TempDir,
}

impl Terminal {
    /// Runs the program with these arguments, as a shell reads them, on a terminal of this size.
    fn run(size: (u16, u16), args: &str) -> Self {
        let terminal = Self { folder: tempfile::tempdir().unwrap() };
        let program = env!("CARGO_BIN_EXE_tapline");
        let pid = terminal.folder.path().join("pid");
        // What is on the terminal after the end is looked at, too.
        let script = format!("sh -c 'echo $$ >{}; exec {program} {args}'; echo exit status $?; cat", pid.display());
        let (width, height) = (size.0.to_string(), size.1.to_string());
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, &script]);
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let socket = self.folder.path().join("tmux");
        let mut command = Command::new("tmux");
        // tmux draws what the program does not: no colour of the program depends on whose terminal runs the tests.
        command.arg("-S").arg(socket).args(args).env_remove("TMUX").env_remove("NO_COLOR").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|error| panic!("tmux: {error}"));
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// What is shown once it shows what is waited for.
    fn until(&self, what: &str, shows: impl Fn(&str) -> bool) -> String {
        let since = Instant::now();
        loop {
            let screen = self.screen();
            if shows(&screen) {
                return screen;
            }
            assert!(since.elapsed() < DEADLINE, "{what} is never shown:\n{screen}");
        }
    }

    fn until_contains(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn resize(&self, width: &str, height: &str) {
        self.tmux(&["resize-window", "-x", width, "-y", height]);
    }

    /// Where the program listens, as its head says.
    fn addr(&self) -> SocketAddr {
        let screen = self.until("the head of the view", |screen| screen.contains(" on 127.0.0.1:") && screen.contains("usable"));
        screen.split(" on ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap()
    }

    fn pid(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("pid")).unwrap().trim().to_owned()
    }

    /// Whether the terminal is as a shell needs it: no alternate screen, a cursor, and lines and echo by its driver.
    fn assert_given_back(&self) {
        assert_eq!(self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]).trim(), "0 1");
        let tty = self.tmux(&["display-message", "-p", "#{pane_tty}"]);
        let modes = Command::new("stty").args(["-a", "-F", tty.trim()]).output().unwrap();
        let modes = String::from_utf8(modes.stdout).unwrap();
        assert!(modes.contains(" icanon") && modes.contains(" echo ") && modes.contains("isig"), "{modes}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The program ends with its terminal.
        let _ = Command::new("tmux").arg("-S").arg(self.folder.path().join("tmux")).arg("kill-server").status();
    }
}

/// The words of the first line that has this text.
fn words<'a>(screen: &'a str, text: &str) -> Vec<&'a str> {
    screen.lines().find(|line| line.contains(text)).unwrap_or_default().split_whitespace().collect()
}

/// A connection over which one byte has come back.
fn echoed(addr: SocketAddr) -> TcpStream {
    let mut stream = connect(addr);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

#[test]
fn targets_and_connections_are_seen_and_q_gives_the_terminal_back() {
    let (_held, refusing) = refusing();
    let terminal = Terminal::run((80, 24), &format!("lb4 0 builtin:echo {refusing} --top --no-checks"));
    let addr = terminal.addr();
    let held = [echoed(addr), echoed(addr)];
    (0..3).for_each(|_| drop(echoed(addr)));
    let screen = terminal.until("two that are open", |screen| {
        words(screen, "builtin:echo ").get(2) == Some(&"2") && words(screen, "total").get(..4) == Some(&["open", "2", "total", "5"])
    });
    assert_eq!(words(&screen, "builtin:echo ")[1], "up");
    let of_refusing = words(&screen, &refusing.to_string());
    assert!(of_refusing.contains(&"refused") && of_refusing[8] != "0", "{screen}");
    // Lines that are said do not run through it.
    assert!(screen.lines().nth(2).unwrap().starts_with(" targets, as given") && screen.lines().count() == 24, "{screen}");

    terminal.press(&["Tab"]);
    let screen = terminal.until_contains("connections, newest first");
    let client = held[1].local_addr().unwrap().to_string();
    let row = words(&screen, &client);
    assert_eq!((row[2], row[3], row[5], row[6], row[7], row[8]), ("builtin:echo", "relay", "1", "B", "1", "B"), "{screen}");

    terminal.resize("200", "60");
    let screen = terminal.until("both lists", |screen| screen.contains("weight") && screen.contains("connections, newest first"));
    assert!(screen.contains("refused (") && screen.contains(&client), "{screen}");
    terminal.press(&["/", "e", "c", "h", "o", "Enter"]);
    terminal.until("the filter", |screen| {
        screen.contains("with \"echo\" in their names") && !screen.lines().skip(2).take(4).any(|line| line.contains(&refusing.to_string()))
    });
    terminal.press(&["Escape"]);
    terminal.until("no filter", |screen| !screen.contains("in their names"));
    terminal.press(&["?"]);
    terminal.until_contains("q, Ctrl-C");
    terminal.resize("40", "8");
    terminal.until_contains("40x8 is too small");
    terminal.resize("80", "24");
    terminal.until_contains("q, Ctrl-C");
    terminal.press(&["x"]);
    terminal.until("what was there before the help", |screen| screen.contains(" connections, newest first") && screen.contains(&client));

    terminal.press(&["q"]);
    let screen = terminal.until_contains("draining: 2 open");
    assert!(screen.contains(&format!("listening on {addr}")), "what was said is not seen after the view:\n{screen}");
    terminal.assert_given_back();
    drop(held);
    terminal.until_contains("exit status 0");
}

#[test]
fn many_targets_are_seen_in_part_and_scrolled() {
    for (many, size, page) in [(50, (80, 24), 18), (500, (80, 24), 18), (50, (200, 60), 32), (500, (200, 60), 32)] {
        let targets = vec!["127.0.0.1:1"; many].join(" ");
        let terminal = Terminal::run(size, &format!("lb4 0 {targets} --top --no-checks"));
        let screen = terminal.until("the first page", |screen| screen.contains("127.0.0.1:1#1 ") && screen.contains("? help"));
        assert!(screen.contains(&format!("{many}/{many} targets usable")), "{screen}");
        assert_eq!(screen.lines().count(), usize::from(size.1));
        let seen = screen.lines().filter(|line| line.starts_with("127.0.0.1:1#")).count();
        // The line that it listens may not be there yet.
        assert!((page..=page + 1).contains(&seen), "{seen} of {many} on {size:?}:\n{screen}");
        terminal.press(&["End"]);
        let screen = terminal.until_contains(&format!("127.0.0.1:1#{many} "));
        assert!(!screen.contains("127.0.0.1:1#1 ") && screen.contains(&format!("-{many} of targets")), "{screen}");
        terminal.press(&["q"]);
        terminal.until_contains("exit status 0");
        terminal.assert_given_back();
    }
}

#[test]
fn a_signal_and_control_c_give_the_terminal_back_as_q_does() {
    for how in ["TERM", "INT", "QUIT", "HUP", "key"] {
        let terminal = Terminal::run((80, 24), "lb4 0 builtin:echo --top");
        let held = echoed(terminal.addr());
        match how {
            "key" => terminal.press(&["C-c"]),
            signal => assert!(Command::new("kill").args([&format!("-{signal}"), &terminal.pid()]).status().unwrap().success()),
        }
        terminal.until_contains("draining: 1 open");
        terminal.assert_given_back();
        // The terminal gives signals again.
        terminal.press(&["C-c"]);
        terminal.until_contains("exit status");
        drop(held);
    }
}

#[test]
fn a_terminal_that_goes_ends_the_view_and_not_a_run_that_hangups_do_not_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("targets");
    std::fs::write(&file, "127.0.0.1:1\n").unwrap();
    let terminal = Terminal::run((80, 24), &format!("lb4 0 builtin:echo @{} --policy first --top --no-checks", file.display()));
    let (addr, pid) = (terminal.addr(), terminal.pid());
    let draws = || {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).ok()).any(|name| name == "top\n")
    };
    assert!(draws());
    terminal.tmux(&["kill-server"]);
    until("the view ends", || (!draws()).then_some(()));
    drop(echoed(addr));
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
}

#[test]
fn what_is_said_goes_to_a_file_and_keys_come_from_the_terminal_where_the_streams_are_redirected() {
    let folder = tempfile::tempdir().unwrap();
    let (said, rest) = (folder.path().join("said"), folder.path().join("rest"));
    let terminal = Terminal::run((80, 24), &format!("lb4 0 builtin:echo --top </dev/null 2>{}", said.display()));
    drop(echoed(terminal.addr()));
    terminal.until_contains("done by client");
    terminal.press(&["q"]);
    terminal.until_contains("exit status 0");
    terminal.assert_given_back();
    let said = std::fs::read_to_string(said).unwrap();
    assert!(said.contains("listening on") && said.contains("done by client") && !said.contains('\x1b'), "{said}");

    let terminal = Terminal::run((80, 24), &format!("proxy 0 builtin:echo --top >{}", rest.display()));
    terminal.addr();
    terminal.press(&["q"]);
    terminal.until_contains("exit status 0");
    assert_eq!(std::fs::read(rest).unwrap(), b"");
}

#[test]
fn every_command_that_has_targets_has_a_view() {
    for (args, target) in [
        ("proxy 0 builtin:echo", "builtin:echo"),
        ("lb7 0 builtin:http", "builtin:http"),
        ("tls-terminate 0 builtin:http", "builtin:http"),
        ("sni-route 0 a.test=builtin:http --not-tls builtin:echo", "a.test -> builtin"),
    ] {
        let terminal = Terminal::run((80, 24), &format!("{args} --top"));
        terminal
            .until(args, |screen| screen.contains(target) && screen.contains(&format!("tapline {} on", args.split(' ').next().unwrap())));
        terminal.press(&["q"]);
        terminal.until_contains("exit status 0");
        terminal.assert_given_back();
    }
}

#[test]
fn without_colours_it_is_drawn_in_the_terminals_own() {
    let colored = |args: &str| {
        let terminal = Terminal::run((80, 24), args);
        terminal.addr();
        let screen = terminal.tmux(&["capture-pane", "-p", "-e"]);
        screen.contains("\x1b[38;5;2m") || screen.contains("\x1b[32m")
    };
    assert!(colored("lb4 0 builtin:echo --top --no-checks") && !colored("lb4 0 builtin:echo --top --no-checks --color never"));
}

#[test]
fn targets_from_the_terminal_that_gives_the_keys_are_refused() {
    let terminal = Terminal::run((80, 24), "lb4 0 - --top");
    let screen = terminal.until_contains("exit status 2");
    assert!(screen.contains("- and --top would both read the terminal"), "{screen}");
}
