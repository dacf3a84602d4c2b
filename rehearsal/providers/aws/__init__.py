"""The rehearsal's AWS provider: the program's resource types, treated as the real provider treats them."""
