//! What a page knows: formulas of models, each text once, and what they are evaluated at.

use std::collections::BTreeMap;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

/// Which formula of the page, by its place.
pub type FormulaId = usize;

/// The data of a page. Formulas are written as in every table, with all sizes as symbols.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Page {
    /// Of which version of the command.
    pub version: &'static str,
    /// The classes of operations, in the order of [`PageCost`].
    pub classes: Vec<&'static str>,
    /// What numbers mean.
    pub conventions: BTreeMap<&'static str, &'static str>,
    /// The types that parameters and caches are stored in, and their bits.
    pub types: Vec<(&'static str, u64)>,
    /// The kinds of rows.
    pub kinds: Vec<&'static str>,
    /// Every formula once, its factors parted by `*`, which is shorter than `·`.
    #[serde(serialize_with = "parted")]
    pub formulas: Vec<String>,
    /// Every path once, written as how much of the one before it begins with, and the rest.
    #[serde(serialize_with = "after_another")]
    pub paths: Vec<String>,
    /// Every cost of a row once.
    pub costs: Vec<PageCost>,
    /// Every list of paths, or of costs, by place, once.
    pub lists: Vec<Vec<usize>>,
    /// What models are: several may be one.
    pub structures: Vec<PageStructure>,
    /// Training steps of them.
    pub trainings: Vec<PageTraining>,
    /// Tools that count a forward pass.
    pub tools: Vec<PageTool>,
    /// The models.
    pub models: Vec<PageModel>,
    /// What devices can do.
    pub devices: Vec<PageDevice>,
    /// How sizes follow from configurations of other models.
    pub readers: Vec<PageReader>,
    /// All keys of their configurations: those that a reader does not tell of are not read there.
    pub known: Vec<String>,
    /// Keys of configurations that change nothing in any family.
    pub harmless: Vec<&'static str>,
    /// Those that no formula is known of, and why.
    pub refused: Vec<(String, String)>,
}

/// What a row costs: its kind, by place; scalar operations, class and formula in turn, those that are not
/// none; macs, parameters, bytes read, bytes written, both together where reals take 16 bits, and what of caches
/// is not needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct PageCost(
    /// The kind.
    pub usize,
    /// Scalar operations.
    pub Vec<FormulaId>,
    /// Multiplications inside contractions, parameters, bytes read, bytes written, bytes read and written where
    /// reals are `bf16` and not `f32`, elements of caches among them of which nothing is needed.
    pub [FormulaId; 6],
);

/// A computation, its sizes being symbols.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct PageStructure {
    /// Sizes that are given, those of the model among them.
    pub free: Vec<String>,
    /// What follows from them, in this order: a name and an expression, which is a formula's place or an
    /// operation with two expressions.
    pub steps: Vec<(String, PageExpression)>,
    /// Sizes that are products of two.
    pub products: Vec<[String; 3]>,
    /// What symbols stand for, in words.
    pub definitions: Vec<String>,
    /// Which size is what: `batch`, `tokens`, `past`, `memory`, `images`.
    pub roles: BTreeMap<&'static str, String>,
    /// What of the sizes that a user gives is at least so much, and what it is.
    pub least: Vec<(FormulaId, u64, String)>,
    /// Its rows, each a module with parameters of its own or an operation outside such: where they are and what
    /// they cost, two lists by place.
    pub rows: [usize; 2],
    /// Parameters that one token meets.
    pub active: FormulaId,
    /// Elements of its cache, of tokens that are all in it.
    pub cache: Option<PageCache>,
}

/// The elements of a cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct PageCache {
    /// Those that it holds.
    pub held: FormulaId,
    /// Those that were computed.
    pub given: FormulaId,
    /// Those of both that are states, which are `f32`.
    pub states: FormulaId,
}

/// An integer that follows from sizes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum PageExpression {
    /// A formula.
    Formula(FormulaId),
    /// `add`, `sub`, `mul`, `floor`, `min`, `max` or `gcd` of two.
    Both(&'static str, Box<PageExpression>, Box<PageExpression>),
}

