//! Operations over rows, counted.

use opledger_kernels::{
    Activation, AtomicMeter, Channels, LayerNorm, Mask, ScoreRows, activation, layer_norm, softmax,
};
use opledger_peers::problem::RowOp;
use opledger_peers::serve::Work;
use opledger_peers::{Error, data, problem};
use serde_json::{Value, json};

struct Pass {
    problem: problem::Rows,
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    out: Vec<f32>,
}

pub(super) fn prepare(problem: problem::Rows) -> Box<dyn Work> {
    let (len, width) = (problem.rows * problem.width, problem.width);
    Box::new(Pass {
        problem,
        x: data::uniform("x", len, 0.0, 4.0),
        gamma: data::parameter("norm.weight", width, width),
        beta: data::parameter("norm.bias", width, width),
        out: vec![0.0; len],
    })
}

impl Work for Pass {
    fn run(&mut self) -> Result<(), Error> {
        let Pass { problem, x, gamma, beta, out } = self;
        let (width, meter) = (problem.width, AtomicMeter::new());
        match problem.op {
            RowOp::LayerNorm => {
                let norm = LayerNorm {
                    width,
                    eps: 1e-5,
                    gamma: Some(gamma),
                    beta: Some(beta),
                    channels: Channels::ELEMENTS,
                };
                layer_norm(&norm, x, out, &meter)?;
            }
            RowOp::Softmax => {
                let (queries, keys, mask) = (problem.rows, width, Mask::default());
                softmax(&ScoreRows { batch: 1, heads: 1, queries, keys, mask }, x, out, &meter)?;
            }
            RowOp::Gelu => activation(Activation::GeluErf, x, out, &meter)?,
        }
        Ok(())
    }

    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        self.run()?;
        Ok((self.out.clone(), json!({})))
    }
}
