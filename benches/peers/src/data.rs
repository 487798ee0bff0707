//! Seeded data: the same name gives the same numbers in every worker, bit by bit.

/// FNV-1a of a name, 32 bits.
fn seed(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// `len` numbers in `[centre - radius, centre + radius)`: the finaliser of MurmurHash3 over the
/// position and the name, its upper 24 bits as a number in `[-1, 1)`.
pub fn uniform(name: &str, len: usize, centre: f32, radius: f32) -> Vec<f32> {
    let seed = seed(name);
    let number = |i: usize| {
        let mut z = (i as u32).wrapping_mul(0x9e37_79b9).wrapping_add(seed);
        z = (z ^ (z >> 16)).wrapping_mul(0x85eb_ca6b);
        z = (z ^ (z >> 13)).wrapping_mul(0xc2b2_ae35);
        z ^= z >> 16;
        let unit = (z >> 8) as f32 * (1.0 / 8_388_608.0) - 1.0;
        centre + radius * unit
    };
    (0..len).map(number).collect()
}

/// A parameter of a layer by its name: gains about one, biases about zero, weights by the width
/// that they sum over.
pub fn parameter(name: &str, len: usize, fan_in: usize) -> Vec<f32> {
    match (name.contains("norm"), name.ends_with("weight")) {
        (true, true) => uniform(name, len, 1.0, 0.1),
        (false, true) => uniform(name, len, 0.0, 1.0 / (fan_in as f32).sqrt()),
        (_, false) => uniform(name, len, 0.0, 0.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_python_workers() {
        // Exact values of `data.uniform("x", (3,))` in `data.py`.
        let expected = [-0.629_975_56, -0.454_712_15, -0.099_568_96];
        assert_eq!(uniform("x", 3, 0.0, 1.0), expected);
    }
}
