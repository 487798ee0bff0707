//! Activations as a framework has them: as modules, as functions, operator by operator.

use opledger_dims::{Activation, Binding};

use crate::call::{Call, Manner};

/// The class of an activation's module.
pub(super) fn class(function: Activation) -> &'static str {
    match function {
        Activation::Relu => "ReLU",
        Activation::ReluSquared => "ReLUSquared",
        Activation::GeluErf | Activation::GeluTanh => "GELU",
        Activation::QuickGelu => "QuickGELU",
        Activation::Silu => "SiLU",
        Activation::Sigmoid => "Sigmoid",
        Activation::Tanh => "Tanh",
        Activation::Softplus => "Softplus",
    }
}

/// The operator of an activation; none when it is written by others.
pub(super) fn operator(function: Activation) -> Option<&'static str> {
    match function {
        Activation::Relu => Some("relu"),
        Activation::GeluErf => Some("gelu"),
        Activation::GeluTanh => Some("gelu_tanh"),
        Activation::QuickGelu | Activation::ReluSquared => None,
        Activation::Silu => Some("silu"),
        Activation::Sigmoid => Some("sigmoid"),
        Activation::Tanh => Some("tanh"),
        Activation::Softplus => Some("softplus"),
    }
}

/// Whether PyTorch's native encoder layer has an activation.
pub(super) fn is_native(function: Activation) -> bool {
    match function {
        Activation::Relu | Activation::GeluErf | Activation::GeluTanh => true,
        Activation::QuickGelu
        | Activation::ReluSquared
        | Activation::Silu
        | Activation::Sigmoid
        | Activation::Tanh
        | Activation::Softplus => false,
    }
}

/// An activation operator by operator; none when no library writes it so.
pub(super) fn spelled(function: Activation, sizes: &Binding) -> Option<Vec<Call>> {
    use Manner::{Function, Operator};
    let calls: &[(&'static str, Manner)] = match function {
        // 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
        Activation::GeluTanh => &[
            ("mul", Operator),
            ("pow", Function),
            ("mul", Operator),
            ("add", Operator),
            ("mul", Operator),
            ("tanh", Function),
            ("add", Operator),
            ("mul", Operator),
        ],
        // x·sigmoid(1.702·x)
        Activation::QuickGelu => &[("mul", Operator), ("sigmoid", Function), ("mul", Operator)],
        Activation::ReluSquared => &[("relu", Function), ("square", Function)],
        Activation::Relu
        | Activation::GeluErf
        | Activation::Silu
        | Activation::Sigmoid
        | Activation::Tanh
        | Activation::Softplus => return None,
    };
    Some(calls.iter().map(|(op, by)| Call::new(op, *by, sizes.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_activation_is_an_operator_or_spelled() {
        for function in Activation::ALL {
            let spelled = spelled(*function, &Binding::new());
            assert!(operator(*function).is_some() || spelled.is_some(), "{function:?}");
        }
    }
}
