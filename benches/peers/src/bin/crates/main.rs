//! The worker of the other Rust engines.

mod attention;
mod gemm;

use opledger_peers::Error;
use opledger_peers::problem::{Shared, Spec};
use opledger_peers::serve::{Work, serve};

fn prepare(spec: &Spec) -> Result<Box<dyn Work>, Error> {
    match spec.problem.shared().ok_or("not compared")? {
        Shared::Attention(problem) => attention::prepare(problem, &spec.variant),
        Shared::Gemm(problem) => gemm::prepare(problem, &spec.variant),
    }
}

fn main() -> Result<(), Error> {
    serve(prepare)
}
