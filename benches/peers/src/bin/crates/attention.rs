//! Attention of candle, fused and as a chain, and of burn.

use burn_backend::TensorData;
use burn_backend::ops::{AttentionModuleOptions, ModuleOps};
use burn_flex::{Flex, FlexTensor};
use candle_core::{Device, Tensor};
use candle_nn::attention::{AttnMask, flash_attn};
use opledger_peers::Error;
use opledger_peers::problem::Attention;
use opledger_peers::serve::Work;
use serde_json::{Value, json};

pub(super) fn prepare(problem: Attention, variant: &str) -> Result<Box<dyn Work>, Error> {
    match variant {
        "candle-flash" => Ok(Box::new(Flash { problem, tensors: candle(&problem)? })),
        "candle-naive" => {
            if problem.causal || problem.heads != problem.kv_heads {
                return Err("not compared".into());
            }
            // [batch, heads, tokens, width], contiguous.
            let [q, k, v] = candle(&problem)?;
            let turned = |x: Tensor| x.transpose(1, 2)?.contiguous();
            Ok(Box::new(Chain { problem, tensors: [turned(q)?, turned(k)?, turned(v)?] }))
        }
        "burn" => Ok(Box::new(Burn { problem, tensors: burn(&problem) })),
        _ => Err(format!("no variant {variant}").into()),
    }
}

/// `[batch, tokens, heads, width]` each.
fn candle(p: &Attention) -> Result<[Tensor; 3], Error> {
    let [q, k, v] = p.data();
    let keys = (p.batch, p.keys, p.kv_heads, p.width);
    Ok([
        Tensor::from_vec(q, (p.batch, p.queries, p.heads, p.width), &Device::Cpu)?,
        Tensor::from_vec(k, keys, &Device::Cpu)?,
        Tensor::from_vec(v, keys, &Device::Cpu)?,
    ])
}

/// `[batch, tokens, heads, width]` from a result `[batch, heads, tokens, width]`.
fn numbers(y: &Tensor) -> Result<(Vec<f32>, Value), Error> {
    Ok((y.transpose(1, 2)?.contiguous()?.flatten_all()?.to_vec1()?, json!({})))
}

struct Flash {
    problem: Attention,
    tensors: [Tensor; 3],
}

impl Flash {
    fn compute(&self) -> Result<Tensor, Error> {
        let [q, k, v] = &self.tensors;
        let mask = if self.problem.causal { AttnMask::causal() } else { AttnMask::None };
        Ok(flash_attn::<f32>(q, k, v, self.problem.scale(), mask, None, None)?)
    }
}

impl Work for Flash {
    fn run(&mut self) -> Result<(), Error> {
        self.compute().map(drop)
    }

    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        numbers(&self.compute()?)
    }
}

struct Chain {
    problem: Attention,
    tensors: [Tensor; 3],
}

impl Chain {
    fn compute(&self) -> Result<Tensor, Error> {
        let [q, k, v] = &self.tensors;
        let scores = (q.matmul(&k.t()?)? * f64::from(self.problem.scale()))?;
        Ok(candle_nn::ops::softmax_last_dim(&scores)?.matmul(v)?)
    }
}

impl Work for Chain {
    fn run(&mut self) -> Result<(), Error> {
        self.compute().map(drop)
    }

    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        numbers(&self.compute()?)
    }
}

/// `[batch, heads, tokens, width]` each, contiguous.
fn burn(p: &Attention) -> [FlexTensor; 3] {
    let [q, k, v] = p.data();
    let turned = |x: Vec<f32>, tokens, heads| {
        let data = TensorData::new(x, [p.batch, tokens, heads, p.width]);
        FlexTensor::from_data(data).transpose(1, 2).to_contiguous()
    };
    [turned(q, p.queries, p.heads), turned(k, p.keys, p.kv_heads), turned(v, p.keys, p.kv_heads)]
}

struct Burn {
    problem: Attention,
    tensors: [FlexTensor; 3],
}

impl Burn {
    fn compute(&self) -> FlexTensor {
        let [q, k, v] = self.tensors.clone();
        let options =
            AttentionModuleOptions { is_causal: self.problem.causal, ..Default::default() };
        <Flex as ModuleOps<Flex>>::attention(q, k, v, None, None, options)
    }
}

impl Work for Burn {
    fn run(&mut self) -> Result<(), Error> {
        drop(self.compute());
        Ok(())
    }

    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        let y = self.compute().transpose(1, 2).to_contiguous();
        Ok((y.storage::<f32>().to_vec(), json!({})))
    }
}
