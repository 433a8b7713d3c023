//! Chance, from numbers that come in as an argument.

use crate::route::constants::probe::probes::*;

/// A number in 0..1.
pub(in crate::route) fn unit(rng: &mut impl rand::Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32
}

/// A step made shorter or longer by chance: `roll` in 0..1.
pub(in crate::route) fn jittered(roll: f32) -> f32 {
    1.0 - STEP_JITTER + 2.0 * STEP_JITTER * roll
}
