//! `tapline lb4`: connections over backends.
