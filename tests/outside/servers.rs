//! haproxy, nginx and redis as they are used: behind tapline, and in front of it.

use crate::support::*;
use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Child,
    time::Instant,
};
use tempfile::TempDir;

/// A server on a Unix socket of its own, in a folder of its own.
pub struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    pub fn start(make: impl FnOnce(&Path) -> Child) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = make(folder.path());
        let server = Self { child, folder };
        server.wait();
        server
    }

    /// Kills it, so that it says no goodbye.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts another one in its place.
    pub fn again(&mut self, make: impl FnOnce(&Path) -> Child) {
        self.child = make(self.folder.path());
        self.wait();
    }

    fn wait(&self) {
        let started = Instant::now();
        // These servers say in a log, each in its own way, that they listen; that one can connect says the same.
        while UnixStream::connect(self.socket()).is_err() {
            assert!(started.elapsed() < DEADLINE, "the server does not listen");
            std::thread::yield_now();
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub fn target(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    pub fn redis() -> Self {
        Self::start(|folder| redis(folder, &[]))
    }
}

/// redis, with its memory in memory only.
pub fn redis(folder: &Path, args: &[&str]) -> Child {
    let socket = folder.join("socket");
    outside("redis-server")
        .current_dir(folder)
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", socket.to_str().unwrap()])
        .args(args)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

/// haproxy; SOCKET in `config` is where it is to listen.
pub fn haproxy(config: &str) -> Server {
    Server::start(|folder| {
        let config = format!(
            "defaults\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n{}",
            config.replace("SOCKET", &format!("unix@{}/socket", folder.display()))
        );
        std::fs::write(folder.join("conf"), config).unwrap();
        outside("haproxy").arg("-db").arg("-f").arg(folder.join("conf")).spawn().expect("haproxy is installed")
    })
}

/// What nginx would keep in a folder of the system's, which not everybody may write to.
const HTTP: &str = "http { access_log off; client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c; \
                    uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;\n";

/// nginx; SOCKET in `config` is where it is to listen, DIR its folder.
pub fn nginx(config: &str) -> Server {
    Server::start(|folder| {
        let dir = folder.display();
        let config = format!(
            "daemon off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;\nevents {{}}\n{}",
            config.replace("http {", HTTP).replace("SOCKET", &format!("unix:{dir}/socket")).replace("DIR", &dir.to_string())
        );
        // Debian has the stream module in a file of its own; elsewhere it is built in.
        let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
        let load = if Path::new(module).exists() { format!("load_module {module};\n") } else { String::new() };
        std::fs::write(folder.join("conf"), load + &config).unwrap();
        // Workers change to another user, who must be able to enter the folder.
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        outside("nginx").args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(folder.join("conf")).spawn().expect("nginx is installed")
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        // SIGTERM, so that a server with workers ends them too.
        let _ = kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn redis_cli(tapline: &Tapline, args: &[&str]) -> Finished {
    let port = tapline.addr().port().to_string();
    finish(outside("redis-cli").args(["-p", &port]).args(args))
}

#[test]
fn redis_answers_through_proxy() {
    let redis = Server::redis();
    let mut tapline = Tapline::start(&["proxy", "0", &redis.target()]);
    assert_eq!(redis_cli(&tapline, &["set", "key", "value"]).stdout, "OK\n");
    assert_eq!(redis_cli(&tapline, &["get", "key"]).stdout, "value\n");
    assert_eq!(tapline.closed()["failed"], false);
}

#[test]
fn lb4_passes_over_a_redis_that_is_gone() {
    let (one, two) = (Server::redis(), Server::redis());
    let mut tapline = Tapline::start(&["lb4", "0", &one.target(), &two.target(), "--no-checks"]);
    let gone = one.target();
    drop(one);
    for _ in 0..4 {
        assert_eq!(redis_cli(&tapline, &["ping"]).stdout, "PONG\n");
    }
    assert_eq!(tapline.event("dial_failed")["target"], gone);
}

#[test]
fn nginx_serves_through_lb7_and_its_bytes_arrive_as_they_are() {
    let servers = ["one", "two", "three"].map(|name| {
        let server = nginx(&format!("http {{ server {{ listen SOCKET; root DIR; location = / {{ return 200 \"{name}\\n\"; }} }} }}\n"));
        std::fs::write(server.folder.path().join("big"), pattern(1 << 20)).unwrap();
        server
    });
    let targets = servers.each_ref().map(Server::target);
    let [a, b, c] = targets.each_ref().map(String::as_str);
    let tapline = Tapline::start(&["lb7", "0", a, b, c, "--policy", "round-robin"]);
    let url = format!("http://{}/", tapline.addr());
    let answer = finish(outside("curl").args(["-sS", &url, &url, &url]));
    let mut names: Vec<_> = answer.stdout.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["one", "three", "two"]);
    let big = outside("curl").args(["-sS", &format!("{url}big")]).output().unwrap();
    assert!(big.stdout == pattern(1 << 20), "{} bytes of another content", big.stdout.len());
    let part = outside("curl").args(["-sS", "-r", "1000-1999", &format!("{url}big")]).output().unwrap();
    assert_eq!(part.stdout, pattern(1 << 20)[1000..2000]);
}

#[test]
fn haproxy_speaks_tls_to_a_name_behind_sni_route() {
    let backend = Tapline::start(&["tls-terminate", "0", "builtin:http", "--names", "a.test"]);
    let mut router = Tapline::start(&["sni-route", "0", &format!("a.test={}", backend.addr())]);
    let haproxy = haproxy(&format!("listen l\n mode http\n bind SOCKET\n server s {} ssl verify none sni str(a.test)\n", router.addr()));
    let answer = finish(outside("curl").args(["-sS", "--unix-socket"]).arg(haproxy.socket()).arg("http://a.test/x"));
    assert!(answer.stdout.contains("request: GET /x\n"), "{answer:?}");
    assert_eq!(router.event("routed")["rule"], "a.test");
}
