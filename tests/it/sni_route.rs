//! `tapline sni-route`: names lead to their targets and nowhere else.
