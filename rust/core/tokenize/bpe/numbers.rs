//! Numbers of a few characters each.

/// The first bytes of the words in the runs of `number`, of up to `most` characters each; `continues`
/// are the bytes that continue a character, and `before_number` is 1 if the last block ended in a
/// number. `count` is the number of characters of the word so far, from one block to the next.
#[inline(always)]
pub fn number_starts(
    number: u64,
    continues: u64,
    before_number: u64,
    most: u32,
    count: &mut u32,
) -> u64 {
    let mut places = number & !continues;
    if most == 1 {
        return places;
    }
    let first = number & !(number << 1 | before_number);
    let mut starts = 0;
    while places != 0 {
        let bit = places & places.wrapping_neg();
        places ^= bit;
        if first & bit != 0 || *count == most {
            starts |= bit;
            *count = 0;
        }
        *count += 1;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_on_in_the_next_block() {
        let mut count = 0;
        assert_eq!(number_starts(0b1111_0111, 0, 0, 3, &mut count), 0b1001_0001);
        assert_eq!(count, 1);
        assert_eq!(number_starts(0xf << 60, 0, 0, 3, &mut count), 0b1001 << 60);
        assert_eq!(number_starts(0b1_1111, 0, 1, 3, &mut count), 0b100);
        assert_eq!(count, 3);
        // Two characters of two bytes, and one of three.
        assert_eq!(number_starts(0b111_1111, 0b110_1010, 0, 2, &mut count), 0b1_0001);
        assert_eq!(number_starts(0b1011, 0, 1, 1, &mut count), 0b1011);
    }
}
