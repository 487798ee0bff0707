//! Classes of modules by the names that rules of tools have for them.

use crate::schema::ProgramNode;

/// Modules that keep the function they are given (`torch/nn/modules/transformer.py`,
/// `transformers/activations.py`).
const KEEPS_FUNCTIONS: [&str; 4] = [
    "transformers.activations.GELUActivation",
    "transformers.activations.GELUTanh",
    "torch.nn.modules.transformer.TransformerEncoderLayer",
    "torch.nn.modules.transformer.TransformerDecoderLayer",
];

/// The attention of timm that ptflops has a rule for (`ptflops/pytorch_ops.py`).
const TIMM_ATTENTION: &str = "timm.layers.attention.Attention";

/// A call of a module around a node: an entry `key,path,class` of `nn_module_stack`.
pub(crate) struct ModuleCall<'p> {
    /// What tells a call of a module from all others.
    pub(crate) key: &'p str,
    pub(crate) path: &'p str,
    pub(crate) class: &'p str,
}

/// The modules around a node, the outermost first.
pub(crate) fn stack(node: &ProgramNode) -> impl Iterator<Item = ModuleCall<'_>> {
    let stack = node.metadata.get("nn_module_stack").map_or("", String::as_str);
    stack.split(';').filter_map(|entry| {
        let mut parts = entry.split(',');
        let (key, path, class) = (parts.next()?, parts.next()?, parts.next()?);
        Some(ModuleCall { key, path, class })
    })
}

impl ModuleCall<'_> {
    /// Whether a module calls functions that it was given before a tool could replace them.
    pub(crate) fn keeps_functions(&self) -> bool {
        KEEPS_FUNCTIONS.contains(&self.class)
    }

    /// Whether a rule is for a module although it calls others.
    pub(crate) fn is_counted_whole(&self) -> bool {
        self.class == TIMM_ATTENTION
    }
}

