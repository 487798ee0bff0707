//! The worker of Opledger.

mod attention;
mod encoder;
mod gemm;
mod layer;
mod rows;
mod step;

use opledger_peers::Error;
use opledger_peers::problem::{Problem, Spec};
use opledger_peers::serve::{Work, serve};

fn prepare(spec: &Spec) -> Result<Box<dyn Work>, Error> {
    match spec.problem.clone() {
        Problem::Attention(problem) => attention::prepare(problem, &spec.variant),
        Problem::Layer(problem) => layer::prepare(problem, &spec.variant),
        Problem::Step(problem) => step::prepare(problem, &spec.variant),
        Problem::Gemm(problem) => gemm::prepare(problem, &spec.variant),
        Problem::Rows(problem) => Ok(rows::prepare(problem)),
        Problem::Encoder(problem) => encoder::prepare(&problem, &spec.variant),
    }
}

fn main() -> Result<(), Error> {
    // The thread that asks computes as well, as in the command, and as the other engines have it.
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?;
    serve(prepare)
}
