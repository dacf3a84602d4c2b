"""An embedded deployment engine: the part of the Pulumi CLI that the automation API and the guides use."""
