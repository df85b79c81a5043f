"""Fresh PEFT adapters on a model."""

import copy

import torch
from peft import PeftConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from accord.policy.rewards import gives_rewards


def with_adapter(model: PreTrainedModel, config: PeftConfig, *, bf16: bool, checkpointing: bool) -> PeftModel:
    """Puts a fresh adapter on `model`; only its weights are trained, and a reward model's heads, which are saved with
    it.

    bf16           compute is in bfloat16: the frozen linear layers are kept in it, as autocast would cast them anyway
                   in every forward. Same numbers, half the memory
    checkpointing  gradients must reach the checkpointed layers through the frozen embeddings
    """
    if isinstance(model, PeftModel):
        raise ValueError("the model has an adapter already: train it as it is (no peft_config), or merge it first")
    if config.is_prompt_learning:
        raise ValueError(
            f"{config.peft_type} puts virtual tokens before the prompt, which packing does not know: use LoRA"
        )
    if gives_rewards(model):
        config = copy.deepcopy(config)
        config.task_type = TaskType.SEQ_CLS  # for which PEFT trains and saves the heads
    adapted = get_peft_model(model, config)
    if checkpointing:
        model.enable_input_require_grads()
    if bf16:
        shared = {id(e.weight) for e in (model.get_input_embeddings(), model.get_output_embeddings()) if e is not None}
        for module in adapted.modules():
            frozen = type(module) is nn.Linear and not any(p.requires_grad for p in module.parameters())
            if frozen and module.weight.dtype is torch.float32 and id(module.weight) not in shared:
                module.to(torch.bfloat16)
    for name, parameter in adapted.named_parameters():
        learnt = parameter.requires_grad and ("lora_" in name or ".score." in name)
        if learnt and parameter.dtype is not torch.float32:
            parameter.data = parameter.data.float()
    return adapted
