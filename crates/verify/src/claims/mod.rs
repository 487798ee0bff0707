//! The claims, by source.

mod a_swin;
mod b_attention;
mod b_heads;
mod b_table3;
mod c_hook;
mod d_vit;
mod e_parameters;

use crate::claim::{Claim, ClaimSource};
use crate::permutation;

const SWIN: ClaimSource = unpublished("Swin lecture notes");
const HEADS: ClaimSource = unpublished("self-attention against multi-head attention, a tutorial");
const VASWANI: ClaimSource =
    published("Vaswani et al. 2017, Attention Is All You Need", "arXiv:1706.03762");
const HOOK: ClaimSource = unpublished("counting a model with thop, a tutorial");
const VIT: ClaimSource = unpublished("a ViT attention module, operator by operator, a tutorial");
const PARAMETERS: ClaimSource = unpublished("parameters of a Transformer, a tutorial");

const LIU: ClaimSource = published("Liu et al. 2021, Swin Transformer", "arXiv:2103.14030");

const fn published(name: &'static str, address: &'static str) -> ClaimSource {
    ClaimSource { name, address: Some(address) }
}

/// A text whose address is not known.
const fn unpublished(name: &'static str) -> ClaimSource {
    ClaimSource { name, address: None }
}

/// Every claim, in order.
pub(crate) const ALL: &[Claim] = &[
    Claim {
        id: "A1",
        source: SWIN,
        statement: "query projection HW·C1·C2, key the same, value HW·C1² multiplications",
        settle: a_swin::projections,
    },
    Claim {
        id: "A2",
        source: SWIN,
        statement: "scores HW²·C2, context HW²·C1 multiplications",
        settle: a_swin::products,
    },
    Claim {
        id: "A3",
        source: SWIN,
        statement: "the \"FFN linear\" after attention costs HW·C1² multiplications",
        settle: a_swin::output_projection,
    },
    Claim {
        id: "A4",
        source: SWIN,
        statement: "in all 2·HW·C1·C2 + 2·HW·C1² + HW²·C2 + HW²·C1 multiplications; 4·HW·C² + 2·HW²·C when C1 = C2 = C",
        settle: a_swin::total,
    },
    Claim {
        id: "A5",
        source: SWIN,
        statement: "the width C2 of queries and keys may differ from the width C1 of values",
        settle: a_swin::widths_differ,
    },
    Claim {
        id: "A6",
        source: LIU,
        statement: "Ω(MSA) = 4hwC² + 2(hw)²C; Ω(W-MSA) = 4hwC² + 2M²hwC",
        settle: a_swin::windows,
    },
    Claim {
        id: "B1",
        source: HEADS,
        statement: "worked example: a1=(1,1), a2=(1,0), Wq=[[1,1],[0,1]] give b1=(0.33,0.67), b2=(0.50,0.50)",
        settle: b_attention::worked_example,
    },
    Claim {
        id: "B2",
        source: HEADS,
        statement: "input [32,1024,512]: one head without W_O 60,129,542,144 FLOPs; eight heads with W_O 68,719,476,736; without 60,129,542,144",
        settle: b_attention::tool_numbers,
    },
    Claim {
        id: "B3",
        source: HEADS,
        statement: "heads split from one big projection are per-head projections W_i",
        settle: b_heads::split_is_per_head,
    },
    Claim {
        id: "B4",
        source: VASWANI,
        statement: "the total cost of multi-head attention is similar to that of one full-width head (§3.2.2)",
        settle: b_heads::similar_cost,
    },
    Claim {
        id: "B5",
        source: HEADS,
        statement: "with tokens 2 and 3 exchanged, the output for token 1 does not change",
        settle: permutation::equivariance,
    },
    Claim {
        id: "B6",
        source: HEADS,
        statement: "position encodings break this: fixed sine and cosine, and learned",
        settle: permutation::positions_break_it,
    },
    Claim {
        id: "B7",
        source: VASWANI,
        statement: "Table 3: the parameter column follows from N, d_model, d_ff, h, d_k, d_v with one shared vocabulary",
        settle: b_table3::parameter_column,
    },
    Claim {
        id: "C1",
        source: HOOK,
        statement: "FLOPs are floating-point operations per second",
        settle: c_hook::not_a_rate,
    },
    Claim {
        id: "C2",
        source: HOOK,
        statement: "2 × [MultiheadAttention(64, 4) → Linear 64→128 → ReLU → Dropout → Linear 128→64] on [10, 32, 64] takes 10,485,760 FLOPs and has 33,152 parameters",
        settle: c_hook::small_model,
    },
    Claim {
        id: "C3",
        source: HOOK,
        statement: "diagrams of the model and of the counting run",
        settle: c_hook::diagram,
    },
    Claim { id: "D1", source: VIT, statement: "the qkv projection costs 3C²", settle: d_vit::qkv },
    Claim { id: "D2", source: VIT, statement: "q·kᵀ costs B·N²·C", settle: d_vit::scores },
    Claim {
        id: "D3",
        source: VIT,
        statement: "scaling costs B·N²·h; reshape, permute and dropout at inference cost 0",
        settle: d_vit::scaling,
    },
    Claim { id: "D4", source: VIT, statement: "softmax costs B·N²·h", settle: d_vit::softmax },
    Claim {
        id: "D5",
        source: VIT,
        statement: "the attention-weighted sum costs B·N² (in the summary; B·N²·C in a comment of the code)",
        settle: d_vit::weighted_sum,
    },
    Claim {
        id: "D6",
        source: VIT,
        statement: "the output projection, which the list leaves out, costs B·N·C²",
        settle: d_vit::output_projection,
    },
    Claim {
        id: "D7",
        source: VIT,
        statement: "only scaling and softmax depend on the number of heads, and grow in proportion to it",
        settle: d_vit::heads,
    },
    Claim {
        id: "D8",
        source: VIT,
        statement: "qkv_bias adds 3·B·N·C additions and 3C parameters",
        settle: d_vit::bias,
    },
    Claim {
        id: "E1",
        source: PARAMETERS,
        statement: "the BERT embedding with hidden 1024 has (30522 + 2 + 512)·1024 + 2·1024 parameters",
        settle: e_parameters::bert_embedding,
    },
    Claim {
        id: "E2",
        source: PARAMETERS,
        statement: "attention has C·C + 3·C·e·h parameters without bias, 4·(C² + C) with: 1,050,624 at 512",
        settle: e_parameters::attention,
    },
    Claim {
        id: "E3",
        source: PARAMETERS,
        statement: "grouped-query projections: q C·h·e, k and v C·h_kv·e, o h·e·C, bias optional",
        settle: e_parameters::grouped,
    },
    Claim {
        id: "E4",
        source: PARAMETERS,
        statement: "an FFN has 2·C·d_ff + C + d_ff parameters: 2,099,712 at 512, 2048",
        settle: e_parameters::feed_forward,
    },
    Claim {
        id: "E5",
        source: PARAMETERS,
        statement: "a LayerNorm has 2·C parameters: 1,024 at 512",
        settle: e_parameters::layer_norm,
    },
    Claim {
        id: "E6",
        source: PARAMETERS,
        statement: "an encoder layer (attention, FFN, 2 norms) has 3,152,384 parameters, a decoder layer (2 attentions, FFN, 3 norms) 4,204,032 at 512, 8 heads, 2048",
        settle: e_parameters::layers,
    },
    Claim {
        id: "E7",
        source: PARAMETERS,
        statement: "the language-model head has hidden·V parameters, no bias",
        settle: e_parameters::head,
    },
    Claim {
        id: "E8",
        source: PARAMETERS,
        statement: "only parameters that require gradients are counted",
        settle: e_parameters::trainable,
    },
];
