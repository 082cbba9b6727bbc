"""What runs a graph: torch and ONNX Runtime. Knows no task."""
