"""What is reckoned: capacity, drain chain, weights, guards, names. Pure."""
