"""What a rollout did, as its journal records it: for a terminal, a page or a program. Nothing here acts."""
