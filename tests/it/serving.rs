//! What all serving commands share: limits, signals, COMMAND, exit statuses, the two streams.
