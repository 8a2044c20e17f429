"""The first look: a resolution ablation and zero-shot video questions on the model that ships."""