/// A published model.
#[derive(Clone, Debug, Serialize)]
pub struct PageModel {
    /// Its name.
    pub name: String,
    /// Its family.
    pub family: String,
    /// Where it is published.
    pub source: String,
    /// The type that bytes are told in unless another is asked for.
    pub storage: &'static str,
    /// Its own sizes, as texts of digits.
    pub sizes: BTreeMap<String, String>,
    /// How many tokens it has positions for, the key that says so, and whether more are computed.
    pub positions: Option<(u64, &'static str, bool)>,
    /// What a reader has to know.
    pub notes: Vec<String>,
    /// Its computation, by place.
    pub plain: usize,
    /// The same with a cache, where it has one.
    pub cached: Option<usize>,
    /// A run while it generates, where it has a cache and no encoder: scores of the last token alone.
    pub generating: Option<usize>,
    /// A training step of it, by place.
    pub training: Option<usize>,
    /// Why there is none.
    pub untrained: Option<String>,
    /// What each tool prints, in the order of [`Page::tools`].
    pub tools: Vec<PageToolCount>,
}

/// A tool that counts.
#[derive(Clone, Debug, Serialize)]
pub struct PageTool {
    /// Its name and version.
    pub name: String,
    /// What one unit of its number is.
    pub unit: String,
}

/// What a tool prints for a model that is computed without a cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PageToolCount {
    /// A formula in the sizes that a user gives.
    Formula(FormulaId),
    /// Nothing, and why.
    Nothing(String),
}

/// A training step of one batch: forward pass, loss, gradients and what an optimiser does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct PageTraining {
    /// What is made smaller.
    pub loss: &'static str,
    /// Of which result.
    pub result: String,
    /// What follows from the sizes that are given, as of [`PageStructure`].
    pub steps: Vec<(String, PageExpression)>,
    /// Sizes that are products of two, one of which may follow from the others.
    pub products: Vec<[String; 3]>,
    /// What is at least so much, as of [`PageStructure`].
    pub least: Vec<(FormulaId, u64, String)>,
    /// Elements of parameters.
    pub weights: FormulaId,
    /// Those of parameters that have a gradient.
    pub trained: FormulaId,
    /// What it costs, by what is computed again.
    pub policies: Vec<PageRecompute>,
    /// What is done with gradients.
    pub optimizers: Vec<PageOptimizer>,
}

/// A step by what of the forward pass is computed again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct PageRecompute {
    /// As `opledger train --recompute` calls it.
    pub name: String,
    /// Parts of the step: twice the multiplications in contractions, and all scalar operations.
    pub phases: Vec<(String, FormulaId, FormulaId)>,
    /// What is kept for gradients: elements of the type that is asked for, and bytes of all else.
    pub kept: [FormulaId; 2],
}

/// What an optimiser costs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct PageOptimizer {
    /// As `opledger train --optimizer` calls it.
    pub name: &'static str,
    /// Twice its multiplications in contractions, and all its scalar operations.
    pub update: Option<[FormulaId; 2]>,
    /// Elements of its state.
    pub state: FormulaId,
}

/// What a device can do at most, with places where its figures were read.
#[derive(Clone, Debug, Serialize)]
pub struct PageDevice {
    /// Its name.
    pub name: &'static str,
    /// Bytes of its memory.
    pub memory: u64,
    /// Bytes a second between it and its memory.
    pub bandwidth: u64,
    /// Operations a second of products of matrices, by type.
    pub peaks: Vec<(&'static str, u64)>,
    /// Where this was read.
    pub sources: Vec<&'static str>,
}

/// A size as a product: its name, what it is in the model, and keys with their powers.
pub type PageProduct = (String, String, Vec<(String, i64)>);

/// What of a configuration of a model may be another while its formulas stay.
#[derive(Clone, Debug, Serialize)]
pub struct PageReader {
    /// The model, by place.
    pub model: usize,
    /// Sizes as products.
    pub sizes: Vec<PageProduct>,
    /// The same of the tokens that there are positions for.
    pub positions: Option<PageProduct>,
    /// Keys that sizes follow from, their values, whether one that divides another, or is divided, has to stay so,
    /// and whether it has to be even.
    pub keys: BTreeMap<String, (u64, bool, bool)>,
    /// Keys whose numbers change nothing by themselves, with their values as JSON where they have one: then they have
    /// to be there, since without them there may be no such step.
    pub free: BTreeMap<String, Option<String>>,
    /// Keys that have to be as they are, with their values as JSON.
    pub fixed: BTreeMap<String, String>,
    /// Keys that have to be absent.
    pub absent: Vec<String>,
}

impl Page {
    /// The data as one line of JSON.
    ///
    /// # Errors
    /// None that a record has.
    pub(crate) fn data(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

fn after_another<S: Serializer>(texts: &[String], out: S) -> Result<S::Ok, S::Error> {
    let mut list = out.serialize_seq(Some(2 * texts.len()))?;
    let mut before = "";
    for text in texts {
        let same = before.bytes().zip(text.bytes()).take_while(|(a, b)| a == b && a.is_ascii());
        let same = same.count();
        list.serialize_element(&same)?;
        list.serialize_element(text.get(same..).unwrap_or_default())?;
        before = text;
    }
    list.end()
}

fn parted<S: Serializer>(formulas: &[String], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(formulas.iter().map(|formula| formula.replace('·', "*")))
}
