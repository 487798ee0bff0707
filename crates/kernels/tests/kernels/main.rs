//! The kernels against loops.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod attention;
mod common;
mod convolution;
mod experts;
mod experts_outer;
mod gemm;
mod masked;
mod row_program;
mod rows;
mod unbacked;
