"""The steps of a rollout: preflight, deploy, shift, roll back, retire, drill."""
