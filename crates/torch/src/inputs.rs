//! ProgramInputs of a program as guards write them, such as `L['batch']['ids']`.

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::Poly;

use crate::schema::ExportedProgram;

/// The sizes of an input.
#[derive(Clone, Debug)]
pub(crate) enum InputSizes {
    Tensor(Vec<Poly>),
    /// The input is a number.
    Number(Poly),
}

/// ProgramInputs by the names that the export gave them.
#[derive(Default)]
pub(crate) struct ProgramInputs<'p> {
    names: BTreeSet<&'p str>,
    /// What the module calls its arguments, where that is known.
    arguments: BTreeSet<&'p str>,
    sizes: BTreeMap<&'p str, InputSizes>,
}

impl<'p> ProgramInputs<'p> {
    pub(crate) fn of(program: &'p ExportedProgram) -> Self {
        let calls = program.graph_module.module_call_graph.first();
        let names = calls.and_then(|call| call.signature.as_ref()?.forward_arg_names.as_ref());
        let arguments = names.into_iter().flatten().map(String::as_str).collect();
        ProgramInputs { arguments, ..ProgramInputs::default() }
    }

    pub(crate) fn add(&mut self, name: &'p str, sizes: Option<InputSizes>) {
        self.names.insert(name);
        self.sizes.extend(sizes.map(|sizes| (name, sizes)));
    }

    /// A size of what a path leads to.
    pub(crate) fn size(&self, path: &[&str], dim: Option<usize>) -> Option<Poly> {
        match (self.sizes.get(&*self.name(path)?)?, dim) {
            (InputSizes::Tensor(sizes), Some(dim)) => sizes.get(dim).cloned(),
            (InputSizes::Number(number), None) => Some(number.clone()),
            _ => None,
        }
    }

    /// What an export calls the input at a path: the steps in small letters, all but letters and digits as
    /// `_`, joined by `_` (`placeholder_naming_pass` in `torch/_export/utils.py`). None where a second input
    /// has a name that is numbered because it would have been the same, or may have.
    fn name(&self, path: &[&str]) -> Option<String> {
        // What `**kwargs` takes is an argument of its own.
        let path = match path {
            [named, rest @ ..]
                if !self.arguments.contains(named)
                    && rest.first().is_some_and(|own| self.arguments.contains(own)) =>
            {
                rest
            }
            _ => path,
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let step = |step: &&str| step.to_lowercase().chars().map(plain).collect::<String>();
        let name = path.iter().map(step).collect::<Vec<_>>().join("_");
        if path == [name.as_str()] && !name.contains('_') {
            return Some(name);
        }
        let numbered = |own: &&str| {
            let number = own.strip_prefix(&*name).and_then(|rest| rest.strip_prefix('_'));
            number.is_some_and(|digits| digits.chars().all(|c| c.is_ascii_digit()))
        };
        (!self.names.iter().any(numbered)).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_inputs_by_their_names() {
        let arguments = ["x", "batch", "xs", "a", "k", "scale", "deep"].into();
        let mut inputs = ProgramInputs { arguments, ..ProgramInputs::default() };
        let names = [
            "x",
            "batch_ids",
            "xs_0",
            "xs_1",
            "kw_long_name",
            "a_b",
            "a_b_1",
            "k",
            "scale",
            "deep_x",
            "kw_scale",
        ];
        for name in names {
            let size = Poly::from(name);
            inputs.add(
                name,
                Some(match name {
                    "k" => InputSizes::Number(size),
                    _ => InputSizes::Tensor(vec![2.into(), size]),
                }),
            );
        }
        let size = |path: &[&str], dim| inputs.size(path, dim).map(|size| size.to_string());
        for (path, name) in [
            (&["x"][..], "x"),
            (&["batch", "ids"], "batch_ids"),
            (&["xs", "0"], "xs_0"),
            (&["xs", "1"], "xs_1"),
            (&["kw", "Long name"], "kw_long_name"),
            (&["kw", "scale"], "scale"),
            (&["kw", "deep", "x"], "deep_x"),
        ] {
            assert_eq!(size(path, Some(1)).as_deref(), Some(name));
        }
        assert_eq!(size(&["k"], None).as_deref(), Some("k"));
        // Either may be meant, of another kind, beyond its dimensions, not there.
        for (path, dim) in [
            (&["a", "b"][..], Some(1)),
            (&["k"], Some(0)),
            (&["x"], None),
            (&["x"], Some(2)),
            (&["y"], Some(0)),
        ] {
            assert_eq!(size(path, dim), None, "{path:?}");
        }
    }
}
