//! Repetitions: the gradients of a body, in a repetition that runs the other way.

use opledger_ir::ops::Source;
use opledger_ir::{Loop, Node, Op, Phase, RepeatId, Scan, ScanValues, Scope, Var};

use crate::back::{Applied, Back, Closed, Primal, Turned};
use crate::{GradError, rules};

/// The gradients of what goes into a repetition, given those of what comes out.
///
/// What is carried from iteration to iteration forwards has its gradient carried backwards, and so has
/// what all iterations use from outside. A stack that enters has a stack of gradients; a parameter of the
/// body has its gradient in the iteration that is its own.
pub(crate) fn pull_back(back: &mut Back, body: &Loop) -> Result<(), GradError> {
    let ends = back.graph.ends(body);
    let (entering, stacks) = (ends.entering.to_vec(), ends.stacks.to_vec());
    let (next, stacked) = (ends.next.to_vec(), ends.stacked.to_vec());
    let (Some(&carry), Some(&exit)) =
        (back.primals.get(body.body.start), back.primals.get(body.body.end))
    else {
        return Ok(());
    };
    let (inner, outer) = (results(back, carry), results(back, exit));
    let count = next.len();
    let given: Vec<usize> =
        (0..stacked.len()).filter(|at| back.gradient(outer[count + at]).is_some()).collect();
    let carried: Vec<usize> = (0..count).filter(|at| back.is_wanted(inner[*at])).collect();
    if given.is_empty() && outer.iter().all(|result| back.gradient(*result).is_none()) {
        return Ok(());
    }
    let frame = Turned {
        body: body.body.clone(),
        repeat: body.repeat,
        exit,
        carry,
        known: Default::default(),
        captured: Default::default(),
    };
    back.frames.push(frame);
    let captured = captured(back, body, &[&next[..], &stacked].concat());
    let frame = back.frames.pop();
    let scope = Scope::of(back.graph.node(carry)).in_phase(Phase::Backward);
    let mut scan = Scan { reverse: !body.reverse, ..Scan::default() };
    if let Op::Exit(op) = &back.graph.node(exit).op {
        scan.axis = op.axis.name.clone();
    }
    for of in carried.iter().map(|at| outer[*at]).chain(captured.iter().copied()) {
        let begun = match back.gradient(of) {
            Some(gradient) => gradient,
            None => back.zeros(&back.shape_of(of))?,
        };
        scan.carried.push(begun);
    }
    if scan.carried.is_empty() {
        // A repetition has a result, whatever it is.
        let none = back.graph.fill(Vec::<opledger_ir::Axis>::new(), 0.0)?;
        scan.carried.push(none);
    }
    let spare = scan.carried.len() - carried.len() - captured.len();
    scan.stacks = given.iter().filter_map(|at| back.gradient(outer[count + at])).collect();

    let (open, at) = back.graph.open_scan(&scope, &scan)?;
    let Some(mut frame) = frame else { return Ok(()) };
    frame.carry = at.carried[0];
    let seeds = &at.carried[carried.len()..carried.len() + captured.len()];
    frame.captured = captured.iter().copied().zip(seeds.iter().copied()).collect();
    back.frames.push(frame);
    for (of, gradient) in carried.iter().zip(&at.carried) {
        back.contribute_to_wanted(Primal(next[*of]), *gradient)?;
    }
    for (of, gradient) in given.iter().zip(&at.stacked) {
        back.contribute_to_wanted(Primal(stacked[*of]), *gradient)?;
    }
    all(back, body.body.start + 1..body.body.end)?;
    parameters(back, Some(body.repeat))?;

    let mut left = ScanValues { carried: Vec::new(), stacked: Vec::new() };
    for of in &carried {
        let gradient = match back.gradient(inner[*of]) {
            Some(gradient) => gradient,
            None => back.zeros(&back.shape_of(inner[*of]))?,
        };
        left.carried.push(gradient);
    }
    left.carried.extend(captured.iter().filter_map(|of| back.gradient(*of)));
    left.carried.extend(&at.carried[at.carried.len() - spare..]);
    let mut stacks_of = Vec::new();
    for (stack, slice) in stacks.iter().zip(&inner[count..]) {
        if let Some(gradient) = back.gradient(*slice) {
            left.stacked.push(gradient);
            stacks_of.push(Primal(*stack));
        }
    }
    back.frames.pop();
    let done = back.graph.close_scan(open, &left)?;
    let recorded = back.graph.loops().last().map(|body| body.body.clone());
    if let (Some(exit), Some(nodes)) = (back.graph.vars().last(), recorded) {
        let (repeat, axis) = (body.repeat, scan.axis.clone());
        back.closed.push(Closed { repeat, body: nodes, exit, scope: scope.clone(), axis });
    }
    for (of, gradient) in carried.iter().zip(&done.carried) {
        back.contribute_to_wanted(Primal(entering[*of]), *gradient)?;
    }
    for (of, gradient) in captured.iter().zip(&done.carried[carried.len()..]) {
        back.set_gradient(*of, *gradient);
    }
    for (of, gradient) in stacks_of.into_iter().zip(&done.stacked) {
        back.contribute_to_wanted(of, *gradient)?;
    }
    Ok(())
}

