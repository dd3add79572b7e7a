//! `tapline scan`: ports and what is said of them.
