"""The two models of a run: what it ended with, and what it began with. torch comes with the first that is loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accord.policy.load import Policy, load_policy
from accord.runs import Run


def trained(run: Run) -> Policy:
    """The model that the run ended with, on the GPU if there is one."""
    load: Any = load_policy
    if run.info.get("method") == "reward":
        from accord.policy.reward_model import load_reward_model as load
    return settled(load(run.path, **as_loaded(run)), run)


def untrained(run: Run) -> Policy:
    """The model that the run began with, loaded anew, on the GPU if there is one."""
    model, adapter, revision = start(run)
    return settled(load_policy(model, adapter=adapter or None, revision=revision or None, **as_loaded(run)), run)


@contextmanager
def base_of(policy: Policy, run: Run) -> Iterator[Any]:
    """The model as it was before training: that of `policy` with its adapter off, or loaded anew."""
    model: Any = policy.model
    if run.config().get("use_peft") and hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            yield model
        return
    yield untrained(run).model


def start(run: Run) -> tuple[str, str, str]:
    """What the run began with: a model, an adapter on it or "", the model's revision or ""."""
    config = run.config()
    began = (run.info["base_model"], config.get("adapter_name_or_path"), config.get("model_revision"))
    return tuple(str(each or "") for each in began)  # type: ignore[return-value]


def as_loaded(run: Run) -> dict[str, Any]:
    """What the run says of how its models are loaded: precision, trust."""
    config = run.config()
    flags = ("trust_remote_code", "load_in_4bit", "load_in_8bit")
    return {"dtype": config.get("dtype", "float32"), **{flag: bool(config.get(flag)) for flag in flags}}


def settled(policy: Policy, run: Run) -> Policy:
    """The same where it is to work: on the GPU if there is one (a quantised model is there already)."""
    import torch

    config = run.config()
    if torch.cuda.is_available() and not (config.get("load_in_4bit") or config.get("load_in_8bit")):
        on_gpu(policy.model)
    return policy


def on_gpu(model: Any) -> Any:
    """The model, moved."""
    return model.cuda()
