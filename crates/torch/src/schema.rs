//! The JSON of an exported program, as far as it is read: `torch/_export/serde/schema.py` of PyTorch
//! 2.15, schema version 8. Fields that are not named here are passed over.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The major version of the schema that is read.
pub(crate) const MAJOR: u64 = 8;

#[derive(Debug, Deserialize)]
pub(crate) struct ExportedProgram {
    pub(crate) graph_module: GraphModule,
    #[serde(default)]
    pub(crate) range_constraints: BTreeMap<String, Range>,
    pub(crate) schema_version: SchemaVersion,
    #[serde(default)]
    pub(crate) guards_code: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SchemaVersion {
    pub(crate) major: u64,
    pub(crate) minor: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Range {
    pub(crate) min_val: Option<i64>,
    pub(crate) max_val: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct GraphModule {
    pub(crate) graph: ProgramGraph,
    pub(crate) signature: Signature,
    #[serde(default)]
    pub(crate) module_call_graph: Vec<ModuleCallEntry>,
}

/// What is known of the call of a module, the first of them being the whole program.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ModuleCallEntry {
    pub(crate) signature: Option<ModuleCallSignature>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ModuleCallSignature {
    /// What `forward` calls its arguments; those that `*args` and `**kwargs` take are named one by one.
    pub(crate) forward_arg_names: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ProgramGraph {
    #[serde(default)]
    pub(crate) inputs: Vec<Argument>,
    #[serde(default)]
    pub(crate) outputs: Vec<Argument>,
    pub(crate) nodes: Vec<ProgramNode>,
    pub(crate) tensor_values: BTreeMap<String, TensorMeta>,
    #[serde(default)]
    pub(crate) sym_int_values: BTreeMap<String, SymInt>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ProgramNode {
    pub(crate) target: String,
    pub(crate) inputs: Vec<NamedArgument>,
    pub(crate) outputs: Vec<Argument>,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NamedArgument {
    pub(crate) name: String,
    pub(crate) arg: Argument,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TensorMeta {
    pub(crate) dtype: u64,
    pub(crate) sizes: Vec<SymInt>,
    #[serde(default)]
    pub(crate) strides: Vec<SymInt>,
    pub(crate) storage_offset: Option<SymInt>,
    pub(crate) device: Option<Device>,
    /// Of parameters, whether training changes them.
    #[serde(default = "changed")]
    pub(crate) requires_grad: bool,
}

fn changed() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Device {
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// A size: a number or an expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymInt {
    AsInt(i64),
    AsExpr(Expression),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Expression {
    pub(crate) expr_str: String,
    /// What it was for the example, if that is a whole number.
    #[serde(default, deserialize_with = "whole")]
    pub(crate) hint: Option<i64>,
}

/// `{"as_int": 3}`; none of anything else.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let hint = serde_json::Value::deserialize(from)?;
    Ok(hint.get("as_int").and_then(serde_json::Value::as_i64))
}

/// A size as an argument: a number, or the name of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymIntArgument {
    AsInt(i64),
    AsName(String),
}

/// A real number as an argument: as such, or the name of one that is made of sizes.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SymFloatArgument {
    AsFloat(Real),
    AsName(String),
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TensorArgument {
    pub(crate) name: String,
}

/// A graph as an argument, under a name of its own.
#[derive(Debug, Deserialize)]
struct GraphArgument {
    graph: ProgramGraph,
}

/// A tensor that may be missing in a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OptionalTensor {
    AsTensor(TensorArgument),
    AsNone(IgnoredAny),
}

/// An argument of a call, or a result.
#[derive(Clone, Debug)]
pub(crate) enum Argument {
    None,
    Tensor(String),
    Tensors(Vec<String>),
    OptionalTensors(Vec<Option<String>>),
    Int(i64),
    Ints(Vec<i64>),
    SymInt(SymIntArgument),
    SymInts(Vec<SymIntArgument>),
    /// The name of a real number that is made of sizes.
    SymFloat(String),
    Float(f64),
    Floats(Vec<f64>),
    Bool(bool),
    Bools(Vec<bool>),
    Text(String),
    /// What an operation calls.
    Graph(Box<ProgramGraph>),
    /// What no operation needs to know, such as a device.
    Other,
}

impl ProgramNode {
    /// The names of the tensors that it reads and makes.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &str> {
        let inputs = self.inputs.iter().map(|input| &input.arg);
        inputs.chain(&self.outputs).flat_map(Argument::tensors)
    }
}

impl Argument {
    /// The names of the tensors in it.
    pub(crate) fn tensors(&self) -> Vec<&str> {
        match self {
            Argument::Tensor(name) => vec![name],
            Argument::Tensors(names) => names.iter().map(String::as_str).collect(),
            Argument::OptionalTensors(names) => {
                names.iter().flatten().map(String::as_str).collect()
            }
            Argument::None
            | Argument::Int(_)
            | Argument::Ints(_)
            | Argument::SymInt(_)
            | Argument::SymInts(_)
            | Argument::SymFloat(_)
            | Argument::Float(_)
            | Argument::Floats(_)
            | Argument::Bool(_)
            | Argument::Bools(_)
            | Argument::Text(_)
            | Argument::Graph(_)
            | Argument::Other => Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tagged;
        impl<'de> Visitor<'de> for Tagged {
            type Value = Argument;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an argument, such as {\"as_int\": 1}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Argument, A::Error> {
                let Some(tag) = map.next_key::<String>()? else {
                    return Err(de::Error::custom("an argument without a kind"));
                };
                let names = |all: Vec<TensorArgument>| all.into_iter().map(|t| t.name).collect();
                let argument = match &*tag {
                    "as_none" => map.next_value::<IgnoredAny>().map(|_| Argument::None)?,
                    "as_tensor" => Argument::Tensor(map.next_value::<TensorArgument>()?.name),
                    "as_tensors" => Argument::Tensors(names(map.next_value()?)),
                    "as_optional_tensors" => {
                        let all: Vec<OptionalTensor> = map.next_value()?;
                        let name = |one| match one {
                            OptionalTensor::AsTensor(tensor) => Some(tensor.name),
                            OptionalTensor::AsNone(_) => None,
                        };
                        Argument::OptionalTensors(all.into_iter().map(name).collect())
                    }
                    "as_int" => Argument::Int(map.next_value()?),
                    "as_ints" => Argument::Ints(map.next_value()?),
                    "as_sym_int" => Argument::SymInt(map.next_value()?),
                    "as_sym_ints" => Argument::SymInts(map.next_value()?),
                    "as_sym_float" => match map.next_value::<SymFloatArgument>()? {
                        SymFloatArgument::AsFloat(value) => Argument::Float(value.0),
                        SymFloatArgument::AsName(name) => Argument::SymFloat(name),
                    },
                    "as_float" => Argument::Float(map.next_value::<Real>()?.0),
                    "as_floats" => {
                        let all: Vec<Real> = map.next_value()?;
                        Argument::Floats(all.into_iter().map(|real| real.0).collect())
                    }
                    "as_bool" => Argument::Bool(map.next_value()?),
                    "as_bools" => Argument::Bools(map.next_value()?),
                    "as_string" => Argument::Text(map.next_value()?),
                    "as_graph" => {
                        Argument::Graph(Box::new(map.next_value::<GraphArgument>()?.graph))
                    }
                    _ => map.next_value::<IgnoredAny>().map(|_| Argument::Other)?,
                };
                match map.next_key::<IgnoredAny>()? {
                    Some(_) => Err(de::Error::custom("an argument of two kinds")),
                    None => Ok(argument),
                }
            }

            fn visit_bool<E>(self, _: bool) -> Result<Argument, E> {
                Ok(Argument::Other)
            }
        }
        deserializer.deserialize_any(Tagged)
    }
}

/// A real number; those that JSON has no word for are written as text.
struct Real(f64);

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelled {
            Number(serde_json::Number),
            Text(String),
        }
        let bad = |text: &str| de::Error::custom(format!("`{text}` is no real number"));
        match Spelled::deserialize(deserializer)? {
            Spelled::Number(number) => {
                number.as_f64().map(Real).ok_or_else(|| bad(&number.to_string()))
            }
            Spelled::Text(text) => match &*text {
                "Infinity" => Ok(Real(f64::INFINITY)),
                "-Infinity" => Ok(Real(f64::NEG_INFINITY)),
                "NaN" => Ok(Real(f64::NAN)),
                other => Err(bad(other)),
            },
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Signature {
    pub(crate) input_specs: Vec<InputSpec>,
    pub(crate) output_specs: Vec<OutputSpec>,
}

/// What an input of the graph is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InputSpec {
    UserInput(UserInput),
    Parameter(ParameterSpec),
    Buffer(BufferSpec),
    TensorConstant(ConstantSpec),
    CustomObj(IgnoredAny),
    Token(IgnoredAny),
    ConstantInput(IgnoredAny),
}

#[derive(Debug, Deserialize)]
pub(crate) struct UserInput {
    pub(crate) arg: Argument,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ParameterSpec {
    pub(crate) arg: TensorArgument,
    pub(crate) parameter_name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct BufferSpec {
    pub(crate) arg: TensorArgument,
    pub(crate) buffer_name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ConstantSpec {
    pub(crate) arg: TensorArgument,
    pub(crate) tensor_constant_name: String,
}

/// What an output of the graph is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutputSpec {
    UserOutput(UserInput),
    LossOutput(IgnoredAny),
    BufferMutation(IgnoredAny),
    ParameterMutation(IgnoredAny),
    GradientToParameter(IgnoredAny),
    GradientToUserInput(IgnoredAny),
    UserInputMutation(IgnoredAny),
    Token(IgnoredAny),
}

/// Where the elements of parameters or constants are: `…_weights_config.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct PayloadConfig {
    pub(crate) config: BTreeMap<String, PayloadMeta>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PayloadMeta {
    pub(crate) path_name: String,
    #[serde(default)]
    pub(crate) use_pickle: bool,
    /// Whether training changes it.
    #[serde(default)]
    pub(crate) is_param: bool,
    pub(crate) tensor_meta: Option<TensorMeta>,
}
