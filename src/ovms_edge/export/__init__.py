"""Export of a Hugging Face model to a model repository of OVMS. For the builder only."""
