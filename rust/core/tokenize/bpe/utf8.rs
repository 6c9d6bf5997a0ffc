//! Code points in bytes.

/// Whether this is a continuation byte.
#[inline]
pub fn continues(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The length of a character that begins with `lead`.
#[inline]
pub fn length(lead: u8) -> Option<usize> {
    match lead {
        0..0x80 => Some(1),
        0xc0..0xe0 => Some(2),
        0xe0..0xf0 => Some(3),
        0xf0..0xf8 => Some(4),
        _ => None,
    }
}

/// The code point that begins at `at`, and its length. For invalid UTF-8 the result is arbitrary, but
/// never a code point above U+10FFFF.
#[inline]
pub fn decode(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let tail = |offset: usize| bytes.get(at + offset).map(|&byte| u32::from(byte & 0x3f));
    let lead = *bytes.get(at)?;
    let first = u32::from(lead);
    match lead {
        0..0x80 => Some((first, 1)),
        0xc0..0xe0 => Some(((first & 0x1f) << 6 | tail(1)?, 2)),
        0xe0..0xf0 => Some(((first & 0xf) << 12 | tail(1)? << 6 | tail(2)?, 3)),
        0xf0..0xf8 => {
            let code = (first & 7) << 18 | tail(1)? << 12 | tail(2)? << 6 | tail(3)?;
            (code < 0x11_0000).then_some((code, 4))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_characters_come_back() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let mut bytes = [0; 4];
            let text = c.encode_utf8(&mut bytes).as_bytes();
            assert_eq!(decode(text, 0), Some((c as u32, text.len())));
            assert_eq!(length(text[0]), Some(text.len()));
        }
        assert_eq!(decode(b"\xe3\x81", 0), None);
        assert_eq!(decode(b"\xf7\xbf\xbf\xbf", 0), None);
    }
}
