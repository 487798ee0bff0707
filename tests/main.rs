//! Tests of Opledger as a whole, one binary.

// A test that meets what it does not expect fails by panicking, helpers included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod architecture;
mod choices;
mod claims;
mod conventions;
mod corpus;
mod einsums;
mod families;
mod generation;
mod gguf;
mod golden;
mod gradients;
mod joint;
#[cfg(target_os = "linux")]
mod memory;
mod minilm;
mod models;
mod onnx;
mod operations;
mod programs;
mod quantised;
mod rebuild;
mod saved;
mod sizes;
mod steps;
mod theorem;
mod training;
mod windows;
