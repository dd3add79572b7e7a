//! `tapline lb7`: requests over backends.
