"""The gate: the last look at the encoded bytes before anything leaves. It shares no code with the encoders."""
