"""What a rollout does: preflight, deploy, shift, roll back, retire, drill."""
