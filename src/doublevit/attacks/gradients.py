"""Models without gradients, as exported ones are: which attacks they can be judged by."""

from collections.abc import Sequence

from torch import nn

from doublevit.attacks.catalogue import ATTACKS, parts_of
from doublevit.errors import UserError


def has_gradients(model: nn.Module) -> bool:
    """Return whether a model can be differentiated: no part of it says otherwise by `has_gradients = False`."""
    return all(getattr(module, "has_gradients", True) for module in model.modules())


def require_gradients(model: nn.Module, names: Sequence[str]) -> None:
    """Raise `UserError` where an attack differentiates a model that has no gradients."""
    asking = [name for name in names if any(ATTACKS[part].needs_gradients for part in parts_of(name))]
    if asking and not has_gradients(model):
        others = ", ".join(name for name, spec in ATTACKS.items() if not spec.needs_gradients)
        raise UserError(
            f"`attack.names` {' '.join(asking)}: wants gradients, which this model does not have (an ONNX graph runs"
            f" forward only); these do without: {others}"
        )
