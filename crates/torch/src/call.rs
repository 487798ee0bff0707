//! A call of an operation: its name, its arguments, its results, and where it stands.

use std::cell::RefCell;

use opledger_dims::Poly;

use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::schema::{Argument, ProgramNode, SymIntArgument};
use crate::tensor::Placed;
use crate::whole::WholeKind;

/// One call of an operation.
pub(crate) struct Call<'p> {
    pub(crate) node: &'p ProgramNode,
    /// Its name without the library's: `aten.linear.default`.
    pub(crate) operation: &'p str,
    /// An argument that is there and is of another kind than was asked for.
    misread: RefCell<Option<String>>,
}

/// The name of an operation as it is listed: `aten.linear.default`.
pub(crate) fn operation(target: &str) -> &str {
    target.strip_prefix("torch.ops.").unwrap_or(target)
}

/// The path of the innermost module around a node.
pub(crate) fn module_path(node: &ProgramNode) -> String {
    let stack = node.metadata.get("nn_module_stack").map_or("", String::as_str);
    let last = stack.rsplit(';').next().unwrap_or("");
    // `key,path,class`
    last.split(',').nth(1).unwrap_or("").to_owned()
}

/// File and line of the innermost frame of a node's stack trace that is not PyTorch's own, or else of
/// the innermost: `model.py:12`.
pub(crate) fn source_line(node: &ProgramNode) -> Option<String> {
    let trace = node.metadata.get("stack_trace")?;
    // `  File "model.py", line 12, in forward`
    let frame = |line: &'_ str| {
        let (file, place) = line.trim_start().strip_prefix("File \"")?.split_once("\", line ")?;
        let number = place.split(',').next()?;
        Some((file.contains("/torch/nn/"), format!("{file}:{number}")))
    };
    let mut frames = trace.lines().rev().filter_map(frame).peekable();
    let innermost = frames.peek().map(|(_, line)| line.clone());
    frames.find(|(torchs, _)| !torchs).map(|(_, line)| line).or(innermost)
}

impl<'p> Call<'p> {
    pub(crate) fn new(node: &'p ProgramNode) -> Self {
        Call { node, operation: operation(&node.target), misread: RefCell::new(None) }
    }

    /// The name of the tensor that is an argument.
    pub(crate) fn name_of(&self, name: &str) -> Option<&str> {
        match self.argument(name)? {
            Argument::Tensor(name) => Some(name),
            _ => None,
        }
    }

    /// The names of the tensors of an argument, if they are so many.
    pub(crate) fn names_of<const N: usize>(&self, name: &str) -> Option<[String; N]> {
        match self.argument(name)? {
            Argument::Tensors(names) => names.clone().try_into().ok(),
            _ => None,
        }
    }

    /// An argument as the program has it.
    pub(crate) fn argument(&self, name: &str) -> Option<&Argument> {
        self.node.inputs.iter().find(|input| input.name == name).map(|input| &input.arg)
    }

    /// An argument as a value; nothing where it is missing.
    pub(crate) fn value(&self, own: &Importer<'_>, name: &str) -> Lowered<Meaning> {
        let Some(argument) = self.argument(name) else { return Ok(Meaning::None) };
        own.of(argument)
    }

    /// An argument that is a tensor of reals.
    pub(crate) fn tensor(&self, own: &mut Importer<'_>, name: &str) -> Lowered<Placed> {
        let value = self.value(own, name)?;
        own.real(value)
    }

    /// The same, if it is given.
    pub(crate) fn optional(&self, own: &mut Importer<'_>, name: &str) -> Lowered<Option<Placed>> {
        match self.value(own, name)? {
            Meaning::None => Ok(None),
            value => own.real(value).map(Some),
        }
    }

    /// Notes that an argument is there and is of another kind, so that no default stands in its place.
    fn misread<T>(&self, name: &str) -> Option<T> {
        *self.misread.borrow_mut() = Some(name.to_owned());
        None
    }

    /// The argument that was misread, if one was.
    pub(crate) fn misread_argument(&self) -> Option<String> {
        self.misread.borrow().clone()
    }

