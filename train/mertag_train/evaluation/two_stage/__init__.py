"""The two-stage method of He and Ferguson: a masked auto-encoder, then a BiLSTM."""
