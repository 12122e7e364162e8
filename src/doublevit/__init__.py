"""doublevit: fine-tune pretrained vision transformers and measure how good, and how robust, models are.

    model = doublevit.load("runs/first")                      # or doublevit.wrap(network)
    model.predict("cat.jpg")
    results = doublevit.evaluate(model, "photos/val", corruptions="common", attacks="pgd")

Nothing is imported before it is used: `import doublevit` needs neither torch nor timm.
"""

from typing import TYPE_CHECKING, Any

from doublevit.version import __version__

if TYPE_CHECKING:
    from doublevit.api.evaluation import Evaluation, evaluate
    from doublevit.api.images import attack, corrupt
    from doublevit.api.training import merge, train
    from doublevit.errors import UserError
    from doublevit.jobs.ensemble import ensemble
    from doublevit.jobs.model import Model
    from doublevit.jobs.open_model import load
    from doublevit.jobs.prediction import Prediction
    from doublevit.jobs.wrap import wrap

_HOMES = {
    "Evaluation": "api.evaluation",
    "Model": "jobs.model",
    "Prediction": "jobs.prediction",
    "UserError": "errors",
    "attack": "api.images",
    "corrupt": "api.images",
    "ensemble": "jobs.ensemble",
    "evaluate": "api.evaluation",
    "load": "jobs.open_model",
    "merge": "api.training",
    "train": "api.training",
    "wrap": "jobs.wrap",
}
__all__ = [
    "Evaluation",
    "Model",
    "Prediction",
    "UserError",
    "__version__",
    "attack",
    "corrupt",
    "ensemble",
    "evaluate",
    "load",
    "merge",
    "train",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'doublevit' has no attribute {name!r}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(f"doublevit.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
