"""Audio: voice gate, speech to text, script folding."""
