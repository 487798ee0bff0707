//! How a configuration says that weights are quantised, and the bytes that a matrix takes then.

use opledger_dims::Integer;
use serde_json::Value;

use super::Config;
use super::compressed::{Compressed, NamePattern, ceiling};

/// How the weights of a model are quantised.
#[derive(Clone, Debug)]
pub struct Quantisation {
    /// How.
    pub method: QuantisationMethod,
    skipped: Skipped,
}

/// The linear maps that are not quantised.
#[derive(Clone, Debug)]
enum Skipped {
    /// Without a list those outside the layers, the head above all.
    OutsideLayers,
    /// Those with such a name, or below one: compared as `transformers` does, from the start up to the end
    /// of a word, or from the end (`should_convert_module` in `quantizers/quantizers_utils.py`).
    Named(Vec<String>),
    /// Those whose name is as one of these says (`is_match` of compressed-tensors, `utils/match.py`).
    Matching(Vec<NamePattern>),
}

/// In which form a quantised matrix is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantisationMethod {
    /// FP8 of DeepSeek and Qwen: a byte for each weight and an `f32` scale for each block of rows and
    /// columns, or for the whole (`FP8Linear` of `transformers` 5.23, `integrations/finegrained_fp8.py`).
    Fp8 {
        /// The rows and columns of a block.
        block: Option<[u64; 2]>,
    },
    /// GPTQ: weights packed into words along the inputs, zeros along the outputs, a half-precision scale
    /// for each group of inputs, and the group of each input (`QuantLinear` of AutoGPTQ: `qweight`,
    /// `qzeros`, `scales`, `g_idx`).
    Gptq {
        /// Bits of a weight.
        bits: u64,
        /// Inputs of a group; all of them where there is one group.
        group: Option<u64>,
    },
    /// AWQ: the same packed along the outputs, without the groups of inputs (`WQLinear_GEMM` of
    /// AutoAWQ: `qweight`, `qzeros`, `scales`).
    Awq {
        /// Bits of a weight.
        bits: u64,
        /// Inputs of a group.
        group: Option<u64>,
    },
    /// `LLM.int8()` of bitsandbytes: a byte for each weight and an `f32` scale for each row.
    Int8,
    /// Experts in MXFP4, as those of gpt-oss are published: two weights to a byte and a byte of scale for
    /// each 32 inputs (`Mxfp4GptOssExperts` of `transformers` 5.23, `integrations/mxfp4.py`).
    Mxfp4,
    /// A form of compressed-tensors.
    Compressed(Compressed),
    /// Four bits of bitsandbytes, two weights to a byte: an `f32` scale for each 64 weights and the 16
    /// values, or scales that are quantised to a byte themselves, with an `f32` for each 256 of them,
    /// their 256 values, and their mean.
    Bits4 {
        /// Whether scales are quantised.
        nested: bool,
    },
}

impl QuantisationMethod {
    /// The bytes of a matrix, scales and zeros included.
    pub fn matrix_bytes(self, outs: &Integer, ins: &Integer) -> Integer {
        let groups = |group: Option<u64>| match group {
            Some(group) => ceiling(ins, group),
            None => 1.into(),
        };
        let elements = outs * ins;
        match self {
            QuantisationMethod::Fp8 { block: None } => elements + 4u32,
            QuantisationMethod::Fp8 { block: Some([rows, columns]) } => {
                elements + ceiling(outs, rows) * ceiling(ins, columns) * 4u32
            }
            QuantisationMethod::Gptq { bits, group } => {
                let weights = ins / 32u32 * bits * outs * 4u32;
                let zeros = groups(group) * (outs / 32u32 * bits) * 4u32;
                weights + zeros + groups(group) * outs * 2u32 + ins * 4u32
            }
            QuantisationMethod::Awq { bits, group } => {
                let words = outs / Integer::from(32 / bits.max(1));
                let zeros = groups(group) * (outs / 32u32 * bits);
                ins * words * 4u32 + zeros * 4u32 + groups(group) * outs * 2u32
            }
            QuantisationMethod::Int8 => elements + outs * 4u32,
            QuantisationMethod::Mxfp4 => outs * ceiling(ins, 32) * (16u32 + 1),
            QuantisationMethod::Compressed(form) => form.matrix_bytes(outs, ins),
            QuantisationMethod::Bits4 { nested } => {
                let scales = ceiling(&elements, 64);
                let kept = match nested {
                    false => scales * 4u32,
                    true => ceiling(&scales, 256) * 4u32 + scales + 4u32 * (256u32 + 1),
                };
                ceiling(&elements, 2) + kept + 4u32 * 16u32
            }
        }
    }

