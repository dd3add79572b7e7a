//! `tapline sni-peek`: hellos are read and shown.
