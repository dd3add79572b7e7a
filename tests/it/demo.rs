//! `tapline demo`.
