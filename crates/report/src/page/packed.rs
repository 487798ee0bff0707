//! Bytes as letters that an element of HTML may hold, in few.

use miniz_oxide::deflate::compress_to_vec_zlib;

/// The letters of RFC 4648, §4.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// How much is tried to make it short, of 10.
const LEVEL: u8 = 9;

/// Bytes in base64, deflated (RFC 1950), which has a sum that tells whether they are whole.
pub(super) fn packed(bytes: &[u8]) -> String {
    base64(&compress_to_vec_zlib(bytes, LEVEL))
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |place: usize| u32::from(three.get(place).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > three.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_of_the_standard() {
        // RFC 4648, §10.
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (bytes, letters) in
            cases.into_iter().chain([("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")])
        {
            assert_eq!(base64(bytes.as_bytes()), letters);
        }
    }

    #[test]
    fn what_repeats_takes_little() {
        let text = "b*n²*h*e - ".repeat(10_000);
        assert!(packed(text.as_bytes()).len() < text.len() / 50);
    }
}
