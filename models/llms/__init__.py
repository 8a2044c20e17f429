"""Language models: any AutoModelForCausalLM, with linear RoPE scaling set before it is built."""
