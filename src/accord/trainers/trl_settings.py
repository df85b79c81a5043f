"""Settings that TRL's trainers on samples have, now or in the last version with PPO, and Accord's have not."""

_SAMPLER = "Accord samples in this process, by the weights as they stand; leave it out"
_STAYS = "the reference is the model that training started from, and stays"
_SHOWN = "some samples of each rollout go to on_rollout, and into a run folder's rollouts.jsonl"
_OTHER_POLICY = "the policy that learns would not be the one that sampled; leave it out"
_TRLS = "TRL's own trainer has it: build one by accord.trainers.on_trl, or give the command --backend trl"
_END = "a completion ends where the model ends it, or at max_completion_length"
_SIZES = "per_device_train_batch_size and gradient_accumulation_steps make an optimizer batch"

#: A setting, or with a * the beginning of several -> what to do instead, or why it is left out.
INSTEAD = {
    "batch_size": _SIZES,
    "cache_implementation": _SAMPLER,
    "cast_lm_head_to_fp32": "log-probs are computed in float32 from the head's own weights",
    "chat_template_kwargs": "render the prompts to texts before, or set the tokenizer's chat_template",
    "dataset_num_proc": "tokenisation needs no pool of processes",
    "ds3_gather_for_generation": "methods that sample need all weights in each process: use DDP",
    "entropy_*": _TRLS,
    "exp_name": "use run_name",
    "generation_kwargs": "use temperature, top_p, top_k, min_p and max_completion_length",
    "kl_estimator": "the KL in the reward is k1, whose mean is the KL itself",
    "local_*": _SIZES,
    "local_rollout_forward_batch_size": "rollout_rows bounds a rollout's memory, token_budget a forward's",
    "log_completions*": _SHOWN,
    "log_multimodal": "images are not read",
    "log_unique_prompts": _SHOWN,
    "max_prompt_length": "max_length bounds a prompt and its completion together; longer prompts are left out",
    "max_tool_calling_iterations": "use turns, and a reply that calls the tools",
    "micro_batch_size": _SIZES,
    "mini_batch_size": _SIZES,
    "model_adapter_name": "the adapter that the model has is trained",
    "model_init_kwargs": "load the model with load_policy(...) and pass that",
    "multi_objective_aggregation": _TRLS,
    "num_completions_to_print": _SHOWN,
    "num_sample_generations": _SHOWN,
    "num_total_batches": "use max_steps, or num_train_epochs",
    "off_policy_mask_threshold": _TRLS,
    "pad_to_multiple_of": "nothing is padded",
    "ref_adapter_name": _STAYS,
    "ref_model_*": _STAYS,
    "repetition_penalty": _OTHER_POLICY,
    "response_length": "use max_completion_length",
    "reward_model_path": "a trainer takes reward_funcs, a command reward_model_name_or_path",
    "router_aux_loss_coef": "the router's balancing loss is not added yet",
    "sapo_*": _TRLS,
    "sft_model_path": "a trainer takes the model itself, a command model_name_or_path",
    "shuffle_dataset": "prompts are shuffled each epoch; train_sampling_strategy sequential keeps their order",
    "stop_token": _END,
    "stop_token_id": _END,
    "sync_ref_model": _STAYS,
    "top_entropy_quantile": _TRLS,
    "total_episodes": "use max_steps, or num_train_epochs: prompts times num_generations are the episodes of an epoch",
    "transformers_continuous_batching_config": _SAMPLER,
    "use_adaptive_entropy": _TRLS,
    "use_transformers_*": _SAMPLER,
    "use_vllm": _SAMPLER,
    "vespo_*": _TRLS,
    "vllm_*": _SAMPLER,
    "world_size": "`accelerate launch` says how many processes there are",
}


def instead(name: str) -> str | None:
    """What to do instead of giving the setting `name`; None where TRL has no such setting."""
    if name in INSTEAD:
        return INSTEAD[name]
    families = (family for family in INSTEAD if family.endswith("*"))
    return next((INSTEAD[family] for family in families if name.startswith(family[:-1])), None)
