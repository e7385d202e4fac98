"""The way out: C-STORE, C-ECHO, storage commitment and read-back as SCU (PS3.4 Annexes A, B, C, J)."""
