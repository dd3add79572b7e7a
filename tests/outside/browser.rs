//! Browsers without a screen.

use crate::support::*;
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A browser, with all that it starts, until this is dropped.
pub struct Browser {
    child: Child,
    _home: TempDir,
}

impl Browser {
    /// Opens a page; `*.example.test` is this machine.
    pub fn chromium(trusted: Option<&Path>, flags: &[&str], url: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        if let Some(ca) = trusted {
            trust(ca, &home.path().join(".pki/nssdb"));
        }
        let mut command = outside("chromium");
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]);
        command.args(["--disable-component-update", "--disable-sync", "--disable-breakpad"]);
        command.arg("--host-resolver-rules=MAP *.example.test 127.0.0.1");
        command.arg(format!("--user-data-dir={}", home.path().join("profile").display())).args(flags).args(["--dump-dom", url]);
        Self::start(&mut command, home)
    }

    /// Opens a page.
    pub fn firefox(trusted: Option<&Path>, url: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let profile = home.path().join("profile");
        std::fs::create_dir(&profile).unwrap();
        if let Some(ca) = trusted {
            trust(ca, &profile);
        }
        Self::start(outside("firefox-esr").args(["--headless", "--no-remote", "--profile"]).arg(profile).arg(url), home)
    }

    /// Any other client, with this as its home.
    pub fn start(command: &mut Command, home: TempDir) -> Self {
        command.env("HOME", home.path()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, _home: home }
    }
}

/// Makes a certificate database in which `ca` vouches for servers.
fn trust(ca: &Path, database: &Path) {
    std::fs::create_dir_all(database).unwrap();
    let database = format!("sql:{}", database.display());
    for args in [&["-N", "--empty-password"][..], &["-A", "-n", "tapline", "-t", "C,,", "-i", ca.to_str().unwrap()]] {
        let done = finish(outside("certutil").args(["-d", &database]).args(args));
        assert_eq!(done.code, Some(0), "{done:?}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}
