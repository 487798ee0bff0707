//! The matrix product `A·Wᵀ` of other crates, through safe interfaces.

use candle_core::{Device, Tensor};
use faer::linalg::matmul::matmul;
use faer::{Accum, Par};
use gemmkit::{MatMut, MatRef, PackedRhs, Parallelism};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use opledger_peers::Error;
use opledger_peers::problem::Gemm;
use opledger_peers::serve::Work;
use serde_json::{Value, json};

/// A way to compute `c = a·wᵀ`.
type Product = fn(&Gemm, &[f32], &[f32], &mut [f32]) -> Result<(), Error>;

struct Into {
    problem: Gemm,
    data: [Vec<f32>; 2],
    c: Vec<f32>,
    product: Product,
}

pub(super) fn prepare(problem: Gemm, variant: &str) -> Result<Box<dyn Work>, Error> {
    let data = problem.data();
    let c = vec![0.0; problem.m * problem.n];
    let product: Product = match variant {
        "matrixmultiply" => matrixmultiply,
        "faer" => faer,
        "gemmkit" => gemmkit,
        "gemm" => return candle(problem, data),
        "gemmkit-packed" => {
            let [a, w] = data;
            let w = gemmkit::prepack_rhs(MatRef::from_col_major(&w, problem.k, problem.n));
            return Ok(Box::new(Packed { problem, a, w, c }));
        }
        _ => return Err(format!("no variant {variant}").into()),
    };
    Ok(Box::new(Into { problem, data, c, product }))
}

impl Work for Into {
    fn run(&mut self) -> Result<(), Error> {
        (self.product)(&self.problem, &self.data[0], &self.data[1], &mut self.c)
    }

    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        self.run()?;
        Ok((self.c.clone(), json!({})))
    }
}

/// Its threads follow `MATMUL_NUM_THREADS`.
fn matrixmultiply(p: &Gemm, a: &[f32], w: &[f32], c: &mut [f32]) -> Result<(), Error> {
    let a = ArrayView2::from_shape((p.m, p.k), a)?;
    let w = ArrayView2::from_shape((p.n, p.k), w)?;
    let mut c = ArrayViewMut2::from_shape((p.m, p.n), c)?;
    general_mat_mul(1.0, &a, &w.t(), 0.0, &mut c);
    Ok(())
}

fn faer(p: &Gemm, a: &[f32], w: &[f32], c: &mut [f32]) -> Result<(), Error> {
    let a = faer::MatRef::from_row_major_slice(a, p.m, p.k);
    let w = faer::MatRef::from_row_major_slice(w, p.n, p.k);
    let c = faer::MatMut::from_row_major_slice_mut(c, p.m, p.n);
    let threads = rayon::current_num_threads();
    let par = if threads == 1 { Par::Seq } else { Par::rayon(threads) };
    matmul(c, Accum::Replace, a, w.transpose(), 1.0, par);
    Ok(())
}

fn threads() -> Parallelism {
    match rayon::current_num_threads() {
        1 => Parallelism::Serial,
        threads => Parallelism::Rayon(threads),
    }
}

fn gemmkit(p: &Gemm, a: &[f32], w: &[f32], c: &mut [f32]) -> Result<(), Error> {
    let a = MatRef::from_row_major(a, p.m, p.k);
    let w = MatRef::from_col_major(w, p.k, p.n);
    gemmkit::gemm(1.0, a, w, 0.0, MatMut::from_row_major(c, p.m, p.n), threads());
    Ok(())
}

/// The result stored by columns, the only layout a packed right factor is for.
struct Packed {
    problem: Gemm,
    a: Vec<f32>,
    w: PackedRhs<f32>,
    c: Vec<f32>,
}

impl Work for Packed {
    fn run(&mut self) -> Result<(), Error> {
        let Gemm { m, k, n } = self.problem;
        let a = MatRef::from_row_major(&self.a, m, k);
        let c = MatMut::from_col_major(&mut self.c, m, n);
        gemmkit::gemm_packed_b(1.0, a, &self.w, 0.0, c, threads());
        Ok(())
    }

    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        self.run()?;
        let c = ArrayView2::from_shape((self.problem.n, self.problem.m), &self.c)?;
        Ok((c.t().iter().copied().collect(), json!({})))
    }
}

/// candle hands a product to `gemm`, with views as strides.
struct Candle {
    a: Tensor,
    w: Tensor,
}

fn candle(p: Gemm, [a, w]: [Vec<f32>; 2]) -> Result<Box<dyn Work>, Error> {
    let a = Tensor::from_vec(a, (p.m, p.k), &Device::Cpu)?;
    let w = Tensor::from_vec(w, (p.n, p.k), &Device::Cpu)?.t()?;
    Ok(Box::new(Candle { a, w }))
}

impl Work for Candle {
    fn run(&mut self) -> Result<(), Error> {
        drop(self.a.matmul(&self.w)?);
        Ok(())
    }

    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        let y = self.a.matmul(&self.w)?;
        Ok((y.flatten_all()?.to_vec1()?, json!({})))
    }
}
