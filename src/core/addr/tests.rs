use super::*;

#[test]
fn what_is_written_is_what_is_printed() {
    for text in ["127.0.0.1:8080", "[::1]:8080", "example.test:80", ":8080", "unix:/run/x.sock", "127.0.0.1:0"] {
        assert_eq!(text.parse::<ListenAddr>().unwrap().to_string(), text);
    }
    for text in [
        "127.0.0.1:80",
        "[::1]:80",
        "example.test:80",
        "tls:example.test:443",
        "unix:/run/x.sock",
        "builtin:echo",
        "builtin:http",
        "builtin:discard",
    ] {
        assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
    }
}

#[test]
fn a_bare_port_means_loopback() {
    assert_eq!("4242".parse::<ListenAddr>().unwrap().to_string(), "127.0.0.1:4242");
    assert_eq!("80".parse::<Target>().unwrap().to_string(), "127.0.0.1:80");
}

#[test]
fn wrong_addresses_are_named_with_the_reason() {
    for (text, why) in [
        ("70000", "ports go from 0 to 65535"),
        ("host:70000", "ports go from 0 to 65535"),
        ("host", "is not an address to listen on"),
        ("host:", "no port number"),
        ("::1", "is not an IPv6 address and port"),
        ("", "is not an address to listen on"),
        ("unix:", "no path"),
        ("http://x/", "is not an address to listen on"),
        (":+80", "no port number"),
    ] {
        let error = text.parse::<ListenAddr>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert!("0".parse::<Target>().unwrap_err().to_string().contains("port 0"));
    assert!("builtin:chargen".parse::<Target>().unwrap_err().to_string().contains("not built in"));
}

#[test]
fn options_belong_to_the_target_before_them() {
    let specs = TargetSpec::list("h1:80,weight=3,h2:80").unwrap();
    assert_eq!(
        specs.iter().map(|s| (s.target.to_string(), s.weight.get())).collect::<Vec<_>>(),
        [("h1:80".into(), 3), ("h2:80".into(), 1)]
    );
    let specs = TargetSpec::list("h1:80,backup,max=9,h2:80").unwrap();
    assert_eq!(specs.iter().map(|s| (s.backup, s.most.map(NonZeroUsize::get))).collect::<Vec<_>>(), [(true, Some(9)), (false, None)]);
    for wrong in
        ["weight=3", "backup", "h1:80,max=0", "h1:80,backup=yes", "h1:80,weight=0", "h1:80,weight=x", "h1:80,colour=red", "", "h1:80,"]
    {
        assert!(TargetSpec::list(wrong).is_err(), "{wrong}");
    }
    assert_eq!("unix:/run/a=b.sock".parse::<TargetSpec>().unwrap().target, Target::Unix("/run/a=b.sock".into()));
}
