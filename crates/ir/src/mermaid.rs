//! A graph as a Mermaid flowchart, scopes as boxes.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::graph::{Graph, Node};
use crate::op::Op;
use crate::operation::Operation;
use crate::ops::Source;

/// Nodes and boxes inside one scope.
#[derive(Default)]
struct Group<'a> {
    nodes: Vec<(usize, &'a Node)>,
    inner: BTreeMap<&'a str, Group<'a>>,
}

impl Graph {
    /// The executed graph as a Mermaid flowchart: one shape a node with its axes, parameters as
    /// cylinders, scopes as boxes.
    pub fn mermaid(&self) -> String {
        let mut root = Group::default();
        for (i, node) in self.nodes().iter().enumerate() {
            let segments: Vec<&str> = node.path.split('.').collect();
            let mut group = &mut root;
            for segment in &segments[..segments.len() - 1] {
                group = group.inner.entry(segment).or_default();
            }
            group.nodes.push((i, node));
        }
        let mut out = String::from("flowchart TD\n");
        // Writing to a String cannot fail.
        let _ = self.write_group(&mut out, &root, &[]);
        for (i, node) in self.nodes().iter().enumerate() {
            for input in &node.inputs {
                let _ = writeln!(out, "  n{} --> n{i}", input.index());
            }
        }
        out
    }

    fn write_group(&self, out: &mut String, group: &Group<'_>, path: &[&str]) -> std::fmt::Result {
        let indent = "  ".repeat(path.len() + 1);
        for (i, node) in &group.nodes {
            let label = node.path.rsplit('.').next().unwrap_or_default();
            let (open, close) = match &node.op {
                Op::Source(Source::Param { .. }) => ("[(", ")]"),
                Op::Source(_) => ("([", "])"),
                _ => ("[", "]"),
            };
            let name = if label == node.op.name() || node.op.is_source() {
                label.to_owned()
            } else {
                format!("{label}: {}", node.op.name())
            };
            writeln!(
                out,
                "{indent}n{i}{open}\"{}<br/>{}\"{close}",
                escape(&name),
                escape(&node.shape.to_string())
            )?;
        }
        for (name, inner) in &group.inner {
            let path = [path, &[*name]].concat();
            let id = path.join("_").replace(|c: char| !c.is_ascii_alphanumeric(), "x");
            writeln!(out, "{indent}subgraph s_{id} [\"{}\"]", escape(&self.title(&path)))?;
            self.write_group(out, inner, &path)?;
            writeln!(out, "{indent}end")?;
        }
        Ok(())
    }

    /// The name of a scope; of a repeated one, how often it runs.
    fn title(&self, path: &[&str]) -> String {
        match path {
            [.., numbers] if numbers.contains('*') => {
                let path = path.join(".");
                let count = self.repetitions().iter().find(|r| r.path == path).map(|r| &r.count);
                match (count, *numbers) {
                    (Some(count), "*") => format!("× {count}"),
                    (Some(count), numbers) => format!("{numbers} × {count}"),
                    (None, numbers) => numbers.to_owned(),
                }
            }
            [.., name] => (*name).to_owned(),
            [] => String::new(),
        }
    }
}

/// Text for a Mermaid label.
fn escape(text: &str) -> String {
    let text = opledger_dims::escaped(text);
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}
