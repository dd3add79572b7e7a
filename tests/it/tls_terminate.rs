//! `tapline tls-terminate`: TLS in, plaintext out, ends kept apart.
