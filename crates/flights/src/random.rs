//! Random numbers that are equal for equal seeds, on every machine and in every release of this program.
//!
//! SplitMix64 (Steele, Lea, Flood, 2014): one addition and three multiply-shift steps; written out here because a
//! library may change its algorithm between versions.

/// A sequence of random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence number `stream` of `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed ^ stream.wrapping_mul(0xa076_1d64_78bd_642f));
        // Neighbouring seeds differ in few bits: mix before the first use.
        let mixed = random.next_u64();
        Self(mixed)
    }

    /// All 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `low..high`; `low` if the range is empty.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        // The bias of the remainder is below 2^-40 for the small ranges used here.
        low + self.next_u64().checked_rem(high.saturating_sub(low)).unwrap_or(0)
    }

    /// `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        // 53 bits fill a double's fraction.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of `items`, or `None` if there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(usize::try_from(self.between(0, items.len() as u64)).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_is_fixed_for_all_time() {
        let mut random = Random::new(1, 0);
        let numbers = [random.next_u64(), random.next_u64(), random.next_u64()];
        let mut again = Random::new(1, 0);
        assert_eq!(numbers, [again.next_u64(), again.next_u64(), again.next_u64()]);
        // SplitMix64's published first outputs for the state 0.
        let mut zero = Random(0);
        assert_eq!([zero.next_u64(), zero.next_u64()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn ranges_are_kept() {
        let mut random = Random::new(7, 7);
        assert!((0..1000).all(|_| (3..9).contains(&random.between(3, 9))));
        assert!((0..1000).all(|_| (0.0..1.0).contains(&random.unit())));
        assert_eq!(random.between(5, 5), 5);
        assert_eq!(random.pick::<u8>(&[]), None);
    }
}
