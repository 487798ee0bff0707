//! What an operation is for: the lines into which a count and a difference are taken apart.

use std::fmt;

use serde::Deserialize;

macro_rules! shares {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// What an operation is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        pub enum Share {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Share {
            /// Every share.
            pub const ALL: &[Share] = &[$(Share::$variant),*];

            /// The name used in files of conventions and in reports.
            pub fn name(self) -> &'static str {
                match self {
                    $(Share::$variant => $name,)*
                }
            }
        }
    };
}

shares! {
    /// Products of values with weights.
    LinearProducts = "linear products",
    /// Biases of linear maps.
    LinearBias = "linear bias",
    /// Products of a convolution.
    ConvolutionProducts = "convolution products",
    /// Biases of a convolution.
    ConvolutionBias = "convolution bias",
    /// The sum of experts' results, weighted by their scores.
    Combination = "combination of experts",
    /// Other products of values with values.
    Products = "products",
    /// Queries times keys and weights times values.
    AttentionProducts = "attention products",
    /// Products of a forward pass that a step takes once more.
    Again = "products computed again",
    /// Queries or scores times a constant.
    AttentionScale = "attention scale",
    /// Scores kept below a cap.
    AttentionCap = "attention soft cap",
    /// What is added to scores: positions, masks.
    AttentionBias = "attention bias",
    /// Softmax.
    Softmax = "softmax",
    /// LayerNorm and RMSNorm.
    Normalisation = "normalisation",
    /// Pointwise functions.
    Activation = "activation",
    /// Residuals and other sums.
    Addition = "addition",
    /// Gates and other products, element by element.
    Multiplication = "multiplication",
    /// Rotary positions.
    Rotation = "rotation",
    /// Look-ups.
    Embedding = "embedding",
    /// The choice of experts.
    Routing = "routing",
    /// Anything else.
    Other = "other",
}

impl Share {
    /// Whether its multiplications are multiply-accumulates.
    pub fn is_contraction(self) -> bool {
        matches!(
            self,
            Share::LinearProducts
                | Share::ConvolutionProducts
                | Share::Products
                | Share::AttentionProducts
                | Share::Again
        )
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
