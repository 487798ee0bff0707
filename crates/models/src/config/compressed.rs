//! Weights as the library compressed-tensors keeps them (`quant_method` of that name, version 0.20): what
//! `config_groups` says of them, and the tensors that a matrix becomes.

use opledger_dims::Integer;
use serde_json::{Map, Value};

/// The form in which a matrix is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed {
    packing: Packing,
    scales: Scales,
    /// Bytes of a scale.
    scale: u64,
    /// Whether there is a zero for each scale.
    zeros: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    /// A byte each (`compressors/naive_quantized/base.py`).
    Bytes,
    /// In words along the inputs, zeros along the outputs, with the two sizes in 8 bytes each
    /// (`compressors/pack_quantized/base.py`).
    Words { bits: u64 },
    /// Two to a byte; with one more `f32` scale for the whole, or without (`compressors/nvfp4/base.py`,
    /// `compressors/mxfp4/base.py`).
    Halves { whole: bool },
}

/// What has a scale of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scales {
    Whole,
    Rows,
    Groups(u64),
    Blocks([u64; 2]),
}

impl Compressed {
    /// The bytes of a matrix, scales and zeros included.
    pub fn matrix_bytes(self, outs: &Integer, ins: &Integer) -> Integer {
        let columns = match self.scales {
            Scales::Whole | Scales::Rows => 1.into(),
            Scales::Groups(inputs) | Scales::Blocks([_, inputs]) => ceiling(ins, inputs),
        };
        let rows = match self.scales {
            Scales::Whole => 1.into(),
            Scales::Rows | Scales::Groups(_) => outs.clone(),
            Scales::Blocks([outputs, _]) => ceiling(outs, outputs),
        };
        let scales = &columns * rows;
        let (weights, zeros) = match self.packing {
            Packing::Bytes => (outs * ins, scales.clone()),
            Packing::Words { bits } => (
                outs * ceiling(&(ins * bits), 32) * 4u32 + 2u32 * 8u32,
                ceiling(&(outs * bits), 32) * columns * 4u32,
            ),
            Packing::Halves { whole } => {
                (outs * ceiling(ins, 2) + 4u32 * u32::from(whole), Integer::default())
            }
        };
        let zeros = if self.zeros { zeros } else { Integer::default() };
        weights + scales * self.scale + zeros
    }

    /// Reads the one group of a `quantization_config`, for a model whose other weights take `width` bytes
    /// an element, which its scales do as well.
    ///
    /// # Errors
    /// The key of which it is not known how many bytes weights take.
    pub(super) fn read(map: &Map<String, Value>, width: u64) -> Result<Compressed, String> {
        let text = |value: Option<&Value>| value.map_or("missing".to_owned(), Value::to_string);
        let is_set = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
        if is_set(map.get("kv_cache_scheme")) {
            return Err("kv_cache_scheme".to_owned());
        }
        let sparse = map.get("sparsity_config").and_then(Value::as_object);
        if sparse.is_some_and(|sparse| sparse.get("format").is_some_and(|format| format != "dense"))
        {
            return Err("sparsity_config".to_owned());
        }
        if let Some(status) = map.get("quantization_status").filter(|s| *s != "compressed") {
            return Err(format!("quantization_status = {status}"));
        }
        let groups = map.get("config_groups").and_then(Value::as_object);
        let one = groups.and_then(|groups| (groups.len() == 1).then(|| groups.values().next())?);
        let group = one.and_then(Value::as_object).ok_or("not one of config_groups")?;
        if group.get("targets") != Some(&Value::from(vec!["Linear"])) {
            return Err(format!("targets = {}", text(group.get("targets"))));
        }
        // Scales of activations that are found while it runs are not kept.
        let activations = group.get("input_activations").filter(|value| !value.is_null());
        if activations.is_some_and(|of| of.get("dynamic") != Some(&Value::Bool(true))) {
            return Err("scales of activations".to_owned());
        }
        if is_set(group.get("output_activations")) {
            return Err("scales of activations".to_owned());
        }
        let weights = group.get("weights").and_then(Value::as_object).ok_or("no weights")?;
        if is_set(weights.get("scale_dtype")) {
            return Err(format!("scale_dtype = {}", text(weights.get("scale_dtype"))));
        }
        let number = |key: &str| weights.get(key).and_then(Value::as_u64);
        let group_size = number("group_size").filter(|size| *size > 0);
        let strategy = weights.get("strategy");
        let scales = match (strategy.and_then(Value::as_str), group_size) {
            (Some("tensor"), _) => Scales::Whole,
            (Some("channel"), _) => Scales::Rows,
            (Some("group" | "tensor_group"), Some(size)) => Scales::Groups(size),
            (Some("block"), _) => Scales::Blocks(block(weights.get("block_structure"))?),
            _ => return Err(format!("strategy = {}", text(strategy))),
        };
        let symmetric = weights.get("symmetric").is_none_or(|own| *own == Value::Bool(true));
        let format = group.get("format").filter(|format| !format.is_null());
        let format = format.or(map.get("format"));
        let packing = match (format.and_then(Value::as_str), number("num_bits")) {
            (Some("float-quantized" | "int-quantized" | "naive-quantized"), Some(8)) => {
                Packing::Bytes
            }
            (Some("pack-quantized"), Some(bits @ 1..=8)) => Packing::Words { bits },
            (Some("nvfp4-pack-quantized"), Some(4)) if scales == Scales::Groups(16) => {
                Packing::Halves { whole: true }
            }
            (Some("mxfp4-pack-quantized"), Some(4)) if scales == Scales::Groups(32) => {
                Packing::Halves { whole: false }
            }
            (_, bits) => {
                let bits = bits.map_or_else(String::new, |bits| format!(" of {bits} bits"));
                return Err(format!("format = {}{bits}", text(format)));
            }
        };
        let packed = match packing {
            Packing::Bytes => None,
            Packing::Words { .. } => Some(matches!(scales, Scales::Rows | Scales::Groups(_))),
            Packing::Halves { .. } => Some(false),
        };
        if !symmetric && packed == Some(false) {
            return Err("symmetric = false".to_owned());
        }
        let scale = if matches!(packing, Packing::Halves { .. }) { 1 } else { width };
        Ok(Compressed { packing, scales, scale, zeros: !symmetric })
    }
}

