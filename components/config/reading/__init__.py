"""How config is read: formats, units, secrets, and one clear line for each violation."""
