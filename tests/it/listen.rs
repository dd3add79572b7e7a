//! `tapline listen`: what arrives is shown.
