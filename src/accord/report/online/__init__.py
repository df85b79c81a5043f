"""What a report shows of a method that learns from its own samples: PPO, RLOO, GRPO."""
