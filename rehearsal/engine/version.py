"""The version that the engine reports: that of the CLI whose behaviour and file formats it follows."""

ENGINE_VERSION = "v3.260.0"
# Marks this program as not the real CLI; `pulumi version` prints both parts.
VERSION_LINE = f"{ENGINE_VERSION}+embedded"
