//! Numbers that nobody expects, for the moment at which something is killed.

/// The generator of Marsaglia's "Xorshift RNGs", section 4.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers that follow from `seed`, which is not 0.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one, from 0 to `limit` - 1.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
