"""The AWS provider of the rehearsal: the resource types that the program declares, as the real provider treats them."""
