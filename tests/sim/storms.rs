//! Random storms.
