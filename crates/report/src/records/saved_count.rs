//! Counts that were written as JSON, read again.

use opledger_dims::{Binding, Class, Counts, Integer, Quantity};
use serde_json::{Map, Value};

use super::CONVENTIONS;
use super::account::{Account, AccountNode, Bytes, Parameters};

type Object = Map<String, Value>;

fn object<'v>(of: &'v Object, key: &str) -> Result<&'v Object, String> {
    of.get(key).and_then(Value::as_object).ok_or_else(|| format!("`{key}` is no object"))
}

fn text(of: &Object, key: &str) -> Result<String, String> {
    let text = of.get(key).and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| format!("`{key}` is no text"))
}

fn integer(key: &str, value: Option<&Value>) -> Result<Integer, String> {
    let number =
        value.and_then(Value::as_number).and_then(|number| number.to_string().parse().ok());
    let count = number.filter(|number| *number >= Integer::default());
    count.ok_or_else(|| format!("`{key}` is no count"))
}

fn number(of: &Object, key: &str) -> Result<Integer, String> {
    integer(key, of.get(key))
}

fn counts(of: &Object) -> Result<Counts<Integer>, String> {
    let own = object(of, "counts")?;
    let mut counts = Counts::zero();
    for class in Class::ALL {
        counts[class] = number(own, class.name())?;
    }
    Ok(counts)
}

fn bytes(of: &Object) -> Result<Bytes<Integer>, String> {
    let own = object(of, "bytes")?;
    Ok(Bytes { read: number(own, "read")?, written: number(own, "written")? })
}

fn node(value: &Value) -> Result<AccountNode<Integer>, String> {
    let of = value.as_object().ok_or("a node is no object")?;
    Ok(AccountNode {
        path: text(of, "path")?,
        op: None,
        members: usize::try_from(&number(of, "members")?).map_err(|_| "`members` is too large")?,
        axes: None,
        shape: None,
        formula: String::new(),
        counts: counts(of)?,
        parts: Vec::new(),
        macs: number(of, "macs")?,
        flops: number(of, "flops")?,
        params: number(of, "params")?,
        params_read: number(of, "params_read")?,
        bytes: bytes(of)?,
        line: None,
    })
}

/// What other commands write, by a key that no other and no configuration has.
const OTHERS: [(&str, &str); 13] = [
    ("claims", "verify"),
    ("collectives", "parallel"),
    ("device", "count --device"),
    ("first_binding", "diff"),
    ("fitted", "fit"),
    ("generated", "generate"),
    ("hardware_flops", "train"),
    ("models", "count of several models"),
    ("points", "count at several sizes"),
    ("squares", "count --lengths"),
    ("tables", "audit"),
    ("theorem", "run"),
    ("units", "count --convention"),
];

/// Which command wrote a text as JSON that is no count of one model at one size of each symbol.
pub fn written_by(text: &str) -> Option<&'static str> {
    let Ok(Value::Object(of)) = serde_json::from_str::<Value>(text) else { return None };
    if of.contains_key("model_type") || of.contains_key("architectures") {
        return None;
    }
    match (of.get("unaccounted"), of.get("flops")) {
        (Some(_), _) => Some("explain"),
        (None, Some(Value::String(_))) => Some("derive"),
        (None, _) => {
            OTHERS.iter().find(|(key, _)| of.contains_key(*key)).map(|(_, command)| *command)
        }
    }
}

impl Account<Integer> {
    /// What `count` wrote as JSON at one size of each symbol; none where a text is no such thing.
    ///
    /// # Errors
    /// What of it is not as `count` writes it.
    pub fn saved(text: &str) -> Option<Result<Self, String>> {
        let Ok(Value::Object(of)) = serde_json::from_str::<Value>(text) else { return None };
        let keys = ["model", "binding", "counts", "nodes"];
        keys.iter().all(|key| of.contains_key(*key)).then(|| Account::read(&of))
    }

    fn read(of: &Object) -> Result<Self, String> {
        let mut binding = Binding::new();
        for (symbol, size) in object(of, "binding")? {
            binding.set(symbol.as_str(), integer(symbol, Some(size))?);
        }
        let params = object(of, "params")?;
        let nodes = of.get("nodes").and_then(Value::as_array).ok_or("`nodes` is no list")?;
        let nodes: Vec<AccountNode<Integer>> = nodes.iter().map(node).collect::<Result<_, _>>()?;
        let account = Account {
            model: text(of, "model")?,
            binding,
            params: Parameters {
                total: number(params, "total")?,
                trainable: number(params, "trainable")?,
            },
            counts: counts(of)?,
            macs: number(of, "macs")?,
            flops: number(of, "flops")?,
            matmul_flops: number(of, "matmul_flops")?,
            bytes: bytes(of)?,
            memory: None,
            kinds: Vec::new(),
            nodes,
            definitions: Vec::new(),
            by_contents: Vec::new(),
            conventions: CONVENTIONS.to_vec(),
            sorted: None,
            shares: Vec::new(),
        };
        let sum: Integer = account.nodes.iter().map(|node| &node.flops).sum();
        match sum == account.flops {
            true => Ok(account),
            false => {
                Err(format!("its nodes have {sum} flops together, and the whole {}", account.flops))
            }
        }
    }

    /// Tells nodes together under the first `depth` segments of their paths.
    pub fn group(&mut self, depth: usize) {
        let mut grouped: Vec<AccountNode<Integer>> = Vec::new();
        for mut node in std::mem::take(&mut self.nodes) {
            node.path = match depth {
                0 => "(all)".to_owned(),
                depth => node.path.split('.').take(depth).collect::<Vec<_>>().join("."),
            };
            match grouped.iter_mut().find(|own| own.path == node.path) {
                Some(own) => own.take_in(&node),
                None => grouped.push(node),
            }
        }
        self.nodes = grouped;
    }

    /// A quantity of the whole, where an account has it.
    pub fn quantity(&self, quantity: Quantity) -> Option<Integer> {
        Some(match quantity {
            Quantity::Macs => self.macs.clone(),
            Quantity::Flops => self.flops.clone(),
            Quantity::MatmulFlops => self.matmul_flops.clone(),
            Quantity::Multiplications => self.counts[Class::Mul].clone(),
            Quantity::Class(class) => self.counts[class].clone(),
            Quantity::Parameters => self.params.total.clone(),
            Quantity::TrainableParameters => self.params.trainable.clone(),
            Quantity::BytesRead => self.bytes.read.clone(),
            Quantity::BytesWritten => self.bytes.written.clone(),
            Quantity::ActiveParameters | Quantity::Cache => return None,
        })
    }
}
