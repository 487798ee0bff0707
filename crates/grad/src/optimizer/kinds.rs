//! Which optimisers there are.

use std::fmt;

use opledger_ir::Var;

/// How parameters are changed by their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// `p − rate·(g + decay·p)`, as `torch.optim.SGD`.
    Sgd {
        /// The share of the parameter that joins its gradient.
        weight_decay: f64,
    },
    /// The same with `b = momentum·b + g` in the place of the gradient; the state is `momentum_buffer`.
    Momentum {
        /// The share of the buffer that stays.
        momentum: f64,
        /// The share of the parameter that joins its gradient.
        weight_decay: f64,
    },
    /// `(1 − rate·decay)·p − rate/(1 − β₁ᵗ)·m / (√v/√(1 − β₂ᵗ) + ε)` (Loshchilov and Hutter 2019), as
    /// `torch.optim.AdamW`; the state is `exp_avg` and `exp_avg_sq`.
    AdamW {
        /// The shares of both means that stay.
        betas: [f64; 2],
        /// What is added to the root.
        eps: f64,
        /// The share of the parameter that it loses.
        weight_decay: f64,
    },
    /// Adafactor (Shazeer and Stern 2018) as `torch.optim.Adafactor`: of a matrix the state is `row_var` and
    /// `col_var`, a number for each row and for each column, of a vector `variance`.
    Adafactor {
        /// The power of the step that is the share of a new square.
        beta2_decay: f64,
        /// Below which a mean square, and the norm of a parameter, is not taken.
        eps: [f64; 2],
        /// The share of the parameter that it loses.
        weight_decay: f64,
    },
    /// Muon (Jordan et al. 2024) as `torch.optim.Muon`, of the matrices that hidden layers multiply with; its
    /// state is `momentum_buffer`. All else, as tables, what makes the result, gains and biases, changes as by
    /// AdamW, which is what its authors say (README of github.com/KellerJordan/Muon). The Newton–Schulz iterations
    /// are computed in the type of all else, where PyTorch has them in bf16.
    Muon {
        /// The share of the buffer that stays.
        momentum: f64,
        /// The share of a matrix that it loses.
        weight_decay: f64,
        /// How many iterations there are.
        iterations: u32,
        /// AdamW of all else.
        betas: [f64; 2],
        /// The share of all else that it loses.
        other_decay: f64,
    },
}

/// Names of state, as `torch.optim` has them.
pub(super) const BUFFER: &str = "momentum_buffer";
pub(super) const MEAN: &str = "exp_avg";
pub(super) const SQUARES: &str = "exp_avg_sq";

impl Optimizer {
    /// SGD without decay.
    pub const SGD: Optimizer = Optimizer::Sgd { weight_decay: 0.0 };
    /// SGD with a momentum of 0.9.
    pub const MOMENTUM: Optimizer = Optimizer::Momentum { momentum: 0.9, weight_decay: 0.0 };
    /// AdamW as PyTorch has it by default.
    pub const ADAMW: Optimizer =
        Optimizer::AdamW { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 };
    /// Adam (Kingma and Ba 2015) as PyTorch has it by default.
    pub const ADAM: Optimizer =
        Optimizer::AdamW { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 };

    /// Adafactor as PyTorch has it by default in single precision.
    pub const ADAFACTOR: Optimizer = Optimizer::Adafactor {
        beta2_decay: -0.8,
        eps: [f32::EPSILON as f64, 1e-3],
        weight_decay: 0.0,
    };
    /// Muon, and AdamW beside it, as PyTorch has them by default.
    pub const MUON: Optimizer = Optimizer::Muon {
        momentum: 0.95,
        weight_decay: 0.1,
        iterations: 5,
        betas: [0.9, 0.999],
        other_decay: 0.01,
    };

    /// AdamW, if it or what stands beside another one is.
    pub(super) fn adamw(self) -> Option<AdamW> {
        match self {
            Optimizer::Sgd { .. } | Optimizer::Momentum { .. } | Optimizer::Adafactor { .. } => {
                None
            }
            Optimizer::AdamW { betas, eps, weight_decay } => {
                Some(AdamW { betas, eps, weight_decay })
            }
            Optimizer::Muon { betas, other_decay, .. } => {
                Some(AdamW { betas, eps: 1e-8, weight_decay: other_decay })
            }
        }
    }

    /// What its graph is given in the step of a number, from 1, at a learning rate, by the names of inputs.
    pub fn rates(self, step: i32, rate: f64) -> Vec<(&'static str, f64)> {
        let mut rates = vec![(RATE, rate)];
        if let Some(AdamW { betas: [first, second], .. }) = self.adamw() {
            rates.extend([(FIRST, 1.0 - first.powi(step)), (SECOND, 1.0 - second.powi(step))]);
        }
        if let Optimizer::Adafactor { beta2_decay, .. } = self {
            let step = f64::from(step);
            rates.extend([(MOST, 1.0 / step.sqrt()), (SHARE, step.powf(beta2_decay))]);
        }
        rates
    }
}

/// Names of inputs.
pub(super) const RATE: &str = "optimizer.rate";
pub(super) const FIRST: &str = "optimizer.first";
pub(super) const SECOND: &str = "optimizer.second";
pub(super) const MOST: &str = "optimizer.most";
pub(super) const SHARE: &str = "optimizer.share";

/// The constants of AdamW.
#[derive(Clone, Copy)]
pub(super) struct AdamW {
    pub(super) betas: [f64; 2],
    pub(super) eps: f64,
    pub(super) weight_decay: f64,
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Optimizer::Sgd { .. } => "sgd",
            Optimizer::Momentum { .. } => "momentum",
            Optimizer::AdamW { weight_decay, .. } if *weight_decay == 0.0 => "adam",
            Optimizer::AdamW { .. } => "adamw",
            Optimizer::Adafactor { .. } => "adafactor",
            Optimizer::Muon { .. } => "muon",
        })
    }
}

/// What follows the gradients of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// How parameters are changed.
    pub optimizer: Optimizer,
    /// The norm of all gradients together above which they are made shorter, as
    /// `torch.nn.utils.clip_grad_norm_` does.
    pub clip: Option<f64>,
}

/// A parameter or a state, which a step changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// What it was: a parameter, or an input of its shape.
    pub source: Var,
    /// The result that it is afterwards, by name.
    pub result: String,
}
