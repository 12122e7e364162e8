"""Models as ONNX files: written with their preprocessing inside, verified, used without torch, and judged."""
