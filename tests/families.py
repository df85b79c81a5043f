"""Random models of many families at tiny size, made in code, and the stock model's own answer to a batch of trees."""

import copy
from typing import NamedTuple

import torch
import transformers
from transformers import AutoModelForCausalLM

from accord.policy.gate import Layout
from accord.tree import PromptTree, expand

TREE, PACKED, PADDED = Layout.TREE, Layout.PACKED, Layout.PADDED
VOCAB = 96
SMALL = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,  # wide enough that predictions are far from uniform
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SMALL_GPT2 = {"vocab_size": VOCAB, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "pad_token_id": 0}
NO_DROPOUT = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}


class Case(NamedTuple):
    """A model, the layout that it must get, and what the log must say of a slower one."""

    config: transformers.PreTrainedConfig
    layout: Layout = TREE
    said: str = ""


def small(name, **changes):
    """A family's configuration at tiny size."""
    return getattr(transformers, f"{name}Config")(**SMALL | changes)


def gpt2(**changes):
    return transformers.GPT2Config(**SMALL_GPT2 | NO_DROPOUT | {"initializer_range": 0.2} | changes)


EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "decoder_sparse_step": 1}
SLIDING = {"layer_types": ["sliding_attention", "full_attention"]}
FULL = {"layer_types": ["full_attention", "full_attention"]}
WINDOW = "attention window of 8"
UNKNOWN = "has not been shown"
CASES = {
    "llama": Case(small("Llama")),
    "llama, tied head": Case(small("Llama", tie_word_embeddings=True)),
    "llama, biases": Case(small("Llama", attention_bias=True, mlp_bias=True)),
    "llama, attention dropout": Case(small("Llama", attention_dropout=0.1), PADDED, "attention dropout is 0.1"),
    "qwen2": Case(small("Qwen2")),
    "qwen2, window not used": Case(small("Qwen2", use_sliding_window=False, sliding_window=8)),
    "qwen2, window": Case(
        small("Qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1), PADDED, WINDOW
    ),
    "qwen2, window on no layer": Case(small("Qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=2)),
    "qwen3": Case(small("Qwen3")),
    "qwen3, window": Case(
        small("Qwen3", use_sliding_window=True, sliding_window=8, max_window_layers=0), PADDED, WINDOW
    ),
    "mistral": Case(small("Mistral", sliding_window=None)),
    "mistral, window of the longest path": Case(small("Mistral", sliding_window=21)),
    "mistral, window shorter by one": Case(small("Mistral", sliding_window=20), PADDED, "attention window of 20"),
    "mistral, window": Case(small("Mistral", sliding_window=8), PADDED, WINDOW),
    "mistral, layer types that it does not read": Case(small("Mistral", sliding_window=8, **FULL), PADDED, WINDOW),
    "gemma": Case(small("Gemma")),
    "gemma2": Case(small("Gemma2", query_pre_attn_scalar=24, attn_logit_softcapping=2.0)),
    "gemma2, window": Case(small("Gemma2", attn_logit_softcapping=2.0, sliding_window=8), PADDED, WINDOW),
    "gemma2, no softcaps": Case(small("Gemma2", attn_logit_softcapping=None, final_logit_softcapping=None)),
    "gemma2, low final softcap": Case(small("Gemma2", final_logit_softcapping=2.0)),
    "gemma3": Case(small("Gemma3Text", **SLIDING)),
    "gemma3, window": Case(small("Gemma3Text", sliding_window=8, **SLIDING), PADDED, WINDOW),
    "gemma3, all layers full": Case(small("Gemma3Text", sliding_window=8, **FULL)),
    "gemma3, softcaps": Case(small("Gemma3Text", attn_logit_softcapping=2.0, final_logit_softcapping=3.0, **SLIDING)),
    "phi3": Case(small("Phi3")),
    "phi3, window": Case(small("Phi3", sliding_window=8), PADDED, WINDOW),
    "gpt2": Case(gpt2()),
    "gpt2, scaled by layer": Case(gpt2(scale_attn_by_inverse_layer_idx=True)),
    "gpt2, dropout": Case(gpt2(resid_pdrop=0.1), PACKED, "dropout is 0.1"),
    "gpt2, attention dropout": Case(gpt2(attn_pdrop=0.1), PADDED, "attention dropout is 0.1"),
    "olmo2": Case(small("Olmo2")),
    "mixtral": Case(small("Mixtral", num_local_experts=4)),
    "mixtral, balanced": Case(
        small("Mixtral", num_local_experts=4, output_router_logits=True), PACKED, "balancing loss"
    ),
    "mixtral, noise": Case(small("Mixtral", num_local_experts=4, router_jitter_noise=0.1), PACKED, "experts' noise"),
    "qwen3_moe": Case(small("Qwen3Moe", **EXPERTS)),
    "qwen3_moe, balanced": Case(small("Qwen3Moe", output_router_logits=True, **EXPERTS), PACKED, "balancing loss"),
    "mamba": Case(
        transformers.MambaConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, state_size=4, pad_token_id=0),
        PADDED,
        UNKNOWN,
    ),
    "granite": Case(small("Granite", logits_scaling=4.0), PADDED, UNKNOWN),
    "bloom": Case(
        transformers.BloomConfig(vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4, pad_token_id=0),
        PADDED,
        UNKNOWN,
    ),
}


def stock_model(name, seed=0):
    """A random model in fp32, in evaluation mode, whose norms and biases are not at their neutral values."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(CASES[name].config), dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.3 * torch.randn_like(parameter)
    return model


def forest(seed=0):
    """Trees of one to three completions of 1 to 12 tokens; two share a prompt, one has a prompt of a single token."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(n):
        return torch.randint(3, VOCAB, (n,), generator=generator).tolist()

    prompt = tokens(9)
    return [
        PromptTree(prompt, [tokens(7), tokens(1), tokens(12)]),
        PromptTree(tokens(1), [tokens(5), tokens(5)]),
        PromptTree(prompt, [tokens(4)]),
    ]


def truth(stock, batch):
    """[N] log-probs by the stock model's own forward on padded rows; softmax and gather are done here."""
    padded = expand(batch)
    logits = stock(input_ids=padded.input_ids_CL, attention_mask=padded.attention_mask_CL).logits
    table = logits.float().log_softmax(-1).flatten(0, 1)
    return table[padded.source_N, padded.target_N]