/// The name by which rules call the innermost of some modules; none of a class that no tool knows.
pub(crate) fn class(stack: &[ModuleCall<'_>]) -> Option<&'static str> {
    let (innermost, outer) = stack.split_last()?;
    let own = name(innermost.class)?;
    let within = outer.iter().any(ModuleCall::is_counted_whole);
    Some(if own == "Linear" && within { "Linear in Attention" } else { own })
}

fn name(qualified: &str) -> Option<&'static str> {
    Some(match qualified {
        TIMM_ATTENTION => "Attention",
        "torch.nn.modules.linear.Linear" => "Linear",
        "torch.nn.modules.conv.Conv1d" => "Conv1d",
        "torch.nn.modules.conv.Conv2d" => "Conv2d",
        "torch.nn.modules.conv.Conv3d" => "Conv3d",
        "torch.nn.modules.normalization.LayerNorm" => "LayerNorm",
        "torch.nn.modules.normalization.RMSNorm" => "RMSNorm",
        "torch.nn.modules.normalization.GroupNorm" => "GroupNorm",
        "timm.layers.norm.LayerNorm"
        | "timm.layers.norm.LayerNorm2d"
        | "torchvision.models.convnext.LayerNorm2d" => "LayerNorm subclass",
        "torch.nn.modules.batchnorm.BatchNorm1d" => "BatchNorm1d",
        "torch.nn.modules.batchnorm.BatchNorm2d" => "BatchNorm2d",
        "torch.nn.modules.batchnorm.BatchNorm3d" => "BatchNorm3d",
        "torch.nn.modules.rnn.LSTM" => "LSTM",
        "torch.nn.modules.rnn.GRU" => "GRU",
        "torch.nn.modules.rnn.RNN" => "RNN",
        "torch.nn.modules.sparse.Embedding" => "Embedding",
        "torch.nn.modules.dropout.Dropout" => "Dropout",
        "torch.nn.modules.activation.ReLU" => "ReLU",
        "torch.nn.modules.activation.ReLU6" => "ReLU6",
        "torch.nn.modules.activation.LeakyReLU" => "LeakyReLU",
        "torch.nn.modules.activation.ELU" => "ELU",
        "torch.nn.modules.activation.GELU" => "GELU",
        "torch.nn.modules.activation.SiLU" => "SiLU",
        "torch.nn.modules.activation.Tanh" => "Tanh",
        "torch.nn.modules.activation.Softmax" => "Softmax",
        "torch.nn.modules.activation.LogSoftmax" => "LogSoftmax",
        "torch.nn.modules.activation.Softmin" => "Softmin",
        "torch.nn.modules.activation.Softmax2d" => "Softmax2d",
        "torch.nn.modules.linear.Bilinear" => "Bilinear",
        "torchvision.ops.deform_conv.DeformConv2d" => "DeformConv2d",
        "torch.nn.modules.activation.MultiheadAttention" => "MultiheadAttention",
        "torch.nn.modules.pooling.AdaptiveAvgPool1d" => "AdaptiveAvgPool1d",
        "torch.nn.modules.pooling.AdaptiveAvgPool2d" => "AdaptiveAvgPool2d",
        "torch.nn.modules.pooling.AdaptiveAvgPool3d" => "AdaptiveAvgPool3d",
        "torch.nn.modules.pooling.AvgPool1d" => "AvgPool1d",
        "torch.nn.modules.pooling.AvgPool2d" => "AvgPool2d",
        "torch.nn.modules.pooling.AvgPool3d" => "AvgPool3d",
        "torch.nn.modules.pooling.MaxPool1d" => "MaxPool1d",
        "torch.nn.modules.pooling.MaxPool2d" => "MaxPool2d",
        "torch.nn.modules.pooling.MaxPool3d" => "MaxPool3d",
        "torch.nn.modules.pooling.AdaptiveMaxPool1d" => "AdaptiveMaxPool1d",
        "torch.nn.modules.pooling.AdaptiveMaxPool2d" => "AdaptiveMaxPool2d",
        "torch.nn.modules.pooling.AdaptiveMaxPool3d" => "AdaptiveMaxPool3d",
        "torch.nn.modules.conv.ConvTranspose1d" => "ConvTranspose1d",
        "torch.nn.modules.conv.ConvTranspose2d" => "ConvTranspose2d",
        "torch.nn.modules.conv.ConvTranspose3d" => "ConvTranspose3d",
        "torch.nn.modules.instancenorm.InstanceNorm1d" => "InstanceNorm1d",
        "torch.nn.modules.instancenorm.InstanceNorm2d" => "InstanceNorm2d",
        "torch.nn.modules.instancenorm.InstanceNorm3d" => "InstanceNorm3d",
        "torch.nn.modules.batchnorm.SyncBatchNorm" => "SyncBatchNorm",
        "torch.nn.modules.rnn.LSTMCell" => "LSTMCell",
        "torch.nn.modules.rnn.GRUCell" => "GRUCell",
        "torch.nn.modules.rnn.RNNCell" => "RNNCell",
        "torch.nn.modules.activation.PReLU" => "PReLU",
        "torch.nn.modules.upsampling.Upsample" => "Upsample",
        "torch.nn.modules.upsampling.UpsamplingBilinear2d" => "UpsamplingBilinear2d",
        "torch.nn.modules.upsampling.UpsamplingNearest2d" => "UpsamplingNearest2d",
        "torch.nn.modules.pixelshuffle.PixelShuffle" => "PixelShuffle",
        "torch.nn.modules.padding.ZeroPad2d" => "ZeroPad2d",
        "transformers.pytorch_utils.Conv1D" => "Conv1D",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Classes that tools have hooks for, by the tool (`tests/archives/printed.py`).
    #[test]
    fn every_class_that_a_tool_hooks_has_a_name() {
        let hooked: std::collections::BTreeMap<String, Vec<String>> =
            serde_json::from_str(include_str!("../tests/archives/hooked.json")).unwrap();
        assert!(hooked.len() > 3);
        for (tool, classes) in hooked {
            let unnamed: Vec<_> = classes.iter().filter(|class| name(class).is_none()).collect();
            assert_eq!(unnamed, [""; 0], "{tool}");
        }
    }
}