    /// An argument that is a whole number.
    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        let value = match self.argument(name) {
            None | Some(Argument::None) => None,
            Some(Argument::Int(value) | Argument::SymInt(SymIntArgument::AsInt(value))) => {
                Some(*value)
            }
            Some(_) => self.misread(name),
        };
        value.unwrap_or(default)
    }

    /// An argument that is a list of whole numbers.
    pub(crate) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        match self.argument(name) {
            None | Some(Argument::None) => None,
            Some(Argument::Ints(values)) => Some(values.clone()),
            Some(Argument::Int(value)) => Some(vec![*value]),
            Some(_) => self.misread(name),
        }
    }

    /// An argument that is a size.
    pub(crate) fn size(&self, own: &Importer<'_>, name: &str) -> Lowered<Option<Poly>> {
        match self.value(own, name)? {
            Meaning::Size(size) => Ok(Some(size)),
            Meaning::None => Ok(None),
            _ => Err(Obstacle::Bad(format!("`{name}` is no size"))),
        }
    }

    /// An argument that is a real number.
    pub(crate) fn float(&self, name: &str) -> Option<f64> {
        match self.argument(name) {
            None | Some(Argument::None) => None,
            Some(Argument::Float(value)) => Some(*value),
            Some(Argument::Int(value) | Argument::SymInt(SymIntArgument::AsInt(value))) => {
                Some(*value as f64)
            }
            Some(_) => self.misread(name),
        }
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        let value = match self.argument(name) {
            None | Some(Argument::None) => None,
            Some(Argument::Bool(value)) => Some(*value),
            Some(_) => self.misread(name),
        };
        value.unwrap_or(default)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.argument(name)? {
            Argument::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !matches!(self.argument(name), None | Some(Argument::None))
    }

    /// A dimension, counted from the end where it is below 0.
    pub(crate) fn dim(&self, name: &str, default: i64, rank: usize) -> Lowered<usize> {
        place(self.int(name, default), rank)
    }

    /// The name of a result.
    pub(crate) fn result(&self, at: usize) -> Lowered<&str> {
        let mut names = self.node.outputs.iter().flat_map(|output| match output {
            Argument::Tensor(name) => vec![name.as_str()],
            Argument::Tensors(names) => names.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        });
        names.nth(at).ok_or_else(|| Obstacle::Bad("a result without a name".to_owned()))
    }

    /// The sizes that the program says of a result.
    pub(crate) fn sizes(&self, own: &mut Importer<'_>, at: usize) -> Lowered<Vec<Poly>> {
        let name = self.result(at)?.to_owned();
        own.sizes_of(&name)
    }

    /// The size that the program says of one dimension of a result.
    pub(crate) fn size_of(&self, own: &mut Importer<'_>, at: usize, dim: usize) -> Lowered<Poly> {
        let sizes = self.sizes(own, at)?;
        let size = sizes.get(dim).cloned();
        size.ok_or_else(|| Obstacle::Bad(format!("a result has no dimension {dim}")))
    }

    /// What the elements of a result are.
    pub(crate) fn kind(&self, own: &Importer<'_>, at: usize) -> Lowered<WholeKind> {
        own.kind_of(self.result(at)?)
    }
}

/// A dimension of a rank, counted from the end where it is below 0.
pub(crate) fn place(dim: i64, rank: usize) -> Lowered<usize> {
    let own = if dim < 0 { dim + rank as i64 } else { dim };
    usize::try_from(own)
        .ok()
        .filter(|own| *own < rank)
        .ok_or_else(|| Obstacle::Bad(format!("there is no dimension {dim} of {rank}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(trace: &str) -> Option<String> {
        let metadata = [("stack_trace".to_owned(), trace.to_owned())].into();
        let (inputs, outputs) = (Vec::new(), Vec::new());
        source_line(&ProgramNode { target: String::new(), inputs, outputs, metadata })
    }

    #[test]
    fn the_line_of_a_node_is_the_innermost_that_is_not_of_pytorch() {
        let own = "File \"/home/me/model.py\", line 7, in forward\n    return self.up(x)\n";
        let torchs =
            "  File \"/env/torch/nn/modules/linear.py\", line 134, in forward\n    return F.l(x)";
        assert_eq!(line(&format!("{own}{torchs}")).as_deref(), Some("/home/me/model.py:7"));
        assert_eq!(line(own).as_deref(), Some("/home/me/model.py:7"));
        assert_eq!(line(torchs).as_deref(), Some("/env/torch/nn/modules/linear.py:134"));
        assert_eq!(line("no frame"), None);
    }
}