/// The gradients of the operands of a run of nodes, the last node first.
pub(crate) fn all(back: &mut Back, nodes: std::ops::Range<usize>) -> Result<(), GradError> {
    let mut end = nodes.end;
    while end > nodes.start {
        let at = end - 1;
        let closed = back.graph.loops().iter().find(|body| body.body.end == at).cloned();
        if let Some(body) = closed {
            pull_back(back, &body)?;
            end = body.body.start;
            continue;
        }
        end = at;
        let Some(var) = back.primals.get(at).copied() else { continue };
        // Of several results the first alone is real.
        if let Some(gradient) =
            back.gradient(Primal(var)).filter(|_| !back.graph.node(var).op.is_source())
        {
            let node: Node = back.graph.node(var).clone();
            rules::pull_back(back, Applied { node: &node, result: Primal(var) }, gradient)?;
        }
    }
    Ok(())
}

fn results(back: &Back, of: Var) -> Vec<Primal> {
    back.graph.results(of).map(Primal).collect()
}

/// What the iterations of a body use from outside and a parameter leads to.
fn captured(back: &Back, body: &Loop, leaving: &[Var]) -> Vec<Primal> {
    let nodes = &back.graph.nodes()[body.body.start + 1..body.body.end];
    let used = nodes.iter().flat_map(|node| &node.inputs).chain(leaving);
    let mut captured: Vec<Primal> = used.copied().map(Primal).collect();
    captured.retain(|of| back.is_wanted(*of) && back.is_outside(*of));
    captured.sort();
    captured.dedup();
    captured
}

/// Notes the gradients of the parameters that are the body's own, or of those outside of all.
pub(crate) fn parameters(back: &mut Back, repeat: Option<RepeatId>) -> Result<(), GradError> {
    for var in back.primals.clone() {
        let node = back.graph.node(var);
        if !matches!(node.op, Op::Source(Source::Param { .. })) || node.repeat != repeat {
            continue;
        }
        let (scope, label) = (Scope::of(node).in_phase(Phase::Backward), node.label().to_owned());
        let Some(mut gradient) = back.gradient(Primal(var)) else { continue };
        if back.parameters.iter().any(|(own, _)| *own == var) {
            return Err(GradError::Repeated { path: back.graph.node(var).path.clone() });
        }
        if back.accumulates {
            let outer = back.graph.move_to(scope);
            let axes = back.shape(var).axes;
            let before = back.graph.input(&format!("{label}.accumulated"), axes);
            let sum = before.and_then(|before| {
                back.earlier.insert(var, before);
                back.graph.add("", before, gradient)
            });
            back.graph.move_to(outer);
            gradient = sum?;
        }
        back.parameters.push((var, gradient));
    }
    Ok(())
}
