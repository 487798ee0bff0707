//! Opledger runs Transformers on the CPU and keeps an exact ledger of every scalar operation they
//! execute. A formula is believed only when the ledger agrees with it.
//!
//! Build a layer, read its cost off the graph, run it on an `ndarray` array, and hold what was
//! measured against the closed form:
//!
//! ```
//! use ndarray::Array3;
//! use opledger::nn::{AttentionConfig, MultiheadAttention};
//! use opledger::{Binding, Fast, Feeds, Graph, Tensor};
//! use rand::{RngExt, SeedableRng, rngs::StdRng};
//!
//! let mut g = Graph::new();
//! let x = g.input("x", ["b", "n", "c"])?;
//! let config = AttentionConfig { bias: false, out_bias: false, ..AttentionConfig::new("c", "h") };
//! let attention = MultiheadAttention::new(&mut g, &config)?;
//! let y = attention.forward(&mut g, x, x, x)?;
//! g.output("y", y);
//!
//! println!("{}", g.cost().total()); // add = …, mul = 4·b·n·c² + 2·b·n²·c + b·n²·h, div = b·n²·h, …
//! assert_eq!(g.cost().macs(), "4·b·n·c² + 2·b·n²·c".parse()?);
//!
//! let mut rng = StdRng::seed_from_u64(1);
//! let tokens = Array3::from_shape_fn((2, 16, 64), |_| rng.random_range(-1.0_f32..1.0));
//! let sizes = Binding::from_iter([("b", 2), ("n", 16), ("c", 64), ("h", 4)]);
//! let run = Fast::new()?.run(&g, &sizes, &Feeds::seeded(1).with("x", Tensor::from(tokens)))?;
//!
//! let output = run.output("y")?; // an ndarray array
//! assert_eq!(output.shape(), [2, 16, 64]);
//! assert_eq!(run.ledger.useful(), g.counts_at(&sizes)?); // measured = closed form, class by class
//! assert_eq!(run.ledger.macs(), 589_824.into());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A model by name answers the same questions without running, at any size:
//!
//! ```
//! use opledger::{Elem, Model, Quantity};
//!
//! // A published model by its name here or on the hub, a layer, a config.json, or a directory.
//! let model: Model = "meta-llama/Llama-3.1-8B".parse()?;
//! println!("{}", model.formula(Quantity::Macs)); // in b and n, derived from its graph
//! assert_eq!(model.parameters(), 8_030_261_248_i64.into());
//!
//! let prompt = model.at([("n", 4096)])?; // one item, unless `b` says otherwise
//! assert_eq!(prompt.macs()?, 32_938_641_063_936_i64.into());
//! assert_eq!(prompt.matmul_flops()?, prompt.macs()? * 2);
//! assert_eq!(prompt.convention("fvcore")?, 30_739_080_937_472_i64.into()); // what fvcore prints
//! assert_eq!(prompt.explain("macs", "fvcore")?.unaccounted, 0.into()); // and why it differs
//!
//! let memory = prompt.memory(Elem::Bf16)?;
//! assert_eq!(memory.cache, Some((2_u64 * 2 * 32 * 8 * 128 * 4096).into())); // keys and values
//! let generation = model.generation(&[("n", 128)].into_iter().collect(), 256)?;
//! assert_eq!(generation.all.macs, &generation.prompt.macs + &generation.steps.macs);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`dims`] | exact polynomials over named sizes, counts per class of operation |
//! | [`tensor`] | tensors on `ndarray`, the scalar that counts itself, seeded data |
//! | [`ir`] | the graph, its operations, what each costs |
//! | [`interp`] | the fast and the exact interpreter, the ledger, the theorem |
//! | [`grad`] | gradients of a graph, as a graph |
//! | [`nn`] | layers |
//! | [`models`] | models by name |
//! | [`account`] | what a model costs, without running it: every question by name |
//! | [`execute`] | models that run: their weights, prepared runs, generation |
//! | [`weights`] | the files of a model: safetensors, and the configuration beside them |
//! | [`conventions`] | how other tools count, and why two of them differ |
//! | [`verify`] | published claims, settled by execution |
//! | [`audit`] | published tables and formulas, recomputed from graphs |
//! | [`measure`] | the machine, its roofs, and what the kernels reach of them |
//! | [`report`] | results as tables, JSON, CSV, Markdown, LaTeX |
//!
//! [`your_own_layer`] says how a layer of one's own is written, proved and run.

#[doc = include_str!("../../../docs/your-own-layer.md")]
pub mod your_own_layer {}

/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

#[doc(inline)]
pub use opledger_account as account;
#[doc(inline)]
pub use opledger_audit as audit;
#[doc(inline)]
pub use opledger_conventions as conventions;
#[doc(inline)]
pub use opledger_dims as dims;
#[doc(inline)]
pub use opledger_execute as execute;
#[doc(inline)]
pub use opledger_grad as grad;
#[doc(inline)]
pub use opledger_interp as interp;
#[doc(inline)]
pub use opledger_ir as ir;
#[doc(inline)]
pub use opledger_measure as measure;
#[doc(inline)]
pub use opledger_models as models;
#[doc(inline)]
pub use opledger_nn as nn;
#[doc(inline)]
pub use opledger_parallel as parallel;
#[doc(inline)]
pub use opledger_report as report;
#[doc(inline)]
pub use opledger_tensor as tensor;
#[doc(inline)]
pub use opledger_verify as verify;
#[doc(inline)]
pub use opledger_weights as weights;

// Questions that need no run; a `Prepared` run answers what is measured.
pub use opledger_account::{
    AccountError, Attending, Model, SizedModel, StepCounter, Sweep, Training, TrainingOptions,
    TrainingSizes,
};
pub use opledger_dims::{Binding, Class, Counts, Integer, Poly, Quantity, Symbol};
pub use opledger_execute::{Execute, ExecuteError, Generator, TrainedStep, Trainer};
pub use opledger_interp::{
    Fast, Feeds, Ledger, Oracle, Prepared, Quiet, Run, Session, Theorem, compare, prove,
};
pub use opledger_ir::{Elem, Graph, Mask, Shape, Value, Var};
pub use opledger_tensor::Tensor;