fn block(structure: Option<&Value>) -> Result<[u64; 2], String> {
    let sizes = structure.and_then(Value::as_array);
    let sizes: Option<Vec<u64>> = sizes.and_then(|all| all.iter().map(Value::as_u64).collect());
    match sizes.as_deref() {
        Some(&[rows, columns]) if rows > 0 && columns > 0 => Ok([rows, columns]),
        _ => Err("block_structure".to_owned()),
    }
}

impl std::fmt::Display for Compressed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.packing {
            Packing::Bytes => write!(f, "8 bits")?,
            Packing::Words { bits } => write!(f, "{bits} bits")?,
            Packing::Halves { whole: true } => write!(f, "NVFP4")?,
            Packing::Halves { whole: false } => write!(f, "MXFP4")?,
        }
        match self.scales {
            Scales::Whole => write!(f, ", one scale"),
            Scales::Rows => write!(f, ", a scale a row"),
            Scales::Groups(inputs) => write!(f, " in groups of {inputs}"),
            Scales::Blocks([rows, columns]) => write!(f, " in blocks of {rows} × {columns}"),
        }
    }
}

/// A size in whole steps.
pub(super) fn ceiling(size: &Integer, by: u64) -> Integer {
    (size + Integer::from(by) - 1u32) / Integer::from(by.max(1))
}

