"""The bundled livestream: how it is made, how `liverisk demo` shows it, and what must be found in it."""
