//! The worker of the other Rust engines.

mod attention;
mod gemm;

use opledger_peers::Error;
use opledger_peers::problem::{Problem, Spec};
use opledger_peers::serve::{Work, serve};

fn prepare(spec: &Spec) -> Result<Box<dyn Work>, Error> {
    match spec.problem {
        Problem::Attention(problem) => attention::prepare(problem, &spec.variant),
        Problem::Gemm(problem) => gemm::prepare(problem, &spec.variant),
        Problem::Layer(_) | Problem::Rows(_) => Err("not compared".into()),
    }
}

fn main() -> Result<(), Error> {
    serve(prepare)
}
