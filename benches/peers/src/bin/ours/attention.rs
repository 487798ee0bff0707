//! The attention kernel, counting and not counting.

use opledger_kernels::{
    AtomicMeter, Attention, AttentionMeters, AttentionShape, Heads, Mask, Meter, NoMeter, attention,
};
use opledger_peers::serve::Work;
use opledger_peers::{Error, problem};
use serde_json::{Value, json};

struct Kernel<M> {
    problem: problem::Attention,
    data: [Vec<f32>; 3],
    out: Vec<f32>,
    meters: fn() -> M,
    facts: fn(&M) -> Value,
}

pub(super) fn prepare(problem: problem::Attention, variant: &str) -> Result<Box<dyn Work>, Error> {
    let data = problem.data();
    let out = vec![0.0; data[0].len()];
    match variant {
        "not-counted" => {
            let (meters, facts) = (|| NoMeter, |_: &NoMeter| json!({}));
            Ok(Box::new(Kernel { problem, data, out, meters, facts }))
        }
        "counted" => {
            let (meters, facts) = (AtomicMeter::new, facts);
            Ok(Box::new(Kernel { problem, data, out, meters, facts }))
        }
        _ => Err(format!("no variant {variant}").into()),
    }
}

fn facts(meter: &AtomicMeter) -> Value {
    let tally = meter.read();
    let total = |counts: &opledger_dims::Counts<u64>| counts.nonzero().map(|(_, n)| n).sum::<u64>();
    json!({ "useful": total(&tally.useful), "executed": total(&tally.executed) })
}

impl<M: Meter> Kernel<M> {
    fn compute(&mut self) -> Result<M, Error> {
        let problem::Attention { batch, queries, keys, heads, kv_heads, width, causal } =
            self.problem;
        let [q, k, v] = &self.data;
        let shape = AttentionShape {
            batch,
            queries,
            keys,
            heads,
            kv_heads,
            key_width: width,
            value_width: width,
        };
        let problem = Attention {
            shape,
            q: Heads::contiguous(q, queries, heads, width),
            k: Heads::contiguous(k, keys, kv_heads, width),
            v: Heads::contiguous(v, keys, kv_heads, width),
            mask: Mask { causal_offset: causal.then_some(0), ..Mask::default() },
            bias: None,
            scale: Some(self.problem.scale()),
            divides: false,
            soft_cap: None,
            sinks: None,
        };
        let meter = (self.meters)();
        let parts = AttentionMeters {
            scores: &meter,
            scale: &meter,
            soft_cap: &meter,
            bias: &meter,
            softmax: &meter,
            context: &meter,
        };
        attention(&problem, &mut self.out, &parts)?;
        Ok(meter)
    }
}

impl<M: Meter> Work for Kernel<M> {
    fn run(&mut self) -> Result<(), Error> {
        self.compute().map(drop)
    }

    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        let meter = self.compute()?;
        Ok((self.out.clone(), (self.facts)(&meter)))
    }
}
