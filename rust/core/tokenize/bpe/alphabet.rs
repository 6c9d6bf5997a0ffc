//! The alphabet of byte-level vocabularies: a printable character for each byte.

/// The character that encodes a byte: the byte itself if it is printable, else one above U+00FF.
fn character(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        _ => {
            let unprintable = |byte: &u8| !matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
            let number = (0..byte).filter(unprintable).count();
            char::from_u32(0x100 + u32::try_from(number).unwrap_or(0)).unwrap_or('\0')
        }
    }
}

/// Characters to bytes.
pub struct Alphabet {
    bytes: [Option<u8>; 0x180],
}

impl Alphabet {
    /// The one alphabet that there is.
    pub fn new() -> Self {
        let mut bytes = [None; 0x180];
        for byte in 0..=u8::MAX {
            bytes[character(byte) as usize] = Some(byte);
        }
        Self { bytes }
    }

    /// The bytes that `token` encodes; `None` if it contains a character outside the alphabet.
    pub fn bytes(&self, token: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(token.len());
        for c in token.chars() {
            bytes.push(self.bytes.get(c as usize).copied().flatten()?);
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        let alphabet = Alphabet::new();
        for byte in 0..=u8::MAX {
            assert_eq!(alphabet.bytes(&character(byte).to_string()), Some(vec![byte]));
        }
        assert_eq!(alphabet.bytes("Ġthe"), Some(b" the".to_vec()));
        assert_eq!(alphabet.bytes("ĊĊ"), Some(b"\n\n".to_vec()));
        assert_eq!(alphabet.bytes("Ãł"), Some("à".as_bytes().to_vec()));
        assert_eq!(alphabet.bytes("a b"), None);
    }
}
