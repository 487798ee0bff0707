//! Tests of Opledger as a whole, one binary.

mod architecture;
mod claims;
mod corpus;
mod golden;
mod theorem;
