//! Gradients against differences, and the theorem on the graph that computes them.

// A test that meets what it does not expect fails by panicking, helpers included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adjoint;
mod differences;
mod dual;
mod further;
mod losses;
mod optimizers;
mod repeated;
mod rules;
mod windows;