    /// Whether the linear maps outside the layers are left as they are whatever is listed.
    pub fn is_for_layers_alone(self) -> bool {
        match self {
            QuantisationMethod::Gptq { .. } => true,
            QuantisationMethod::Fp8 { .. }
            | QuantisationMethod::Awq { .. }
            | QuantisationMethod::Int8
            | QuantisationMethod::Mxfp4
            | QuantisationMethod::Compressed(_)
            | QuantisationMethod::Bits4 { .. } => false,
        }
    }

    /// Whether the matrices of experts are quantised: they alone, as all others are, or in a way that is not
    /// known.
    pub fn of_experts(self) -> OfExperts {
        match self {
            QuantisationMethod::Mxfp4 => OfExperts::Alone,
            QuantisationMethod::Compressed(_) => OfExperts::Unknown,
            QuantisationMethod::Fp8 { .. }
            | QuantisationMethod::Gptq { .. }
            | QuantisationMethod::Awq { .. }
            | QuantisationMethod::Int8
            | QuantisationMethod::Bits4 { .. } => OfExperts::Too,
        }
    }
}

/// What a method does with the matrices of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfExperts {
    /// They are quantised, and nothing else.
    Alone,
    /// They are quantised as other matrices are.
    Too,
    /// How their matrices are kept is not known.
    Unknown,
}

impl std::fmt::Display for QuantisationMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let groups = |group: &Option<u64>| match group {
            Some(group) => format!("groups of {group}"),
            None => "one group".to_owned(),
        };
        match self {
            QuantisationMethod::Fp8 { block: None } => write!(f, "fp8"),
            QuantisationMethod::Fp8 { block: Some([rows, columns]) } => {
                write!(f, "fp8 in blocks of {rows} × {columns}")
            }
            QuantisationMethod::Gptq { bits, group } => {
                write!(f, "GPTQ of {bits} bits in {}", groups(group))
            }
            QuantisationMethod::Awq { bits, group } => {
                write!(f, "AWQ of {bits} bits in {}", groups(group))
            }
            QuantisationMethod::Int8 => write!(f, "bitsandbytes int8"),
            QuantisationMethod::Mxfp4 => write!(f, "MXFP4 of experts"),
            QuantisationMethod::Compressed(form) => write!(f, "compressed-tensors of {form}"),
            QuantisationMethod::Bits4 { nested: false } => write!(f, "bitsandbytes 4 bits"),
            QuantisationMethod::Bits4 { nested: true } => {
                write!(f, "bitsandbytes 4 bits, quantised scales")
            }
        }
    }
}

