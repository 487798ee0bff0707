//! Tests of Opledger as a whole, one binary.

mod architecture;
mod golden;
mod theorem;
