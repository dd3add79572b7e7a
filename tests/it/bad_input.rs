//! Wrong arguments and hostile clients: one clear line, the documented exit status, and the others are served.
