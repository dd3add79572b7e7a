//! What scanners of TLS servers find.

use crate::support::*;
use serde_json::Value;

#[test]
fn testssl_finds_nothing_above_low_but_that_nobody_revokes_certificates_made_in_memory() {
    let mut tapline = Tapline::start(&["tls-terminate", "0", "builtin:http"]);
    let ca = tapline.event("certificate")["ca"].as_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("findings.json");
    let mut testssl = outside("testssl");
    testssl.args(["--quiet", "--color", "0", "--warnings", "off", "--add-ca", &ca, "--jsonfile"]).arg(&file);
    testssl.args(["--protocols", "--server-preference", "--server-defaults", "--headers", "--vulnerable"]);
    let done = finish(testssl.arg(format!("https://localhost:{}/", tapline.addr().port())));
    let findings: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).unwrap_or_else(|error| panic!("{error}: {done:?}"))).unwrap();
    let is = |severities: &[&str]| {
        let of = |finding: &&Value| severities.contains(&finding["severity"].as_str().unwrap());
        findings.iter().filter(of).map(|finding| finding["id"].as_str().unwrap()).collect::<Vec<_>>()
    };
    // WARN is no finding but a check that was not made: whether testssl waits for a ticket before it leaves is its own race.
    // The authority lives as long as the command: there is no place where it could revoke anything (RFC 9608).
    assert_eq!(is(&["MEDIUM", "HIGH", "CRITICAL", "FATAL"]), ["cert_revocation"], "{findings:#?}");
    assert!(is(&["OK"]).len() > 20, "{findings:#?}");
}
