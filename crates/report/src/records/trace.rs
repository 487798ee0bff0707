//! A run as events that browsers draw, and as folded stacks.

use serde_json::{Map, Number, Value, json};

use super::execution::{ExecutedNode, Execution};
use crate::steady;

/// What a reader of a trace has to know.
const TOLD: &str = "nodes one after the other in the order of the model; of each the time of all its runs together, so \
                    that what is between nodes is left out and iterations of a layer do not alternate";

impl Execution {
    /// Events in the form of Chrome's tracing ("Trace Event Format"), which Perfetto reads as well: an event for
    /// each node with what was counted, within one for each module around it.
    pub fn trace(&self) -> String {
        let mut events = Vec::new();
        // Where each node begins, in microseconds.
        let mut begins = vec![0.0];
        for node in &self.nodes {
            begins.push(begins[begins.len() - 1] + 1e3 * node.ms);
        }
        let paths: Vec<Vec<&str>> =
            self.nodes.iter().map(|node| node.path.split('.').collect()).collect();
        let deepest = paths.iter().map(Vec::len).max().unwrap_or(0);
        for depth in 1..deepest {
            let mut first = 0;
            while first < paths.len() {
                let module = |at: usize| paths[at].get(..depth).filter(|_| paths[at].len() > depth);
                let same = (first..paths.len()).take_while(|at| module(*at) == module(first));
                let end = first + same.count();
                if let Some(module) = module(first) {
                    let name = module.last().copied().unwrap_or_default();
                    let args = json!({ "module": module.join(".") });
                    events.push(event(name, "module", [begins[first], begins[end]], args));
                }
                first = end;
            }
        }
        for (at, node) in self.nodes.iter().enumerate() {
            let name = paths[at].last().copied().unwrap_or_default();
            events.push(event(
                name,
                node.op.unwrap_or("nodes"),
                [begins[at], begins[at + 1]],
                counts(node),
            ));
        }
        let trace = json!({
            "displayTimeUnit": "ms",
            "otherData": {
                "model": self.model,
                "sizes": self.binding.to_string(),
                "threads": self.threads,
                "told": TOLD,
            },
            "traceEvents": events,
        });
        steady::json(&(trace.to_string() + "\n"))
    }

    /// Stacks of modules with a weight each, a line for each node that has one.
    pub fn folded(&self, weight: impl Fn(&ExecutedNode) -> String) -> String {
        let plain = |path: &str| {
            let sign =
                |c: char| if c.is_whitespace() || c.is_control() || c == ';' { '_' } else { c };
            path.chars().map(sign).collect::<String>().replace('.', ";")
        };
        let lines = self.nodes.iter().map(|node| (plain(&node.path), weight(node)));
        lines.filter(|(_, weight)| weight != "0").map(|(path, n)| format!("{path} {n}\n")).collect()
    }
}

fn event(name: &str, kind: &str, [begin, end]: [f64; 2], args: Value) -> Value {
    json!({
        "name": name, "cat": kind, "ph": "X", "ts": begin, "dur": end - begin, "pid": 1, "tid": 1,
        "args": args,
    })
}

fn counts(node: &ExecutedNode) -> Value {
    let number =
        |n: &dyn ToString| n.to_string().parse::<Number>().map_or(Value::Null, Value::Number);
    let mut args = Map::new();
    args.insert("path".to_owned(), node.path.as_str().into());
    args.insert("runs".to_owned(), node.runs.into());
    for (name, n) in [
        ("macs", &node.useful.macs),
        ("useful flops", &node.useful.flops),
        ("executed flops", &node.executed.flops),
        ("bytes read", &node.bytes.read),
        ("bytes written", &node.bytes.written),
    ] {
        args.insert(name.to_owned(), number(n));
    }
    Value::Object(args)
}