/// A name; or, behind `re:`, how one begins: letters, `.` for any, `.*` for any number of any, `$` for its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NamePattern {
    Whole(String),
    Begins(Vec<PatternPart>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatternPart {
    Letter(char),
    Any,
    Run,
    End,
}

impl NamePattern {
    /// Reads one; none of other expressions.
    pub(super) fn parse(text: &str) -> Option<NamePattern> {
        let Some(pattern) = text.strip_prefix("re:") else {
            return Some(NamePattern::Whole(text.to_owned()));
        };
        let mut letters = pattern.trim_start_matches('^').chars().peekable();
        let mut pieces = Vec::new();
        while let Some(letter) = letters.next() {
            pieces.push(match letter {
                '.' if letters.next_if_eq(&'*').is_some() => PatternPart::Run,
                '.' => PatternPart::Any,
                '\\' => PatternPart::Letter(letters.next().filter(|next| !next.is_alphanumeric())?),
                '$' => PatternPart::End,
                letter if letter.is_alphanumeric() || "_-/:".contains(letter) => {
                    PatternPart::Letter(letter)
                }
                _ => return None,
            });
        }
        Some(NamePattern::Begins(pieces))
    }

    /// Whether a name is such.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            NamePattern::Whole(whole) => whole == name,
            NamePattern::Begins(pieces) => {
                // How many letters may have been read when a piece has been.
                let letters: Vec<char> = name.chars().collect();
                let mut at = vec![false; letters.len() + 1];
                at[0] = true;
                for piece in pieces {
                    at = (0..at.len())
                        .map(|to| match piece {
                            PatternPart::Letter(letter) => {
                                to > 0 && at[to - 1] && letters[to - 1] == *letter
                            }
                            PatternPart::Any => to > 0 && at[to - 1],
                            PatternPart::Run => at[..=to].contains(&true),
                            PatternPart::End => to == letters.len() && at[to],
                        })
                        .collect();
                }
                at.contains(&true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The bytes of what the library made of `Linear(80, 200)` in bf16 (compressed-tensors 0.20.0).
    #[test]
    fn matrices_take_what_the_library_makes_of_them() {
        let read = |format: &str, weights: Value| {
            let group = json!({"targets": ["Linear"], "weights": weights});
            let map = json!({"format": format, "config_groups": {"group_0": group}});
            Compressed::read(map.as_object().unwrap(), 2)
        };
        for (format, weights, bytes) in [
            ("float-quantized", json!({"num_bits": 8, "strategy": "channel"}), 16_400),
            ("float-quantized", json!({"num_bits": 8, "strategy": "tensor"}), 16_002),
            (
                "int-quantized",
                json!({"num_bits": 8, "strategy": "channel", "symmetric": false}),
                16_600,
            ),
            (
                "float-quantized",
                json!({"num_bits": 8, "strategy": "block", "block_structure": [128, 40]}),
                16_008,
            ),
            (
                "pack-quantized",
                json!({"num_bits": 4, "strategy": "group", "group_size": 16}),
                10_016,
            ),
            (
                "pack-quantized",
                json!({"num_bits": 4, "strategy": "group", "group_size": 16, "symmetric": false}),
                10_516,
            ),
            (
                "pack-quantized",
                json!({"num_bits": 3, "strategy": "channel", "symmetric": false}),
                6_892,
            ),
            (
                "nvfp4-pack-quantized",
                json!({"num_bits": 4, "strategy": "tensor_group", "group_size": 16}),
                9_004,
            ),
        ] {
            let form = read(format, weights.clone()).unwrap();
            assert_eq!(
                form.matrix_bytes(&200.into(), &80.into()),
                bytes.into(),
                "{format} {weights}"
            );
        }
        for (format, weights, problem) in [
            (
                "marlin-24",
                json!({"num_bits": 4, "strategy": "channel"}),
                "format = \"marlin-24\" of 4 bits",
            ),
            (
                "float-quantized",
                json!({"num_bits": 8, "strategy": "token"}),
                "strategy = \"token\"",
            ),
            ("float-quantized", json!({"num_bits": 8, "strategy": "block"}), "block_structure"),
            (
                "nvfp4-pack-quantized",
                json!({"num_bits": 4, "strategy": "group", "group_size": 32}),
                "format = \"nvfp4-pack-quantized\" of 4 bits",
            ),
        ] {
            assert_eq!(read(format, weights).unwrap_err(), problem);
        }
    }

    #[test]
    fn names_begin_as_patterns_say() {
        let matches =
            |pattern: &str, name: &str| NamePattern::parse(pattern).unwrap().matches(name);
        for (pattern, name, expected) in [
            ("lm_head", "lm_head", true),
            ("lm_head", "model.lm_head", false),
            ("re:.*lm_head", "model.lm_head", true),
            ("re:.*lm_head", "model.lm_head.bias", true),
            ("re:.*lm_head$", "model.lm_head.bias", false),
            ("re:.*mlp\\.gate$", "model.layers.3.mlp.gate", true),
            ("re:.*mlp\\.gate$", "model.layers.3.mlp.gate_proj", false),
            ("re:.*mlp.gate$", "model.layers.3.mlp_gate", true),
            ("re:.*mlp\\.gate$", "model.layers.3.mlp_gate", false),
            ("re:visual.*", "model.visual.blocks", false),
            ("re:visual.*", "visual.blocks", true),
            ("re:^model.layers.1.", "model.layers.12.x", true),
            ("re:", "anything", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        for other in ["re:(a|b)", "re:a+", "re:[ab]", "re:\\d", "re:a*", "re:a\\"] {
            assert_eq!(NamePattern::parse(other), None, "{other}");
        }
    }
}
