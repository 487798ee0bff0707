//! The matrix product `A·Wᵀ`, counted, of weights as they are stored and packed before.

use opledger_kernels::{AtomicMeter, Gemm, MatrixBatch, PackedMatrix, Right, gemm};
use opledger_peers::serve::Work;
use opledger_peers::{Error, problem};
use serde_json::{Value, json};

struct Product {
    problem: problem::Gemm,
    data: [Vec<f32>; 2],
    packed: Option<PackedMatrix>,
    c: Vec<f32>,
}

pub(super) fn prepare(problem: problem::Gemm, variant: &str) -> Result<Box<dyn Work>, Error> {
    let problem::Gemm { m, k, n } = problem;
    let data = problem.data();
    let packed = match variant {
        "gemm" => None,
        "packed" => Some(PackedMatrix::new(&data[1], [k, n], [1, k])?),
        _ => return Err(format!("no variant {variant}").into()),
    };
    Ok(Box::new(Product { problem, data, packed, c: vec![0.0; m * n] }))
}

fn matrix(data: &[f32], row_stride: usize, col_stride: usize) -> MatrixBatch<'_> {
    MatrixBatch { data, offsets: &[0], row_stride, col_stride }
}

impl Work for Product {
    fn run(&mut self) -> Result<(), Error> {
        let problem::Gemm { m, k, n } = self.problem;
        let [a, w] = &self.data;
        let b = match &self.packed {
            Some(packed) => Right::Packed(packed),
            None => Right::Plain(matrix(w, 1, k)),
        };
        let product = Gemm { batch: 1, m, k, n, a: matrix(a, k, 1), b };
        Ok(gemm(&product, &mut self.c, &AtomicMeter::new())?)
    }

    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        self.run()?;
        Ok((self.c.clone(), json!({})))
    }
}
