//! The routing engine.
