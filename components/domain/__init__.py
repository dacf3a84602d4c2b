"""Pure calculations: capacity, drain chain, pod times, weights, guards and names."""
