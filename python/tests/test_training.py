"""Training steps, of names and configurations, without PyTorch; of a module, where it is installed."""

import unittest

import opledger

try:
    import torch
except ImportError:
    torch = None


class Steps(unittest.TestCase):
    def test_a_step_is_told_by_its_parts(self):
        step = opledger.train_cost("gpt2", sizes={"n": 1024})
        # By hand: three times the weights' products, and six of 64 columns over the pairs of 12 heads in 12 layers.
        weights = 12 * 12 * 768 * 768 + 50257 * 768
        pairs = 1024 * 1025 // 2 * 12 * 12
        self.assertEqual(step.model_flops, 2 * 3 * weights * 1024 + 2 * 6 * pairs * 64)
        self.assertEqual(step.hardware_flops, step.model_flops)
        self.assertEqual(sum(phase.matmul_flops for phase in step.phases), step.hardware_flops)
        self.assertEqual(sum(phase.flops for phase in step.phases), step.flops)
        self.assertEqual(sum(m.forward + m.backward + m.recomputation for m in step.modules), step.hardware_flops)
        self.assertEqual(sum(term.flops for term in step.terms), step.hardware_flops)
        self.assertEqual(step.terms[0].flops, 6 * step.params * step.tokens)
        square, half, exact = step.masks
        self.assertEqual(exact.model_flops, step.model_flops)
        self.assertEqual(square.attention, 2 * half.attention)
        self.assertEqual(square.attention, 12 * 1024**2 * 12 * 12 * 64)
        mfu, hfu = step.utilisation(2.0, 1e12)
        self.assertEqual((mfu, hfu), (step.model_flops / 2e12,) * 2)
        with self.assertRaises(opledger.OpledgerError):
            step.utilisation(0, 1e12)

    def test_options_and_sizes(self):
        step = opledger.train_cost("gpt2", sizes={"n": 64}, recompute="full", optimizer="adamw", dtype="bf16", state_dtype="f32")
        self.assertGreater(step.hardware_flops, step.model_flops)
        self.assertEqual([phase.name for phase in step.phases][-1], "update")
        self.assertEqual(step.memory["weights"], 2 * step.params)
        self.assertEqual(step.memory["state"], 8 * step.params)
        longer = step.at(n=128, b=2)
        self.assertEqual(longer.sizes, {"n": 128, "b": 2})
        self.assertEqual(longer.tokens, 256)
        self.assertEqual(longer.memory["state"], step.memory["state"])

    def test_tools_are_explained(self):
        step = opledger.train_cost("gpt2", sizes={"n": 1024})
        self.assertEqual(step.convention("matmul-flops"), step.model_flops)
        told = step.explain("torch-flop-counter")
        self.assertEqual(told.unaccounted, 0)
        self.assertEqual(told.totals, (step.convention("torch-flop-counter"), step.model_flops))

    def test_it_prints_itself(self):
        step = opledger.train_cost({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 40,
                                    "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
                                    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32,
                                    "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 10000.0}, sizes={"n": 4})
        text = repr(step)
        self.assertTrue(text.startswith("step of llama at n=4\n"), text)
        for part in ("forward", "backward", "step", "of 6·N·T", "those that the mask leaves"):
            self.assertIn(part, text)
        self.assertIn("<table>", step._repr_html_())

    def test_what_is_refused(self):
        for model, options in (
            ("gpt2", {"sizes": {"n": 8}, "recompute": "model.nowhere"}),
            ("gpt2", {"sizes": {"n": 8}, "result": "other"}),
            ("gpt2", {"sizes": {"n": 8}, "optimizer": "adagrad"}),
            ("gpt2", {}),
            ("gpt2", {"sizes": 8}),
            ("no-model", {"sizes": {"n": 8}}),
        ):
            with self.assertRaises(opledger.OpledgerError):
                opledger.train_cost(model, **options)


@unittest.skipIf(torch is None, "torch is not installed")
class Modules(unittest.TestCase):
    def test_a_module(self):
        layer = torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
        step = opledger.train_cost(layer, (torch.zeros(2, 5, 32),))
        counted = opledger.count(layer, (torch.zeros(2, 5, 32),))
        # The norm of what enters wants a gradient, so the backward pass is twice the forward pass.
        self.assertEqual(step.model_flops, 3 * counted.matmul_flops)
        self.assertEqual(step.trained, counted.params)
        self.assertEqual(step.masks, ())
        self.assertEqual(step.at(b=4).model_flops, 2 * step.model_flops)


if __name__ == "__main__":
    unittest.main()
