"""Evaluators: each measures a network, any `nn.Module` from pixels to logits, on a data set, condition by condition."""