impl Quantisation {
    /// Whether a linear map is quantised; `in_a_layer` says whether it is repeated with the layers.
    pub fn applies_to(&self, module: &str, in_a_layer: bool) -> bool {
        let listed = |name: &String| {
            let starts = module.strip_prefix(&**name);
            module.ends_with(&**name)
                || starts.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        match &self.skipped {
            Skipped::OutsideLayers => in_a_layer,
            Skipped::Named(_) if self.method.is_for_layers_alone() && !in_a_layer => false,
            Skipped::Named(names) => !names.iter().any(listed),
            Skipped::Matching(names) => !names.iter().any(|name| name.matches(module)),
        }
    }
}

impl Config {
    /// How its `quantization_config` says that weights are quantised.
    ///
    /// # Errors
    /// The method, or the key of it, of which it is not known how many bytes weights take.
    pub fn quantisation(&self) -> Result<Option<Quantisation>, String> {
        let map = match self.map.get("quantization_config") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(map)) => map,
            Some(other) => return Err(other.to_string()),
        };
        let said = |key: &str| match map.get(key) {
            Some(value) => format!("{key} = {value}"),
            None => format!("{key} is missing"),
        };
        let number = |key: &str| map.get(key).and_then(Value::as_u64);
        let flag = |key: &str| map.get(key).and_then(Value::as_bool).unwrap_or(false);
        let group = || match map.get("group_size").and_then(Value::as_i64) {
            Some(-1) => Ok(None),
            Some(group) if group > 0 => Ok(u64::try_from(group).ok()),
            _ => Err(said("group_size")),
        };
        let bits = |known: &[u64]| {
            let bits = number("bits").or(number("w_bit"));
            bits.filter(|bits| known.contains(bits)).ok_or_else(|| said("bits"))
        };
        let method = map.get("quant_method").and_then(Value::as_str);
        let method = match method {
            Some("fp8") => {
                if map.get("activation_scheme").is_some_and(|scheme| scheme != "dynamic") {
                    return Err("fp8 with scales of activations".to_owned());
                }
                let block = match map.get("weight_block_size") {
                    None | Some(Value::Null) => None,
                    Some(size) => {
                        let sizes: Option<Vec<u64>> =
                            size.as_array().and_then(|all| all.iter().map(Value::as_u64).collect());
                        match sizes.as_deref() {
                            Some(&[rows, columns]) if rows > 0 && columns > 0 => {
                                Some([rows, columns])
                            }
                            _ => return Err(format!("weight_block_size = {size}")),
                        }
                    }
                };
                QuantisationMethod::Fp8 { block }
            }
            Some("gptq") => {
                QuantisationMethod::Gptq { bits: bits(&[2, 3, 4, 8])?, group: group()? }
            }
            Some("awq") => {
                let version = map.get("version").and_then(Value::as_str).unwrap_or("gemm");
                if !version.eq_ignore_ascii_case("gemm") {
                    return Err(format!("awq of the version {version}"));
                }
                let group = match map.contains_key("q_group_size") {
                    true => number("q_group_size"),
                    false => group()?,
                };
                QuantisationMethod::Awq { bits: bits(&[4])?, group }
            }
            Some("mxfp4") => QuantisationMethod::Mxfp4,
            Some("compressed-tensors") => {
                let width = self.stored().map_or(16, |elem| elem.bits()) / 8;
                let refused = |why: String| format!("compressed-tensors, {why}");
                let form = Compressed::read(map, width).map_err(refused)?;
                let names = map.get("ignore").and_then(Value::as_array);
                let names = names.into_iter().flatten();
                let unread = |name: &Value| format!("compressed-tensors, ignore = {name}");
                let read = |name: &Value| {
                    name.as_str().and_then(NamePattern::parse).ok_or_else(|| unread(name))
                };
                let skipped = Skipped::Matching(names.map(read).collect::<Result<_, _>>()?);
                let method = QuantisationMethod::Compressed(form);
                return Ok(Some(Quantisation { method, skipped }));
            }
            Some("bitsandbytes") | None if flag("load_in_8bit") => QuantisationMethod::Int8,
            Some("bitsandbytes") | None if flag("load_in_4bit") => {
                QuantisationMethod::Bits4 { nested: flag("bnb_4bit_use_double_quant") }
            }
            Some(other) => return Err(other.to_owned()),
            None => return Err("no quant_method".to_owned()),
        };
        let names = ["modules_to_not_convert", "llm_int8_skip_modules", "ignored_layers"];
        let skipped = names.iter().find_map(|key| map.get(*key)?.as_array());
        let text = |name: &Value| name.as_str().map(str::to_owned);
        let skipped = match skipped {
            None => Skipped::OutsideLayers,
            Some(all) => Skipped::Named(all.iter().filter_map(text).collect()),
        };
        Ok(Some(Quantisation { method, skipped }))
    }
}
